"""Releases on disk: `release/<version>/`, written whole or not at all, never rewritten.

Both sides of a version (Parquet and JSON lines), its schema and its changes never change, and
`SHA256SUMS` says so. Its documents (card, report, losses, audit sheet) describe the run that made
them, and are refreshed when a later run ends in the same version.
"""

import hashlib
import json
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from resources.home.damaged import read_parquet, reading
from resources.home.whole import draft_folder, write_bytes, write_parquet

_MANIFEST = "release.json"
_BACK = (
    "bring the folder of the release back from a copy, or move it away if it was never handed out"
)
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
            for key in self._read(version, side, ["prompt_id"])["prompt_id"].to_pylist()
        }

    def sides_of(self, prompt_id: str) -> dict[str, str]:
        """On which side each release holds the prompt that holds it, by version, oldest first."""
        return {
            version: side
            for version in self.versions()
            for side in SIDES
            if prompt_id in self._read(version, side, ["prompt_id"])["prompt_id"].to_pylist()
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
                column = self._read(version, side, [what])[what]
                found |= dict.fromkeys(column.to_pylist(), side)
        return found

    def holding(self, prompt_ids: Collection[str]) -> dict[str, int]:
        """How many of the prompts each release holds that holds any, by version."""
        wanted = pa.array(sorted(prompt_ids), pa.string())
        found = {}
        for version in self.versions():
            keys = [self._read(version, side, ["prompt_id"])["prompt_id"] for side in SIDES]
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
        return pa.concat_tables(self._read(version, side) for side in SIDES)

    def all_rows(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """These columns of every side of every release, oldest first."""
        for version in self.versions():
            for side in SIDES:
                yield self._read(version, side, list(columns))

    def verify(self, version: str) -> None:
        """Raises `dg.Failure` when a file of the release is not as it was released."""
        folder = self._place(version)
        problem = mismatch(folder)
        if problem:
            raise dg.Failure(
                f"release {version}: {problem}; bring back the folder {folder} from a copy, or "
                "move it away and run again: the same rows make the same release"
            )

    def path(self, version: str, side: str) -> Path:
        """Where a side of a release is. Raises `dg.Failure` for a version that is no plain name."""
        return self._place(version) / f"{side}.parquet"

    def write(
        self, version: str, sides: Mapping[str, pa.Table], sealed: Files, documents: Files
    ) -> Path:
        """Write a release, or only refresh the documents of one that is there; returns it."""
        target = self._place(version)
        if not (target / _MANIFEST).exists():
            with draft_folder(target) as draft:
                self._fill(draft, version, sides, sealed)
                # What is no release (it has no manifest) makes way for one.
                shutil.rmtree(target, ignore_errors=True)
        write_files(target, documents)
        return target

    def _fill(
        self, folder: Path, version: str, sides: Mapping[str, pa.Table], sealed: Files
    ) -> None:
        digests = {
            side: write_parquet(table, folder / f"{side}.parquet") for side, table in sides.items()
        }
        manifest = {
            "version": version,
            "number": len(self.versions()) + 1,
            "previous": self.before(version),
            "sha256": digests,
        }
        (folder / _MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")
        for side, table in sides.items():
            write_jsonl(table, folder / f"{side}.jsonl")
        write_files(folder, sealed)
        (folder / SUMS).write_text(checksums(folder), "utf-8")

    def _place(self, version: str) -> Path:
        if not (version.isascii() and version.isalnum()):
            raise dg.Failure(f"release version {version!r} is none: it has letters and digits only")
        return self._root() / version

    def _read(self, version: str, side: str, columns: list[str] | None = None) -> pa.Table:
        return read_parquet(self.path(version, side), "release file", _BACK, columns)

    def _root(self) -> Path:
        root = Path(self.folder)
        root.mkdir(parents=True, exist_ok=True)
        return root

    def _manifest(self, folder: Path) -> dict[str, Any]:
        path = folder / _MANIFEST
        with reading(path, "release", _BACK):
            found: dict[str, Any] = json.loads(path.read_text("utf-8"))
            return {"version": str(found["version"]), "number": int(found["number"])}


def write_files(folder: Path, files: Files) -> None:
    """Write files by name, tables as Parquet, each in one move."""
    for name, content in files.items():
        if isinstance(content, bytes):
            write_bytes(folder / name, content)
        else:
            write_parquet(content, folder / name)


def write_jsonl(table: pa.Table, path: Path) -> None:
    """Write one JSON object a line."""
    with path.open("w", encoding="utf-8") as lines:
        for batch in table.to_batches(max_chunksize=10_000):
            for row in batch.to_pylist():
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def mismatch(folder: Path) -> str | None:
    """What of a folder is not as its `SHA256SUMS` says, naming the file; None if all is."""
    try:
        lines = (folder / SUMS).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return f"{SUMS} is missing or cannot be read, so nobody can say that it is whole"
    digests = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    unlisted = [f"{side}.parquet" for side in SIDES if f"{side}.parquet" not in digests]
    if unlisted:
        return f"{SUMS} does not name {unlisted[0]}"
    for name, digest in digests.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if _digest(path) != digest:
            return f"{name} is not what {SUMS} says: it was changed after the release"
    return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksums(folder: Path) -> str:
    """Digests of all files of a folder, in the form that `sha256sum --check` reads."""
    return "".join(f"{_digest(path)}  {path.name}\n" for path in sorted(folder.iterdir()))
