"""What a source of rows says of itself in a profile: where it is, its columns, its terms."""

import codecs
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from chillguard.rows import shapes
from chillguard.rows.values import written

Name = Literal["text", "id", "url", "lang", "label", "category", "response"]


class RowSource(BaseModel):
    """What every source of rows says: which column holds what, and under which terms it comes.

    `columns` maps our field to the file's column (a dotted path reaches into nested objects);
    `labels` maps the file's label values to safe or unsafe; `where` keeps only rows whose column
    has one of the given values; `limit` reads no more than so many rows; files whose name fits a
    pattern of `exclude_files` (`xstest_*`, in any case of letters) are not opened. `shape` says
    what a row is: a text of its own, or a conversation of which the last user turn is the prompt.
    Values are compared in one written form: 1, 1.0 and `1` are equal, and so are true and `True`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    exclude_files: list[str] = []
    shape: shapes.Shape = "rows"
    columns: dict[Name, str] = {}
    labels: dict[str, Literal["safe", "unsafe"]] = {"safe": "safe", "unsafe": "unsafe"}
    where: dict[str, list[str]] = {}
    limit: int | None = Field(None, gt=0)
    lang: str | None = None
    licence: str | None = None
    may_redistribute: bool = False
    may_train: bool = True

    @model_validator(mode="before")
    @classmethod
    def _columns_of_the_shape(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        columns = shapes.COLUMNS.get(str(given.get("shape", "rows")), {})
        own = given.get("columns", {})
        return {**given, "columns": {**columns, **own}} if isinstance(own, dict) else given

    @field_validator("labels", mode="before")
    @classmethod
    def _labels_as_written(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        forms = {str(written(value)): label for value, label in given.items()}
        if len(forms) < len(given):
            raise ValueError(
                "two labels are the same value: 1, 1.0 and '1' are, as true and 'True'"
            )
        return forms

    @field_validator("where", mode="before")
    @classmethod
    def _where_as_written(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {
            column: [
                written(value) for value in (allowed if isinstance(allowed, list) else [allowed])
            ]
            for column, allowed in given.items()
        }

    @property
    def terms(self) -> dict[str, bool]:
        """Terms of every row of this source."""
        return {"may_redistribute": self.may_redistribute, "may_train": self.may_train}

    @property
    def named_columns(self) -> set[str]:
        """Columns of the file that the profile names."""
        return {*self.columns.values(), *self.where}

    def admits(self, file: str) -> bool:
        """Whether a file of this name is read."""
        return not any(fnmatchcase(file.lower(), fit.lower()) for fit in self.exclude_files)


class SourceConfig(RowSource):
    """A file, or a folder of files, on this machine.

    Texts are UTF-8, or UTF-16 with its mark, unless `encoding` says otherwise; a CSV file has the
    delimiter with which its header holds the named columns, unless `delimiter` says otherwise.
    """

    kind: Literal["files"] = "files"
    path: Path
    encoding: str | None = None
    delimiter: str | None = Field(None, min_length=1, max_length=1)

    @field_validator("delimiter")
    @classmethod
    def _is_a_delimiter(cls, sign: str | None) -> str | None:
        if sign is not None and sign in '"\r\n':
            raise ValueError("a quote or a line end cannot be the delimiter")
        return sign

    @field_validator("encoding")
    @classmethod
    def _is_an_encoding(cls, name: str | None) -> str | None:
        if name is None:
            return None
        try:
            codec = codecs.lookup(name)
            b"".decode(name)
        except LookupError:
            raise ValueError(
                f"there is no encoding {name!r}; known are utf-8, gb18030, utf-16, big5"
            ) from None
        return codec.name

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


AnySource = Annotated[SourceConfig | HubConfig, Field(discriminator="kind")]


def has(names: Mapping[str, object] | list[str], column: str) -> bool:
    """Whether a file with these columns holds a named one, or the object that it lies in."""
    return column in names or column.split(".")[0] in names
