import itertools

import pyarrow as pa
import pytest

from chillguard.tables import lineage
from chillguard.tables.table import Column, SchemaError, Table

PETS = Table(
    "pets",
    "pet",
    ("owner", "name"),
    (
        Column("owner", pa.string(), "who"),
        Column("name", pa.string(), "what it is called"),
        Column("kind", pa.string(), "what it is", True, ("cat", "dog")),
        Column("age", pa.int64(), "in years", nullable=True),
    ),
    dict,
)
TOM = {"owner": "a", "name": "Tom", "kind": "cat", "age": 3}
REX = {"owner": "a", "name": "Rex", "kind": "dog", "age": None}
ANN = {"owner": "b", "name": "Ann", "kind": None, "age": 1}
ALL = sorted(lineage.TABLES)


def test_build_sorts_by_key_whatever_the_order():
    tables = [PETS.build(order) for order in itertools.permutations([TOM, REX, ANN])]
    assert [row["name"] for row in tables[0].to_pylist()] == ["Rex", "Tom", "Ann"]
    assert all(table.equals(tables[0]) for table in tables)
    assert PETS.problems(tables[0]) == []


def test_build_fills_absent_columns_with_null_and_leaves_others_out():
    table = PETS.build([{"owner": "a", "name": "Tom", "colour": "grey"}])
    assert table.to_pylist() == [{**TOM, "kind": None, "age": None}]


def test_build_takes_any_iterable_and_none_at_all():
    assert PETS.build(iter([TOM])).num_rows == 1
    assert PETS.build([]).schema.names == ["owner", "name", "kind", "age"]
    assert PETS.problems(PETS.build([])) == []


@pytest.mark.parametrize(
    "row", [{**TOM, "age": "three"}, {**TOM, "owner": 5}, {**TOM, "name": "半个\ud83d"}]
)
def test_build_refuses_a_value_of_another_type_and_names_the_table(row):
    with pytest.raises(SchemaError, match=r"^table pets: "):
        PETS.build([TOM, row])


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (
            PETS.build([TOM]).drop_columns(["age"]),
            "columns are ['owner', 'name', 'kind'], expected",
        ),
        (
            PETS.build([TOM]).select(["name", "owner", "kind", "age"]),
            "columns are ['name', 'owner'",
        ),
        (PETS.build([TOM]).append_column("x", pa.array([1])), "columns are"),
        (
            PETS.build([TOM]).set_column(3, "age", pa.array(["3"])),
            "column age is string, expected int64",
        ),
        (PETS.build([{**TOM, "owner": None}, ANN]), "column owner is null in 1 rows"),
        (
            PETS.build([{**TOM, "kind": "fish"}]),
            "column kind holds 'fish', allowed: ('cat', 'dog')",
        ),
        (PETS.build([TOM, ANN]).slice(0, 2).take([1, 0]), "rows are not sorted by owner, name"),
        (PETS.build([TOM, REX]).take([1, 0]), "rows are not sorted by owner, name"),
        (
            PETS.build([TOM, TOM, ANN]),
            "1 keys stand more than once, first {'owner': 'a', 'name': 'Tom'}",
        ),
    ],
)
def test_each_kind_of_problem_is_found_and_enforce_refuses_it(table, problem):
    (found,) = PETS.problems(table)
    assert found.startswith(problem)
    with pytest.raises(SchemaError) as caught:
        PETS.enforce(table)
    assert str(caught.value) == f"table pets: {found}"


def test_every_column_at_fault_is_listed():
    table = PETS.build([{**TOM, "owner": None, "kind": "fish"}])
    assert len(PETS.problems(table)) == 2


def test_enforce_gives_the_declared_schema():
    table = PETS.enforce(PETS.build([TOM, ANN]))
    assert table.schema.equals(PETS.arrow)
    assert [field.nullable for field in table.schema] == [False, False, True, True]
    assert table.to_pylist() == [TOM, ANN]


def test_equal_parts_of_a_key_are_no_problem():
    assert PETS.problems(PETS.build([TOM, REX, {**TOM, "owner": "b"}])) == []


@pytest.mark.parametrize("name", ALL)
def test_a_table_of_the_lineage_is_well_declared(name):
    table = lineage.TABLES[name]
    names = [column.name for column in table.columns]
    assert table.name == name
    assert len(set(names)) == len(names)
    assert set(table.key) <= set(names)
    assert not any(column.nullable for column in table.columns if column.name in table.key)
    assert all(column.doc for column in table.columns)
    assert table.enforce(table.build([])).num_rows == 0


def test_the_same_column_has_the_same_type_and_values_in_every_table():
    found = {}
    for table in lineage.TABLES.values():
        for column in table.columns:
            found.setdefault(column.name, set()).add((column.type, column.values))
    assert {name: kinds for name, kinds in found.items() if len(kinds) > 1} == {}


def test_a_release_begins_with_the_promised_columns():
    names = [column.name for column in lineage.TRAIN_SET.columns]
    promised = "prompt_id text label macro_category micro_category origin method family_id split"
    assert names[:9] == promised.split()
    assert names == [column.name for column in lineage.TEST_SET.columns]
    assert {"votes", "agreement", "source_label", "translated_from", "may_redistribute"} < set(
        names
    )
    assert "drop_reason" not in names


@pytest.mark.parametrize("name", ALL)
def test_no_table_has_a_clock(name):
    words = ("time", "date", "latency", "elapsed", "created", "_at")
    # `posted_at` is the post's own time, as its source tells it.
    names = {column.name for column in lineage.TABLES[name].columns} - {"posted_at"}
    assert [name for name in names if any(name.endswith(word) for word in words)] == []
