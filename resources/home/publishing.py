"""Publishing: `public/<version>/`, written from a release and an approval, whole or not at all."""

import shutil
from collections.abc import Collection
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chillguard.release import approval, card, publishing
from resources.home import approvals
from resources.home.releases import SIDES, SUMS, Releases, checksums, write_files, write_jsonl
from resources.home.whole import draft_folder, write_parquet


class Publishing(dg.ConfigurableResource):
    """The `public/` folder of a home."""

    folder: str
    releases: dg.ResourceDependency[Releases]

    def publish(self, approval_file: str, version: str | None) -> Path:
        """Publish a release (the newest unless told); returns its folder.

        Raises `dg.Failure`, and writes nothing, without a fitting approval, without the release, or
        over a folder with other content.
        """
        versions = self.releases.versions()
        wanted = version or (versions[-1] if versions else None)
        if wanted is None or wanted not in versions:
            known = f"there are {', '.join(versions)}" if versions else "there is none"
            raise dg.Failure(f"publish: there is no release {wanted or ''}; {known}")
        approved = self._approval(Path(approval_file), wanted)
        self.releases.verify(wanted)
        target = Path(self.folder) / wanted
        with draft_folder(target) as draft:
            self._write(draft, approved)
            if target.exists():
                _refuse_other(draft, target)
                shutil.rmtree(draft)
        dg.get_dagster_logger().info(
            f"release {wanted}: published as {approved.person} approved on {approved.date}"
        )
        # Who approved stays inside; the published folder says only when.
        kept = {"approval.yaml": Path(approval_file).read_bytes()}
        write_files(self.releases.path(wanted, SIDES[0]).parent, kept)
        return target

    def holding(self, prompt_ids: Collection[str]) -> dict[str, int]:
        """How many of the prompts each published copy holds that holds any, by its folder."""
        wanted = pa.array(sorted(prompt_ids), pa.string())
        found = {}
        for folder in sorted(Path(self.folder).glob("[!.]*")):
            sides = [path for side in SIDES if (path := folder / f"{side}.parquet").exists()]
            keys = [pq.read_table(path, columns=["prompt_id"])["prompt_id"] for path in sides]
            count = sum(pc.sum(pc.is_in(column, value_set=wanted)).as_py() or 0 for column in keys)
            if count:
                found[str(folder)] = count
        return found

    def _approval(self, path: Path, version: str) -> approval.Approval:
        try:
            return approvals.read(path, version, "publish")
        except approval.NotApproved as error:
            reason = " ".join(str(error).split())
            raise dg.Failure(f"publish: {reason}; nothing was written") from None

    def _write(self, draft: Path, approved: approval.Approval) -> None:
        release = self.releases.path(approved.release, SIDES[0]).parent
        try:
            page = (release / card.PUBLIC_CARD).read_bytes()
        except FileNotFoundError:
            raise dg.Failure(
                f"publish: release {approved.release} has no {card.PUBLIC_CARD}; materialize "
                "dataset_card again; nothing was written"
            ) from None
        for side in SIDES:
            table = publishing.published(pq.read_table(self.releases.path(approved.release, side)))
            write_parquet(table, draft / f"{side}.parquet")
            write_jsonl(table, draft / f"{side}.jsonl")
        pictures = {path.name: path.read_bytes() for path in release.glob("*.png")}
        note, schema = publishing.note(approved), publishing.described()
        write_files(draft, {"README.md": page, "schema.json": schema, **pictures})
        write_files(draft, {"approval.json": note})
        (draft / SUMS).write_text(checksums(draft), "utf-8")


def _refuse_other(draft: Path, target: Path) -> None:
    if (target / SUMS).read_bytes() != (draft / SUMS).read_bytes():
        raise dg.Failure(
            f"publish: {target} holds another content, and what was published is never "
            "overwritten; move it away if it was never handed out"
        )
