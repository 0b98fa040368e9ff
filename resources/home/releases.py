"""Releases on disk: `release/<version>/`, written whole or not at all, never rewritten.

Both sides of a version (Parquet and JSON lines), its schema and its changes never change, and
`SHA256SUMS` says so. Its documents (card, report, losses, audit sheet) describe the run that made
them, and are refreshed when a later run ends in the same version.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from resources.home.state import write_parquet

_MANIFEST = "release.json"
SIDES = ("train", "test")
SUMS = "SHA256SUMS"
Files = Mapping[str, bytes | pa.Table]


class Releases(dg.ConfigurableResource):
    """The `release/` folder of a home."""

    folder: str

    def versions(self) -> list[str]:
        """All versions, oldest first."""
        manifests = [
            self._manifest(path.parent) for path in self._root().glob(f"[!.]*/{_MANIFEST}")
        ]
        return [m["version"] for m in sorted(manifests, key=lambda m: m["number"])]

    def released_ids(self) -> set[str]:
        """Ids of all prompts that any release holds."""
        return {
            key
            for version in self.versions()
            for side in SIDES
            for key in pq.read_table(self.path(version, side), columns=["prompt_id"])[
                "prompt_id"
            ].to_pylist()
        }

    def sides(self, what: str) -> dict[str, str]:
        """The side on which each `what` (`family_id`, `text_hash`) was released last.

        Raises `dg.Failure` where a release cannot be read, since its rows might change sides.
        """
        for folder in sorted(self._root().glob("[!.]*/")):
            if folder.is_dir() and not (folder / _MANIFEST).exists():
                raise dg.Failure(
                    f"release {folder} has no {_MANIFEST}, so the sides of its rows are not known: "
                    "put it back from a backup, or move the folder away if it is no release"
                )
        found: dict[str, str] = {}
        for version in self.versions():
            for side in SIDES:
                path = self.path(version, side)
                try:
                    column = pq.read_table(path, columns=[what])[what]
                except (pa.ArrowInvalid, OSError) as error:
                    raise dg.Failure(
                        f"release file {path} cannot be read, so the sides of its rows are not "
                        f"known ({error}): put it back from a backup"
                    ) from None
                found |= dict.fromkeys(column.to_pylist(), side)
        return found

    def holding(self, prompt_ids: Collection[str]) -> dict[str, int]:
        """How many of the prompts each release holds that holds any, by version."""
        wanted = pa.array(sorted(prompt_ids), pa.string())
        found = {}
        for version in self.versions():
            paths = [self.path(version, side) for side in SIDES]
            keys = [pq.read_table(path, columns=["prompt_id"])["prompt_id"] for path in paths]
            count = sum(pc.sum(pc.is_in(column, value_set=wanted)).as_py() or 0 for column in keys)
            if count:
                found[version] = count
        return found

    def before(self, version: str) -> str | None:
        """The release that came before `version`, whether or not that one exists yet."""
        versions = self.versions()
        if version in versions:
            versions = versions[: versions.index(version)]
        return versions[-1] if versions else None

    def number(self, version: str) -> int:
        """The number that `version` has, or will have once it is written; the first is 1."""
        versions = self.versions()
        return (versions.index(version) if version in versions else len(versions)) + 1

    def rows(self, version: str | None) -> pa.Table | None:
        """Train and Test of a release in one table; None for None."""
        if version is None:
            return None
        return pa.concat_tables(pq.read_table(self.path(version, side)) for side in SIDES)

    def all_rows(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """These columns of every side of every release, oldest first."""
        for version in self.versions():
            for side in SIDES:
                yield pq.read_table(self.path(version, side), columns=list(columns))

    def path(self, version: str, side: str) -> Path:
        """Where a side of a release is. Raises `dg.Failure` for a version that is no plain name."""
        return self._place(version) / f"{side}.parquet"

    def write(
        self, version: str, sides: Mapping[str, pa.Table], sealed: Files, documents: Files
    ) -> Path:
        """Write a release, or only refresh the documents of one that is there; returns it."""
        target = self._place(version)
        if not (target / _MANIFEST).exists():
            draft = self._root() / f".{version}.{os.getpid()}"
            shutil.rmtree(draft, ignore_errors=True)
            digests = {
                side: write_parquet(table, draft / f"{side}.parquet")
                for side, table in sides.items()
            }
            manifest = {
                "version": version,
                "number": len(self.versions()) + 1,
                "previous": self.before(version),
                "sha256": digests,
            }
            (draft / _MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")
            for side, table in sides.items():
                write_jsonl(table, draft / f"{side}.jsonl")
            write_files(draft, sealed)
            (draft / SUMS).write_text(checksums(draft), "utf-8")
            shutil.rmtree(target, ignore_errors=True)
            draft.replace(target)
        write_files(target, documents)
        return target

    def _place(self, version: str) -> Path:
        if not (version.isascii() and version.isalnum()):
            raise dg.Failure(f"release version {version!r} is none: it has letters and digits only")
        return self._root() / version

    def _root(self) -> Path:
        root = Path(self.folder)
        root.mkdir(parents=True, exist_ok=True)
        return root

    def _manifest(self, folder: Path) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((folder / _MANIFEST).read_text("utf-8"))
        return found


def write_files(folder: Path, files: Files) -> None:
    """Write files by name, tables as Parquet, each in one move."""
    for name, content in files.items():
        if isinstance(content, bytes):
            draft = folder / f".{name}"
            draft.write_bytes(content)
            draft.replace(folder / name)
        else:
            write_parquet(content, folder / name)


def write_jsonl(table: pa.Table, path: Path) -> None:
    """Write one JSON object a line."""
    with path.open("w", encoding="utf-8") as lines:
        for batch in table.to_batches(max_chunksize=10_000):
            for row in batch.to_pylist():
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def checksums(folder: Path) -> str:
    """Digests of all files of a folder, in the form that `sha256sum --check` reads."""
    lines = []
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n")
    return "".join(lines)
