"""Records of input files: from parsed rows to checked ones, each bad row rejected by name.

Opening and decoding files is `resources.inputs.files`; what a good record becomes is its stage.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict, cast

import pyarrow as pa
from pydantic import BaseModel, ConfigDict
from pydantic import Field as Setting

from chillguard.tables import lineage

Field = Literal["text", "id", "url", "lang", "label", "category"]
_MAX_SHOWN = 32


class RowSource(BaseModel):
    """What every source of rows says: which column holds what, and under which terms it comes.

    `columns` maps our field to the file's column (a dotted path reaches into nested objects);
    `labels` maps the file's label values to safe or unsafe; `where` keeps only rows whose column
    has one of the given values; `limit` reads no more than so many rows; files whose name fits a
    pattern of `exclude_files` (`xstest_*`, in any case of letters) are not opened.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    exclude_files: list[str] = []
    columns: dict[Field, str] = {"text": "text"}
    labels: dict[str, Literal["safe", "unsafe"]] = {"safe": "safe", "unsafe": "unsafe"}
    where: dict[str, list[str]] = {}
    limit: int | None = None
    lang: str | None = None
    licence: str | None = None
    may_redistribute: bool = False
    may_train: bool = True

    @property
    def terms(self) -> dict[str, bool]:
        """Terms of every row of this source."""
        return {"may_redistribute": self.may_redistribute, "may_train": self.may_train}

    def admits(self, file: str) -> bool:
        """Whether a file of this name is read."""
        return not any(fnmatchcase(file.lower(), fit.lower()) for fit in self.exclude_files)


class SourceConfig(RowSource):
    """A file, or a folder of files, on this machine."""

    kind: Literal["files"] = "files"
    path: Path

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"file {self.path}"


class HubConfig(RowSource):
    """A data set on the hub, read as a stream: the arguments are those of `datasets`."""

    kind: Literal["hub"] = "hub"
    dataset: str
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    data_files: str | list[str] | None = None

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"data set {self.dataset}"


AnySource = Annotated[SourceConfig | HubConfig, Setting(discriminator="kind")]


@dataclass(frozen=True)
class Parsed:
    """One row of a file: its line (from 1) and its columns, or why it could not be decoded.

    `file` is the name of the file where the source has several.
    """

    line: int
    columns: Mapping[str, Any]
    error: str | None = None
    file: str | None = None


@dataclass(frozen=True)
class Reject:
    """A row that cannot be used; the reason never quotes the text."""

    source: str
    line: int
    column: str
    reason: str


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


class RecordError(ValueError):
    """A file of which no row can be used; the message names file, line and column."""


def accept(
    parsed: Iterable[Parsed], source: AnySource, codes: Iterable[str], rejects: list[Reject]
) -> Iterator[Record]:
    """Yield the good records, append the others to `rejects`.

    Raises `RecordError` if there are rows and not one is good, or a column of `where` is missing.
    """
    known = frozenset(codes)
    good = read = 0
    first: tuple[Parsed, Reject] | None = None
    unwanted: Parsed | None = None
    for row in parsed:
        if row.error is None and not _wanted(row.columns, source.where):
            unwanted = unwanted or row
            continue
        if read == source.limit:
            break
        read += 1
        record = _record(row, source, known)
        if isinstance(record, Reject):
            rejects.append(record)
            first = first or (row, record)
        else:
            good += 1
            yield record
    if first and not good:
        raise RecordError(_nothing_good(source, *first))
    lacking = [c for c in source.where if unwanted and _look_up(unwanted.columns, c) is _MISSING]
    if unwanted and lacking and not read:
        raise RecordError(_nothing_wanted(source, unwanted, lacking[0]))


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


def _record(row: Parsed, source: AnySource, codes: frozenset[str]) -> Record | Reject:
    if row.error is not None:
        return _reject(source, row, "*", row.error)
    record: dict[str, Any] = {"lang": source.lang, "source": source.name, **source.terms}
    for field, column in sorted(source.columns.items(), key=lambda item: item[0] != "text"):
        value = _look_up(row.columns, column)
        reason = _fault(field, value, source, codes)
        if reason:
            return _reject(source, row, column, reason)
        if value is not None:
            record[field] = source.labels[value] if field == "label" else str(value)
    return cast("Record", record)


_MISSING = object()


def _look_up(columns: Mapping[str, Any], path: str) -> Any:
    value: Any = columns
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return _MISSING
        value = value[part]
    return None if value == "" else value


def _wanted(columns: Mapping[str, Any], where: Mapping[str, list[str]]) -> bool:
    return all(_look_up(columns, column) in allowed for column, allowed in where.items())


def _fault(field: str, value: Any, source: AnySource, codes: frozenset[str]) -> str | None:
    if value is _MISSING:
        return "column is missing"
    if isinstance(value, str) and not _is_text(value):
        return "holds a lone surrogate"
    if field == "text":
        return _text_fault(value)
    if value is None:
        return None
    if field == "label" and not (isinstance(value, str) and value in source.labels):
        return f"label {_shown(value)} is not one of {sorted(source.labels)}"
    if field == "category" and not (isinstance(value, str) and value in codes):
        return f"category {_shown(value)} is not in the taxonomy"
    return None


def _shown(value: Any) -> str:
    """A value as an error may show it: a long one is likely to be a text under a wrong name."""
    form = repr(value)
    return (
        form if len(form) <= _MAX_SHOWN else f"({type(value).__name__} of {len(form)} characters)"
    )


def _text_fault(value: Any) -> str | None:
    if not isinstance(value, str):
        return f"text is {type(value).__name__}, not a string"
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


def _nothing_good(source: AnySource, row: Parsed, reject: Reject) -> str:
    return (
        f"source {source.name!r}, {_place(source, row)}: no row can be used; first, line "
        f"{reject.line}, column {reject.column!r}: {reject.reason}. "
        f"The file's columns are {sorted(row.columns)}; set `columns` of the source in the profile."
    )


def _nothing_wanted(source: AnySource, row: Parsed, column: str) -> str:
    return (
        f"source {source.name!r}, {_place(source, row)}, line {row.line}: there is no column "
        f"{column!r}, and so no row that `where` asks for. The file's columns are "
        f"{sorted(row.columns)}; mend `where` of the source in the profile."
    )


def _place(source: AnySource, row: Parsed) -> str:
    return f"{source.place}, {row.file}" if row.file else source.place
