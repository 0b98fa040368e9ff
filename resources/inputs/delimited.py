"""Rows of CSV files and their kin: quotes are held strictly, so that none swallows other rows."""

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from chillguard.rows import records
from chillguard.rows.sources import has
from resources.inputs import texts
from resources.inputs.columns import need_columns

_DELIMITERS = (",", ";", "\t", "|")
# A field over so many lines that each look like a row of the file is most likely an open quote.
_FEW_LINES = 3
_MANY_LINES = 1000
# A line that no field can hold; no text in a file's encoding has the sign.
_TOO_LONG = "\udcfe"


def csv_rows(
    path: Path, source: records.SourceConfig, tell: texts.Tell
) -> Iterator[records.Parsed]:
    """Rows under a header; the line of a row is its last one.

    A quote that opens and is not closed as it should be costs its own line, not those after it.
    Raises `dg.Failure` when the header lacks a named column.
    """
    csv.field_size_limit(texts.MAX_FIELD)
    with texts.opened(path, source, newline="") as file:
        held = _Lines(file)
        names, delimiter = _header(held, path, source)
        need_columns(source, f"file {path}, line 1", names)
        if delimiter != ",":
            tell(f"source {source.name!r}: file {path}: its delimiter is {delimiter!r}")
        rows = _Rows(held, names, delimiter, (source.encoding or "utf-8").upper())
        while (row := rows.next()) is not None:
            if row.columns or row.error:
                yield row


class _Lines:
    """Lines of a file, those of the current row kept, so that they can be given back."""

    def __init__(self, file: TextIO) -> None:
        self._lines, self._back = texts.lines(file), deque[str]()
        self.number = 0
        self.taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._back.popleft() if self._back else next(self._lines) or _TOO_LONG
        self.number += 1
        self.taken.append(line)
        return line

    def give_back(self, keep: int) -> None:
        """All lines of the current row but the first `keep` are read again."""
        self._back.extendleft(reversed(self.taken[keep:]))
        self.number -= len(self.taken) - keep
        del self.taken[keep:]


class _Rows:
    """One row after another, and what is wrong with it."""

    def __init__(self, held: _Lines, names: Sequence[str], delimiter: str, encoding: str) -> None:
        self._held, self._names, self._encoding = held, names, encoding
        self._delimiter = delimiter
        self._doubted_until = 0

    def next(self) -> records.Parsed | None:
        """The next row, empty for a blank line; None at the end."""
        held = self._held
        held.taken.clear()
        try:
            fields = next(csv.reader(held, delimiter=self._delimiter, strict=True), None)
        except csv.Error:
            return self._open_quote()
        if fields is None:
            return None
        return records.Parsed(held.number, *self._columns(fields))

    def _open_quote(self) -> records.Parsed:
        """The line whose quote is at fault; the lines after it are rows of their own."""
        held, last = self._held, self._held.number
        self._doubted_until = max(self._doubted_until, last)
        held.give_back(1)
        if last == held.number:
            return records.Parsed(last, {}, "a quote that stands inside a field is not doubled")
        return records.Parsed(
            held.number,
            {},
            f"a quote opens here and is not closed as it should be up to line {last}: close it, or "
            'double a quote that is part of the text (""); the lines after it are read as rows',
        )

    def _columns(self, fields: list[str]) -> tuple[dict[str, str], str | None]:
        held = self._held
        if not fields:
            return {}, None
        if any(texts.LOST in line for line in held.taken):
            return {}, f"not {self._encoding}"
        if _TOO_LONG in held.taken:
            return {}, f"longer than {texts.MAX_FIELD >> 10} KiB"
        if self._is_doubtful(fields):
            return {}, "stands in a field that an open quote before it may have begun"
        if len(fields) != len(self._names):
            many = "more" if len(fields) > len(self._names) else "fewer"
            return {}, f"{many} fields than the header names"
        if self._swallows():
            first = held.number - len(held.taken) + 1
            return {}, (
                f"one field goes from line {first} to line {held.number}, and its lines look like "
                f"rows: close the quote on line {first}, or write the file as JSON lines if it is "
                "one text"
            )
        return dict(zip(self._names, fields, strict=True)), None

    def _is_doubtful(self, fields: list[str]) -> bool:
        """Whether a line after an open quote may be part of that quote's text."""
        if len(self._names) == 1:
            return self._held.number <= self._doubted_until
        if self._held.number > self._doubted_until + 1 or not any('"' in one for one in fields):
            return False
        self._doubted_until = max(self._doubted_until, self._held.number)
        return True

    def _swallows(self) -> bool:
        inner = self._held.taken[1:-1]
        if len(inner) >= _MANY_LINES:
            return True
        if len(self._names) == 1 or len(inner) < _FEW_LINES:
            return False
        return all(self._width(line) == len(self._names) for line in inner)

    def _width(self, line: str) -> int:
        try:
            return len(next(csv.reader([line], delimiter=self._delimiter, strict=True), []))
        except csv.Error:
            return 0


def _header(held: _Lines, path: Path, source: records.SourceConfig) -> tuple[list[str], str]:
    """The names of the columns, and the delimiter with which they hold those that are wanted."""
    usual = "\t" if path.name.lower().removesuffix(".gz").endswith(".tsv") else ","
    given = (source.delimiter,) if source.delimiter else (usual, *_DELIMITERS)
    split = [(_split(held, delimiter), delimiter) for delimiter in given]
    wanted = source.named_columns
    fits = (one for one in split if all(has(one[0], name) for name in wanted))
    names, delimiter = next(fits, split[0])
    next(csv.reader(held, delimiter=delimiter), None)
    return names, delimiter


def _split(held: _Lines, delimiter: str) -> list[str]:
    held.taken.clear()
    names = next(csv.reader(held, delimiter=delimiter), [])
    held.give_back(0)
    return [name.removeprefix("\ufeff") for name in names]
