"""Rows of JSON files: an object a line, an array of objects, or one document that holds them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import dagster as dg

from chillguard.rows import records
from chillguard.rows.sources import has
from resources.inputs import texts

_MAX_DOCUMENT = 1 << 28
_DECODER = json.JSONDecoder()
_BLANK = " \t\r\n\ufeff"


def json_rows(
    path: Path, source: records.SourceConfig, tell: texts.Tell
) -> Iterator[records.Parsed]:
    """Rows of a JSON file, whatever of the three forms it has; its ending says nothing about it.

    Raises `dg.Failure` for a document that is not JSON, or of which it is not clear where its rows
    are.
    """
    with texts.opened(path, source) as file:
        by_line = _is_by_line(file)
    with texts.opened(path, source) as file:
        if by_line:
            yield from _of_lines(file, source)
        else:
            yield from _of_document(file, path, source, tell)


def _is_by_line(file: TextIO) -> bool:
    """Whether the lines are rows: unless the first value of the file goes over several lines."""
    filled = (line for line in texts.lines(file) if line is None or line.strip(_BLANK))
    first, second = next(filled, ""), next(filled, "")
    if second == "":
        return False
    if first is None:
        return True
    try:
        json.loads(first.strip(_BLANK))
    except ValueError:
        start = f"{first}{second or ''}{file.read(texts.MAX_FIELD)}".lstrip(_BLANK)
        return not _is_whole(start)
    except RecursionError:
        return True
    return True


def _is_whole(start: str) -> bool:
    """Whether a text begins with a JSON value, or with an array whose first value is one."""
    at = _after_blank(start, 1) if start.startswith("[") else 0
    if at and start.startswith("]", at):
        return True
    try:
        _DECODER.raw_decode(start, at)
    except (ValueError, RecursionError):
        return False
    return True


def _of_lines(file: TextIO, source: records.SourceConfig) -> Iterator[records.Parsed]:
    for number, line in enumerate(texts.lines(file), 1):
        if line is None:
            yield records.Parsed(number, {}, f"longer than {texts.MAX_FIELD >> 10} KiB")
        elif line.strip(_BLANK):
            yield _decoded(number, line.strip(_BLANK), source)


def _decoded(number: int, line: str, source: records.SourceConfig) -> records.Parsed:
    if texts.LOST in line:
        return records.Parsed(number, {}, f"not {(source.encoding or 'utf-8').upper()}")
    try:
        columns = json.loads(line)
    except (ValueError, RecursionError) as error:
        return records.Parsed(number, {}, f"not JSON: {getattr(error, 'msg', 'too deep')}")
    return _row(number, columns)


def _row(number: int, value: Any) -> records.Parsed:
    if not isinstance(value, dict):
        return records.Parsed(number, {}, "JSON, but not an object")
    return records.Parsed(number, value)


def _of_document(
    file: TextIO, path: Path, source: records.SourceConfig, tell: texts.Tell
) -> Iterator[records.Parsed]:
    text = file.read(_MAX_DOCUMENT + 1)
    if len(text) > _MAX_DOCUMENT:
        raise OSError(
            f"a document is read whole, and this one has more than {_MAX_DOCUMENT >> 20} MiB: "
            "write one object a line"
        )
    if texts.LOST in text:
        place = f"line {text.count(chr(10), 0, text.index(texts.LOST)) + 1}"
        raise OSError(f"it is not {(source.encoding or 'utf-8').upper()} at {place}")
    try:
        for number, value in enumerate(_values(text, path, source, tell), 1):
            yield _row(number, value)
    except (ValueError, RecursionError) as error:
        raise dg.Failure(
            f"source {source.name!r}: file {path} is not JSON: {_told(error)}; mend the file"
        ) from None


def _told(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    return "a number of too many digits" if isinstance(error, ValueError) else "too deep"


def _values(text: str, path: Path, source: records.SourceConfig, tell: texts.Tell) -> Iterator[Any]:
    """The rows of a document, one built at a time where it is an array."""
    start = _after_blank(text, 0)
    if text.startswith("[", start):
        yield from _elements(text, start + 1)
        return
    first, end = _DECODER.raw_decode(text, start)
    end = _after_blank(text, end)
    if end == len(text):
        yield from _inside(first, path, source, tell) if isinstance(first, dict) else [first]
        return
    yield first
    while end < len(text):
        value, end = _DECODER.raw_decode(text, end)
        yield value
        end = _after_blank(text, end)


def _elements(text: str, at: int) -> Iterator[Any]:
    at = _after_blank(text, at)
    closed = text.startswith("]", at)
    while not closed:
        value, at = _DECODER.raw_decode(text, at)
        yield value
        at = _after_blank(text, at)
        closed = text.startswith("]", at)
        if not closed and not text.startswith(",", at):
            raise json.JSONDecodeError("Expecting ',' or ']'", text, at)
        at = _after_blank(text, at + 1) if not closed else at
    rest = _after_blank(text, at + 1)
    if rest < len(text):
        raise json.JSONDecodeError("Extra data", text, rest)


def _after_blank(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANK:
        at += 1
    return at


def _inside(
    document: Mapping[str, Any], path: Path, source: records.SourceConfig, tell: texts.Tell
) -> Sequence[Any]:
    """The rows that an object holds: in its columns, under one of its keys, or it is one itself."""
    if has(document, source.columns["text"]):
        return _of_columns(document, source)
    lists = {key: value for key, value in document.items() if _holds_objects(value)}
    if len(lists) > 1:
        raise dg.Failure(
            f"source {source.name!r}: file {path} is an object with several lists of rows, under "
            f"{sorted(lists)}: write the wanted one to a file of its own"
        )
    for key, rows in lists.items():
        tell(f"source {source.name!r}: file {path}: its rows are those under {key!r}")
        return list(rows)
    if document and all(isinstance(value, dict) for value in document.values()):
        tell(f"source {source.name!r}: file {path}: its rows are the values of one object")
        return list(document.values())
    return [document]


def _of_columns(document: Mapping[str, Any], source: records.SourceConfig) -> Sequence[Any]:
    """Rows of an object of columns, each a list, or an object by row as pandas writes it."""
    first = document.get(source.columns["text"])
    columns = list(document.values())
    talks = source.shape in ("messages", "sharegpt")
    if isinstance(first, dict) and all(isinstance(column, dict) for column in columns):
        keys = list(dict.fromkeys(key for column in columns for key in column))
        return [{n: c[key] for n, c in document.items() if key in c} for key in keys]
    if not isinstance(first, list) or not all(isinstance(c, list) for c in columns):
        return [document]
    if talks and not all(isinstance(value, list) for value in first):
        return [document]
    if len({len(column) for column in columns}) > 1:
        raise dg.Failure(
            f"source {source.name!r}: its columns are lists of different lengths: "
            f"{ {name: len(column) for name, column in document.items()} }; mend the file"
        )
    return [dict(zip(document, row, strict=True)) for row in zip(*columns, strict=True)]


def _holds_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)
