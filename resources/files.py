"""Input files: YAML documents, and rows of jsonl, jsonl.gz, csv and Parquet files.

Opens and decodes; what is a good row is `chillguard.records`.
"""

import csv
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from chillguard import records, taxonomy

_MAX_FIELD = 1 << 24


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
    """The files of one asset, each a `records.SourceConfig` in JSON form."""

    sources: list[dict[str, Any]]

    def records(self, codes: Iterable[str], rejects: list[records.Reject]) -> Iterator[records.Row]:
        """Good records of all files in order; the others are appended to `rejects`."""
        known = list(codes)
        for document in self.sources:
            source = records.SourceConfig.model_validate(document)
            yield from records.accept(parsed_rows(source), source, known, rejects)


def parsed_rows(source: records.SourceConfig) -> Iterator[records.Parsed]:
    """Decode the rows of a file, by its name's ending.

    Raises `dg.Failure` when the file is missing, of an unknown kind, or lacks a named column.
    """
    path = source.path
    read = next((read for end, read in _READERS.items() if path.name.endswith(end)), None)
    if read is None:
        raise dg.Failure(
            f"source {source.name!r}: file {path} is none of {', '.join(_READERS)}; convert it"
        )
    try:
        yield from read(source)
    except (OSError, EOFError, zlib.error, pa.ArrowException, csv.Error) as error:
        raise dg.Failure(
            f"source {source.name!r}: file {path} cannot be read: {error}; "
            "set the `path` of the source in the profile, or mend the file"
        ) from None


def _jsonl(source: records.SourceConfig) -> Iterator[records.Parsed]:
    opened = gzip.open if source.path.suffix == ".gz" else open
    with opened(source.path, "rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _decoded(number, line)


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


def _csv(source: records.SourceConfig) -> Iterator[records.Parsed]:
    csv.field_size_limit(_MAX_FIELD)
    with source.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        reader = csv.DictReader(lines)
        _need_columns(source, reader.fieldnames or ())
        for row in reader:
            extra = row.pop(None, None)
            error = "more fields than the header names" if extra else None
            yield records.Parsed(reader.line_num, _not_none(row), error)


def _parquet(source: records.SourceConfig) -> Iterator[records.Parsed]:
    with pq.ParquetFile(source.path) as file:
        _need_columns(source, file.schema_arrow.names)
        wanted = {path.split(".")[0] for path in [*source.columns.values(), *source.where]}
        number = 0
        for batch in file.iter_batches(columns=sorted(wanted)):
            for row in batch.to_pylist():
                number += 1
                yield records.Parsed(number, row)


def _need_columns(source: records.SourceConfig, names: Iterable[str]) -> None:
    for column in [*source.columns.values(), *source.where]:
        if column.split(".")[0] not in names:
            raise dg.Failure(
                f"source {source.name!r}: file {source.path}, line 1: there is no column "
                f"{column!r}; the file has {sorted(names)}. Set `columns` in the profile."
            )


def _not_none(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


_READERS: Mapping[str, Callable[[records.SourceConfig], Iterator[records.Parsed]]] = {
    ".jsonl": _jsonl,
    ".jsonl.gz": _jsonl,
    ".csv": _csv,
    ".parquet": _parquet,
}


def content_digest(paths: Iterable[Path]) -> str:
    """Digest over the content of files, in order: changes when a byte of any does."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
