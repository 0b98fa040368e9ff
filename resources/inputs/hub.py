"""Rows of data sets on the hub, as a stream, file by file. Needs the library `datasets`.

What is a good row is `chillguard.rows.records`; posts of a hub data set are `resources.crawlers`.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from chillguard.rows import records
from resources.inputs.columns import need_columns

_FORMATS = {"parquet": "parquet", "json": "json", "jsonl": "json", "csv": "csv"}


def hub_rows(source: records.HubConfig) -> Iterator[records.Parsed]:
    """Rows of every file of the split that the source admits; `dataset` may be a local folder.

    Raises `dg.Failure` when the data set cannot be read, or a file lacks a named column.
    """
    try:
        import datasets
    except ImportError:
        raise dg.Failure(
            f"source {source.name!r}: reading the hub needs the group `train`: run "
            "`make .venv/train`, or download the files and name their folder by `path`"
        ) from None
    for url in _files(datasets, source):
        name = url.rsplit("/", 1)[-1]
        kind = next((_FORMATS[end] for end in name.split(".")[1:] if end in _FORMATS), None)
        if kind is None:
            raise dg.Failure(f"source {source.name!r}: file {name} is none of {[*_FORMATS]}")
        for number, row in enumerate(_stream(datasets, kind, url, source), 1):
            if number == 1:
                need_columns(source, f"{source.place}, {name}", row)
            yield records.Parsed(number, row, file=name)


def _files(datasets: Any, source: records.HubConfig) -> list[str]:
    try:
        builder = datasets.load_dataset_builder(
            source.dataset, source.config, revision=source.revision, data_files=source.data_files
        )
        found: list[str] = list((builder.config.data_files or {})[source.split])
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise dg.Failure(
            f"source {source.name!r}: {source.place}, split {source.split!r} cannot be opened: "
            f"{reason}"
        ) from None
    read = [url for url in found if source.admits(url.rsplit("/", 1)[-1])]
    if not read:
        raise dg.Failure(
            f"source {source.name!r}: no file of {source.place} is left to read; {len(found)} are "
            f"left out by `exclude_files` {source.exclude_files}"
        )
    return read


def _stream(datasets: Any, kind: str, url: str, source: records.HubConfig) -> Iterator[Any]:
    try:
        yield from datasets.load_dataset(kind, data_files=url, split="train", streaming=True)
    except Exception as error:
        # Messages of parsers may quote the row.
        reason = type(error).__name__
        raise dg.Failure(f"source {source.name!r}: {url} cannot be read: {reason}") from None
