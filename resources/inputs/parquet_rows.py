"""Rows of Parquet files, few at a time: what stands once in the file may stand in each row."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chillguard.rows import records
from resources.inputs import texts
from resources.inputs.columns import need_columns

_ROWS = 1024
_MAX_BATCH = 1 << 28
_BYTES_OF_A_VALUE = 8
_SHARES_PREFIXES = "DELTA_BYTE_ARRAY"


def parquet_rows(path: Path, source: records.SourceConfig) -> Iterator[records.Parsed]:
    """Rows of the columns that the source names.

    Texts stay references to the file's dictionary until their size is known. Raises `dg.Failure`
    when a named column is missing, and `OSError` when the rows are far more than the file.
    """
    packed, unpacked, number = path.stat().st_size, 0, 0
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        need_columns(source, f"file {path}, line 1", names)
        wanted = {name if name in names else name.split(".")[0] for name in source.named_columns}
        if source.shape == "label_studio":
            wanted |= {*names}
        texts.bound(_least_size(file.metadata, wanted), packed)
        rows = _rows_at_once(file.metadata, wanted)
        leaves = [
            chunk.path_in_schema for chunk in _chunks(file.metadata, wanted) if _is_text(chunk)
        ]
    with pq.ParquetFile(path, read_dictionary=leaves) as file:
        for batch in file.iter_batches(rows, columns=sorted(wanted)):
            size = sum(_size(column) for column in batch.columns)
            unpacked += size
            texts.bound(unpacked, packed)
            for part in _parts(batch, size):
                for row in part.to_pylist():
                    number += 1
                    yield records.Parsed(number, row)


def _parts(batch: pa.RecordBatch, size: int) -> Iterator[pa.RecordBatch]:
    rows = batch.num_rows if size <= _MAX_BATCH else 1
    for start in range(0, batch.num_rows, rows or 1):
        yield batch.slice(start, rows)


def _is_text(chunk: Any) -> bool:
    """Whether the column can stay in its dictionary; Arrow cannot keep shared prefixes so."""
    return chunk.physical_type == "BYTE_ARRAY" and _SHARES_PREFIXES not in chunk.encodings


def _chunks(metadata: pq.FileMetaData, wanted: set[str]) -> Iterator[Any]:
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for place in range(group.num_columns):
            chunk = group.column(place)
            if chunk.path_in_schema in wanted or chunk.path_in_schema.split(".")[0] in wanted:
                yield chunk


def _least_size(metadata: pq.FileMetaData, wanted: set[str]) -> int:
    """What the rows take at least, by what the file says of itself."""
    return sum(
        max(chunk.total_uncompressed_size, chunk.num_values * _BYTES_OF_A_VALUE)
        for chunk in _chunks(metadata, wanted)
    )


def _rows_at_once(metadata: pq.FileMetaData, wanted: set[str]) -> int:
    """Fewer where values are built from the ones before them, each as long as a chunk."""
    longest = max(
        (
            c.total_uncompressed_size
            for c in _chunks(metadata, wanted)
            if _SHARES_PREFIXES in c.encodings
        ),
        default=0,
    )
    return max(1, min(_ROWS, _MAX_BATCH // max(1, longest)))


def _size(array: pa.Array) -> int:
    """Bytes of the values once each stands for itself."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        lengths = pc.binary_length(array.dictionary).take(array.indices)
        return int(pc.sum(pc.cast(lengths, pa.int64())).as_py() or 0) + len(array)
    if pa.types.is_struct(kind):
        return sum(_size(child) for child in array.flatten())
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        return _size(array.flatten()) if not pa.types.is_map(kind) else _size(array.items)
    return int(array.nbytes)
