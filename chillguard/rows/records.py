"""Records of input files: from parsed rows to checked ones, each bad row rejected by name.

What a source says of itself is `chillguard.rows.sources`; opening and decoding files is
`resources.inputs`; what a good record becomes is its stage.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NotRequired, TypedDict, cast

import pyarrow as pa

from chillguard.rows import shapes
from chillguard.rows.sources import AnySource as AnySource
from chillguard.rows.sources import HubConfig as HubConfig
from chillguard.rows.sources import RowSource as RowSource
from chillguard.rows.sources import SourceConfig as SourceConfig
from chillguard.rows.tally import Parsed as Parsed
from chillguard.rows.tally import RecordError as RecordError
from chillguard.rows.tally import Reject as Reject
from chillguard.rows.tally import Tally, hold_against, shown
from chillguard.rows.values import written
from chillguard.tables import lineage
from chillguard.text import language

_MAX_COUNTED = 1000
_TEXTS = ("text", "response")


class Record(TypedDict):
    """A good record: a text under the terms of its source, and what else the file says of it."""

    source: str
    lang: str | None
    may_redistribute: bool
    may_train: bool
    text: str
    id: NotRequired[str]
    url: NotRequired[str]
    label: NotRequired[str]
    category: NotRequired[str]
    response: NotRequired[str]


class _Fault(ValueError):
    """Why a row cannot be used: the column at fault, and the reason."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column, self.reason = column, reason


def accept(
    parsed: Iterable[Parsed], source: AnySource, codes: Iterable[str], rejects: list[Reject]
) -> Iterator[Record]:
    """Yield the good records, append the others to `rejects`.

    Raises `RecordError` if the source holds no row, if not one is wanted or good, or if no row of
    a file has a column that the source names.
    """
    known_codes, tally = frozenset(codes), Tally()
    for row in map(_flat, parsed) if source.shape == "label_studio" else parsed:
        if row.error is None and not _wanted(row, source, tally):
            continue
        if tally.read == source.limit:
            break
        tally.read += 1
        record = _record(row, source, known_codes)
        if isinstance(record, Reject):
            rejects.append(record)
            tally.first_reject = tally.first_reject or (row, record)
        else:
            tally.good += 1
            yield record
    hold_against(source, tally)


def rejected_rows(rejects: Iterable[Reject]) -> pa.Table:
    """The `rejected_rows/<asset>` table."""
    return lineage.REJECTED_ROWS.build(
        {
            "source": reject.source,
            "line": reject.line,
            "column": reject.column,
            "reason": reject.reason,
        }
        for reject in rejects
    )


def _flat(row: Parsed) -> Parsed:
    return Parsed(row.line, shapes.flat(row.columns), row.error, row.file)


def _wanted(row: Parsed, source: AnySource, tally: Tally) -> bool:
    """Whether `where` asks for the row; what it holds in the named columns is taken down."""
    if row.file not in tally.lacking:
        tally.lacking[row.file] = source.named_columns
    lacking = tally.lacking[row.file]
    if lacking:
        tally.first_row.setdefault(row.file, row)
        found = {name for name in lacking if _look_up(row.columns, name) is not _MISSING}
        tally.lacking[row.file] = lacking - found
    for column, allowed in source.where.items():
        value = _compared(_look_up(row.columns, column))
        if value not in allowed:
            counts = tally.values.setdefault(column, Counter())
            if value in counts or len(counts) < _MAX_COUNTED:
                counts[value] += 1
            tally.unwanted += 1
            return False
    return True


def _record(row: Parsed, source: AnySource, codes: frozenset[str]) -> Record | Reject:
    if row.error is not None:
        return _reject(source, row, "*", row.error)
    record: dict[str, Any] = {"lang": source.lang, "source": source.name, **source.terms}
    try:
        for name, column in sorted(source.columns.items(), key=lambda item: item[0] != "text"):
            value = _look_up(row.columns, column)
            value = None if value is _MISSING else value
            if name == "text":
                record |= _texts(value, column, source)
            elif (form := _form(name, value, column, source, codes)) is not None:
                record[name] = form
    except _Fault as fault:
        return _reject(source, row, fault.column, fault.reason)
    record["lang"] = language.declared(record["lang"])
    return cast("Record", record)


_MISSING = object()


def _look_up(columns: Mapping[str, Any], path: str) -> Any:
    """The value of a column by its whole name, or else by its path into nested objects."""
    if path in columns:
        return None if columns[path] == "" else columns[path]
    value: Any = columns
    for part in path.split("."):
        if value is None:
            return None
        if not isinstance(value, Mapping) or part not in value:
            return _MISSING
        value = value[part]
    return None if value == "" else value


def _compared(value: Any) -> str:
    """A value as `where` compares it, and as it may be shown."""
    if value is _MISSING:
        return "(no such column)"
    try:
        form = written(value)
    except TypeError:
        return f"({type(value).__name__})"
    return "(null)" if form is None else form


def _texts(value: Any, column: str, source: AnySource) -> dict[str, Any]:
    """The prompt, and the response where a conversation holds one."""
    try:
        said = shapes.exchange(source.shape, value)
    except shapes.ShapeError as error:
        raise _Fault(column, str(error)) from None
    reason = _text_fault(said.prompt)
    if reason:
        raise _Fault(column, reason)
    if said.response is None:
        return {"text": said.prompt}
    return {"text": said.prompt, "response": _form("response", said.response, column, source, ())}


def _form(
    name: str, value: Any, column: str, source: AnySource, codes: Iterable[str]
) -> str | None:
    """The value of a field in its written form; raises `_Fault` where it cannot be one."""
    if name in _TEXTS and not isinstance(value, str | None):
        raise _Fault(column, f"{name} is {type(value).__name__}, not a string")
    try:
        form = value if name in _TEXTS else written(value)
    except TypeError:
        raise _Fault(column, f"{name} {shown(value)} is not one value") from None
    if form is None:
        return None
    if not _is_text(form):
        raise _Fault(column, "holds a lone surrogate")
    if name == "category" and form not in codes:
        raise _Fault(column, f"category {shown(value)} is not in the taxonomy")
    if name != "label":
        return form
    if form not in source.labels:
        raise _Fault(column, f"label {shown(value)} is not one of {sorted(source.labels)}")
    return source.labels[form]


def _text_fault(value: Any) -> str | None:
    if value is None:
        return "there is no text"
    if not isinstance(value, str):
        return f"text is {type(value).__name__}, not a string"
    if not _is_text(value):
        return "holds a lone surrogate"
    return None if value.strip() else "text is empty"


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _reject(source: AnySource, row: Parsed, column: str, reason: str) -> Reject:
    name = f"{source.name}/{row.file}" if row.file else source.name
    return Reject(name, row.line, column, reason)
