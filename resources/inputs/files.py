"""Input files: YAML documents, and rows of jsonl, jsonl.gz, json, csv and Parquet files.

Opens and decodes; what is a good row is `chillguard.rows.records`.
"""

import csv
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pydantic import TypeAdapter

from chillguard import taxonomy
from chillguard.rows import records
from resources.inputs.hub import hub_rows, need_columns

_MAX_FIELD = 1 << 24
# JSON lines of prompts pack to a tenth; gzip packs zeros to a thousandth.
_MAX_RATIO = 200
_MAX_ARRAY = 1 << 28
_ROWS = 1024
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


class SourceFiles(dg.ConfigurableResource):
    """The sources of one asset, each a `records.AnySource` in JSON form."""

    sources: list[dict[str, Any]]

    def records(
        self, codes: Iterable[str], rejects: list[records.Reject]
    ) -> Iterator[records.Record]:
        """Good records of all files in order; the others are appended to `rejects`."""
        known = list(codes)
        for document in self.sources:
            source = _SOURCE.validate_python({"kind": "files", **document})
            if isinstance(source, records.HubConfig):
                yield from records.accept(hub_rows(source), source, known, rejects)
            else:
                yield from records.accept(parsed_rows(source), source, known, rejects)


def parsed_rows(source: records.SourceConfig) -> Iterator[records.Parsed]:
    """Decode the rows of a file by its name's ending, or of all files of a folder by name.

    Raises `dg.Failure` when a file is missing, of an unknown kind, or lacks a named column.
    """
    for path in _paths(source):
        name = None if path == source.path else path.relative_to(source.path).as_posix()
        for row in _rows_of(path, source):
            yield replace(row, file=name) if name else row


def _paths(source: records.SourceConfig) -> list[Path]:
    found = input_files(source.path)
    read = [path for path in found if source.admits(path.name)]
    if not read:
        raise dg.Failure(
            f"source {source.name!r}: no file of {source.path} is left to read; {len(found)} are "
            f"left out by `exclude_files` {source.exclude_files}"
        )
    return read


def input_files(path: Path) -> list[Path]:
    """A file, or the files of a folder that can be read, by name; hidden ones are left alone.

    Raises `dg.Failure` for a link that leads out of the folder.
    """
    if not path.is_dir():
        return [path]
    found = sorted(
        one
        for one in path.rglob("*")
        if one.is_file() and _reader(one) and not _is_hidden(one.relative_to(path))
    )
    for one in found:
        if not one.resolve().is_relative_to(path.resolve()):
            raise dg.Failure(
                f"file {one} is a link that leads out of its folder; put the file itself there"
            )
    return found


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _reader(path: Path) -> "_Reader | None":
    return next((read for end, read in _READERS.items() if path.name.endswith(end)), None)


def _rows_of(path: Path, source: records.SourceConfig) -> Iterator[records.Parsed]:
    read = _reader(path)
    if read is None:
        raise dg.Failure(
            f"source {source.name!r}: file {path} is none of {', '.join(_READERS)}; convert it"
        )
    try:
        yield from read(path, source)
    except (OSError, EOFError, zlib.error, pa.ArrowException, csv.Error) as error:
        raise dg.Failure(
            f"source {source.name!r}: file {path} cannot be read: {error}; "
            "set the `path` of the source in the profile, or mend the file"
        ) from None


def _json(path: Path, source: records.SourceConfig) -> Iterator[records.Parsed]:
    """An array of objects; any other `.json` file is read as one object a line."""
    with path.open("rb") as file:
        is_array = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    if not is_array:
        yield from _jsonl(path, source)
        return
    if path.stat().st_size > _MAX_ARRAY:
        raise OSError(
            f"an array is read whole, and this one has more than {_MAX_ARRAY >> 20} MiB: write one "
            "object a line"
        )
    try:
        rows = json.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise dg.Failure(f"source {source.name!r}: file {path} is not JSON: {error}") from None
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            yield records.Parsed(number, {}, "JSON, but not an object")
            continue
        if number == 1:
            need_columns(source, f"file {path}", row)
        yield records.Parsed(number, row)


def _jsonl(path: Path, source: records.SourceConfig) -> Iterator[records.Parsed]:
    packed = path.stat().st_size
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as file:
        for number, line in enumerate(_lines(file, packed), 1):
            if line is None:
                yield records.Parsed(number, {}, f"longer than {_MAX_FIELD >> 10} KiB")
            elif line.strip():
                yield _decoded(number, line)


def _lines(file: io.BufferedIOBase, packed: int) -> Iterator[bytes | None]:
    """Lines, None for one that is too long, of which no more than a part is held.

    Raises `OSError` when the file unpacks to far more than texts do.
    """
    unpacked, cut = 0, False
    while part := file.readline(_MAX_FIELD):
        unpacked += len(part)
        _bound(unpacked, packed)
        ends = part.endswith(b"\n") or len(part) < _MAX_FIELD
        if ends:
            yield None if cut else part
        cut = not ends
    if cut:
        yield None


def _decoded(number: int, line: bytes) -> records.Parsed:
    try:
        columns = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError:
        return records.Parsed(number, {}, "not UTF-8")
    except (ValueError, RecursionError) as error:
        return records.Parsed(number, {}, f"not JSON: {getattr(error, 'msg', 'too deep')}")
    if not isinstance(columns, dict):
        return records.Parsed(number, {}, "JSON, but not an object")
    return records.Parsed(number, columns)


def _csv(path: Path, source: records.SourceConfig) -> Iterator[records.Parsed]:
    csv.field_size_limit(_MAX_FIELD)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        reader = csv.DictReader(lines)
        need_columns(source, f"file {path}, line 1", reader.fieldnames or ())
        for row in reader:
            extra = row.pop(None, None)
            error = "more fields than the header names" if extra else None
            yield records.Parsed(reader.line_num, _not_none(row), error)


def _bound(unpacked: int, packed: int) -> None:
    if unpacked > max(_MAX_FIELD << 2, packed * _MAX_RATIO):
        raise OSError(f"it unpacks to more than {_MAX_RATIO} times its size, as no text does")


def _parquet(path: Path, source: records.SourceConfig) -> Iterator[records.Parsed]:
    """Rows, few at a time: a value that stands once in the file may stand in each of them."""
    packed, unpacked = path.stat().st_size, 0
    with pq.ParquetFile(path) as file:
        groups = (file.metadata.row_group(number) for number in range(file.num_row_groups))
        _bound(sum(group.total_byte_size for group in groups), packed)
        need_columns(source, f"file {path}, line 1", file.schema_arrow.names)
        wanted = {path.split(".")[0] for path in [*source.columns.values(), *source.where]}
        number = 0
        for batch in file.iter_batches(_ROWS, columns=sorted(wanted)):
            unpacked += batch.nbytes
            _bound(unpacked, packed)
            for row in batch.to_pylist():
                number += 1
                yield records.Parsed(number, row)


def _not_none(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


_Reader = Callable[[Path, records.SourceConfig], Iterator[records.Parsed]]
_READERS: Mapping[str, _Reader] = {
    ".jsonl": _jsonl,
    ".jsonl.gz": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".parquet": _parquet,
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
