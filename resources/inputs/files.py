"""Input files: YAML documents, and rows of JSON, CSV and Parquet files, and of folders of them.

Finds and names files; a kind of file is read by a module of its own beside this one, and
what is a good row is `chillguard.rows.records`.
"""

import csv
import hashlib
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import yaml
from pydantic import TypeAdapter

from chillguard import taxonomy
from chillguard.rows import records
from resources.inputs.delimited import csv_rows
from resources.inputs.hub import hub_rows
from resources.inputs.json_rows import json_rows
from resources.inputs.parquet_rows import parquet_rows
from resources.inputs.texts import Tell

_NAMED = 20
_SOURCE: TypeAdapter[records.SourceConfig | records.HubConfig] = TypeAdapter(records.AnySource)


class YamlFile(dg.ConfigurableResource):
    """A YAML document: a file, `packaged:<name>` for one that ships, or an empty name for none."""

    path: str

    def load(self) -> Any:
        """The parsed document; an empty one where there is no file."""
        if not self.path:
            return {}
        try:
            if self.path.startswith("packaged:"):
                return taxonomy.packaged(self.path.removeprefix("packaged:"))
            return yaml.safe_load(Path(self.path).read_text("utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise dg.Failure(f"file {self.path} cannot be read: {error}") from None


def _say_nothing(words: str) -> None:
    """What becomes of words where nobody listens."""


class SourceFiles(dg.ConfigurableResource):
    """The sources of one asset, each a `records.AnySource` in JSON form."""

    sources: list[dict[str, Any]]

    def records(
        self, codes: Iterable[str], rejects: list[records.Reject], tell: Tell = _say_nothing
    ) -> Iterator[records.Record]:
        """Good records of all files in order; the others are appended to `rejects`."""
        known_codes = list(codes)
        for document in self.sources:
            source = _SOURCE.validate_python({"kind": "files", **document})
            yield from accepted(source, known_codes, rejects, tell)


def accepted(
    source: records.AnySource,
    codes: Iterable[str],
    rejects: list[records.Reject],
    tell: Tell = _say_nothing,
) -> Iterator[records.Record]:
    """Good records of a source; the others are appended to `rejects`, and what is skipped is told.

    Raises `dg.Failure`, in one sentence, when the source cannot be used.
    """
    before = len(rejects)
    try:
        if isinstance(source, records.HubConfig):
            yield from records.accept(hub_rows(source), source, codes, rejects)
        else:
            rows = parsed_rows(source, lambda words: tell(_printable(words)))
            yield from records.accept(rows, source, codes, rejects)
    except records.RecordError as error:
        raise dg.Failure(_printable(str(error))) from None
    except dg.Failure as failure:
        raise dg.Failure(_printable(failure.description or "")) from None
    if len(rejects) > before:
        first = rejects[before]
        tell(
            f"source {source.name!r}: {len(rejects) - before:,} rows are rejected; first, "
            f"{first.source} line {first.line}, column {first.column!r}: {first.reason}"
        )


def parsed_rows(
    source: records.SourceConfig, tell: Tell = _say_nothing
) -> Iterator[records.Parsed]:
    """Decode the rows of a file by its name's ending, or of all files of a folder by name.

    Raises `dg.Failure` when a file is missing, of an unknown kind, or lacks a named column.
    """
    for path in _paths(source, tell):
        name = None if path == source.path else _printable(path.relative_to(source.path).as_posix())
        for row in _rows_of(path, source, tell):
            yield replace(row, file=name) if name else row


def _paths(source: records.SourceConfig, tell: Tell) -> list[Path]:
    if not source.path.is_dir():
        return [source.path]
    files = input_files(source.path)
    read = [path for path in files if source.admits(path.name)]
    skipped = {
        "left out by `exclude_files`": [path for path in files if path not in read],
        f"hidden, or none of {', '.join(_READERS)}": _other_files(source.path, files),
    }
    for why, paths in skipped.items():
        if paths:
            names = [path.relative_to(source.path).as_posix() for path in paths]
            more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
            tell(
                f"source {source.name!r}: {len(names):,} files are skipped, {why}: "
                f"{', '.join(names[:_NAMED])}{more}"
            )
    if not read:
        raise dg.Failure(
            f"source {source.name!r}: no file of {source.path} is left to read; {len(files)} are "
            f"left out by `exclude_files` {source.exclude_files}"
        )
    return read


def input_files(path: Path) -> list[Path]:
    """A file, or the files of a folder that can be read, by name; hidden ones are left alone.

    Raises `dg.Failure` for a link that leads out of the folder.
    """
    if not path.is_dir():
        return [path]
    files = sorted(
        one
        for one in path.rglob("*")
        if one.is_file() and _reader(one) and not _is_hidden(one.relative_to(path))
    )
    for one in files:
        if not one.resolve().is_relative_to(path.resolve()):
            raise dg.Failure(
                f"file {one} is a link that leads out of its folder; put the file itself there"
            )
    return files


def _other_files(folder: Path, files: Collection[Path]) -> list[Path]:
    return sorted(one for one in folder.rglob("*") if one.is_file() and one not in set(files))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _printable(words: str) -> str:
    """Words in which the name of a file may hold bytes that are no UTF-8, written out."""
    return words.encode("utf-8", "backslashreplace").decode("utf-8")


def _reader(path: Path) -> "_Reader | None":
    name = path.name.lower()
    return next((read for end, read in _READERS.items() if name.endswith((end, f"{end}.gz"))), None)


def _rows_of(path: Path, source: records.SourceConfig, tell: Tell) -> Iterator[records.Parsed]:
    read = _reader(path)
    if read is None:
        raise dg.Failure(
            f"source {source.name!r}: file {path} is none of {', '.join(_READERS)}, plain or with "
            ".gz; convert it"
        )
    try:
        if path.stat().st_size == 0:
            tell(f"source {source.name!r}: file {path} is empty")
            return
        yield from read(path, source, tell)
    except (OSError, EOFError, zlib.error, pa.ArrowException, csv.Error, UnicodeError) as error:
        raise dg.Failure(
            f"source {source.name!r}: file {path} cannot be read: {error}; "
            "set the `path` of the source in the profile, or mend the file"
        ) from None


_Reader = Callable[[Path, records.SourceConfig, Tell], Iterator[records.Parsed]]
_READERS: Mapping[str, _Reader] = {
    ".jsonl": json_rows,
    ".ndjson": json_rows,
    ".json": json_rows,
    ".csv": csv_rows,
    ".tsv": csv_rows,
    ".parquet": lambda path, source, tell: parquet_rows(path, source),
}


def content_digest(paths: Iterable[Path]) -> str:
    """Digest over the content of files and of the files of folders, in order."""
    digest = hashlib.sha256()
    for path in paths:
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for one in inside:
            with one.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
