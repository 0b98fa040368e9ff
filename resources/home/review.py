"""The `review/` folder of a home: queues as exported, and reviewers' decisions as they come back.

What a decision must hold is `chillguard.labeling.review`; what is exported is
`chillguard.labeling.review_export`.
"""

import csv
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from chillguard.labeling import review, review_export
from chillguard.rows import records
from resources.home.whole import draft_folder, write_bytes

_DECISIONS = "decisions"
_COLUMNS = ("prompt_id", "label", "category", "reviewer", "date")


class Review(dg.ConfigurableResource):
    """Queues under `folder`; decisions from `decisions` (a file or folder), else from there too.

    `reviewers` names accounts of Label Studio whose export holds only their number.
    """

    folder: str
    decisions: str | None = None
    reviewers: dict[str, str] = {}

    def parsed(self) -> Iterator[tuple[str, records.Parsed]]:
        """(file name, row) of all decision files, in order of their names.

        Raises `dg.Failure` when a file cannot be read or is neither CSV nor JSON.
        """
        for name, path in self._inputs():
            rows = {".csv": _csv_rows, ".json": _json_rows}.get(path.suffix)
            if rows is None:
                raise dg.Failure(
                    f"review decisions: {path} is neither .csv nor .json (a JSON export of Label "
                    "Studio): convert it, or move it elsewhere"
                )
            try:
                yield from ((name, row) for row in rows(path))
            except (OSError, ValueError, csv.Error, RecursionError) as error:
                raise dg.Failure(
                    f"review decisions: {path} cannot be read ({type(error).__name__}): mend the "
                    "file, or move it elsewhere"
                ) from None

    def export(self, files: Mapping[str, bytes]) -> Path:
        """Write a queue under the digest of its content; one that is there stays as it is.

        Reviewers may have filled in its sheet.
        """
        digest = hashlib.sha256(b"".join(files[name] for name in sorted(files))).hexdigest()[:12]
        target = Path(self.folder) / digest
        if not target.exists():
            with draft_folder(target) as draft:
                for name, content in files.items():
                    (draft / name).write_bytes(content)
        return target

    def remove(self, prompt_ids: Collection[str]) -> dict[str, Any]:
        """Take prompts out of all exported queues; names the decision files that hold any."""
        taken_out, left = 0, []
        queues = [path for path in Path(self.folder).glob("[!.]*") if path.name != _DECISIONS]
        for path in sorted(queue / name for queue in queues for name in review_export.FILES):
            if path.exists() and _holds(path, prompt_ids):
                try:
                    content = review_export.without(path.name, path.read_bytes(), prompt_ids)
                    write_bytes(path, content)
                    taken_out += 1
                except ValueError:
                    left.append(str(path))
        left += [str(path) for _, path in self._inputs() if _holds(path, prompt_ids)]
        return {"review_exports": taken_out, "review_files_left": left}

    def _inputs(self) -> list[tuple[str, Path]]:
        root = Path(self.decisions or Path(self.folder) / _DECISIONS)
        if root.is_file():
            return [(root.name, root)]
        if self.decisions and not root.is_dir():
            raise dg.Failure(
                f"review decisions: there is neither a file nor a folder {root}; make it, or set "
                "`review_decisions` in the profile"
            )
        files = [path for path in root.rglob("*") if path.is_file()]
        names = ((path.relative_to(root).as_posix(), path) for path in files)
        return sorted((name, path) for name, path in names if not path.name.startswith("."))


def _csv_rows(path: Path) -> Iterator[records.Parsed]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        reader = csv.DictReader(lines)
        missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise dg.Failure(
                f"review decisions: {path} has no column {missing[0]!r}; it needs "
                f"{', '.join(_COLUMNS)}"
            )
        for row in reader:
            extra = row.pop(None, None)
            error = "more fields than the header names" if extra else None
            yield records.Parsed(reader.line_num, row, error)


def _json_rows(path: Path) -> Iterator[records.Parsed]:
    return review.from_label_studio(json.loads(path.read_text("utf-8-sig")))


def _holds(path: Path, prompt_ids: Collection[str]) -> bool:
    content = path.read_bytes()
    return any(key.encode("ascii") in content for key in prompt_ids)
