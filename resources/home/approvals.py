"""Reading the approval file; what it must hold is `chillguard.release.approval`."""

from pathlib import Path

from chillguard.release import approval


def read(path: Path, version: str | None, purpose: approval.Purpose) -> approval.Approval:
    """The approval of `purpose` for release `version` (None: whichever release the file names).

    Raises `approval.NotApproved` with one sentence for a file that does not give it.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise approval.NotApproved(
            f"there is no approval file {path}: whoever is responsible writes {approval.FORM} there"
        ) from None
    except OSError as error:
        raise approval.NotApproved(
            f"approval file {path} cannot be read ({type(error).__name__}); it holds "
            f"{approval.FORM}"
        ) from None
    return approval.parse(content, path, version, purpose)
