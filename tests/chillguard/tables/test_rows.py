"""The types of the rows say what the Arrow schemas say, both ways."""

import types
import typing

import pyarrow as pa
import pytest

from chillguard import tables
from chillguard.release import changes, publishing
from chillguard.tables import rows

KINDS = {
    pa.string(): str,
    pa.int64(): int,
    pa.float64(): float,
    pa.bool_(): bool,
    pa.list_(pa.string()): list[str],
}
TABLES = {**tables.ALL, "published": publishing.form(), "changes": changes.CHANGES}


def _said(column):
    kind = KINDS[column.type]
    return kind | None if column.nullable else kind


@pytest.mark.parametrize("name", TABLES)
def test_a_row_has_the_columns_of_its_table_with_their_types(name):
    table = TABLES[name]
    said = typing.get_type_hints(table.row_type)
    assert said == {column.name: _said(column) for column in table.columns}
    assert table.row_type.__total__


def test_a_type_that_misses_null_is_seen():
    assert types.UnionType is type(_said(TABLES["train_set"].columns[1]))


def test_the_rows_of_a_table_come_back_as_they_were_built():
    row = {"keyword_id": "k", "micro_category": "A1", "zh": "词", "en": "word"}
    table = tables.ALL["seed_keywords"]
    assert table.rows(table.build([row])) == [row]


def test_a_value_that_a_kept_row_lacks_is_told():
    assert rows.given("") == ""
    with pytest.raises(ValueError, match="a kept row lacks a value"):
        rows.given(None)
