"""Rows of a long stage on their way into a sorted table: on disk, a few thousand in memory."""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from chillguard.tables.table import Table

_CHUNK = 4096


def collected(form: Table, chunks: Iterable[Iterable[Mapping[str, Any]]]) -> pa.Table:
    """The table of rows that come in chunks, in any order."""
    with Collected(form) as rows:
        for chunk in chunks:
            rows.add(chunk)
        return rows.table()


class Collected:
    """Takes rows of a table whose key is a hash, in any order.

    They lie in temporary files apart by the first digit of their key: one of these at a time is
    read back and sorted. The table that comes out is mapped from a file, so that its pages are in
    memory only while somebody looks at them. Used in a `with` block: at its end the files lose
    their names, and the table lives on.
    """

    def __init__(self, form: Table) -> None:
        self._form = form
        self._rows: list[Mapping[str, Any]] = []
        self._folder = tempfile.TemporaryDirectory(prefix="chillguard-")
        self._parts: dict[str, pa.RecordBatchStreamWriter] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take rows."""
        self._rows += rows
        if len(self._rows) >= _CHUNK:
            self._flush()

    def table(self) -> pa.Table:
        """All rows, sorted by key; nothing can be added afterwards."""
        self._flush()
        keys = [(name, "ascending") for name in self._form.key]
        path = str(Path(self._folder.name, "sorted"))
        with pa.ipc.new_file(path, self._form.build([]).schema) as file:
            for digit, part in sorted(self._parts.items()):
                part.close()
                with pa.OSFile(self._path(digit)) as stored:
                    file.write_table(pa.ipc.open_stream(stored).read_all().sort_by(keys))
        return pa.ipc.open_file(pa.memory_map(path)).read_all()

    def _flush(self) -> None:
        table, self._rows = self._form.build(self._rows), []
        digits = pc.utf8_slice_codeunits(table[self._form.key[0]], 0, 1)
        for digit in digits.unique().to_pylist():
            if digit not in self._parts:
                self._parts[digit] = pa.ipc.new_stream(self._path(digit), table.schema)
            self._parts[digit].write_table(table.filter(pc.equal(digits, digit)))

    def _path(self, digit: str) -> str:
        return str(Path(self._folder.name, f"part-{digit}"))
