"""Every table of the schema is made by an asset, stored under it and checked against it."""

import dagster as dg
import pytest

from chillguard import tables
from chillguard.tables import lineage
from pipelines import definitions
from pipelines import profile as profiles


@pytest.fixture(scope="module")
def defs(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    return definitions.build(profiles.load("offline"), home)


@pytest.fixture(scope="module")
def keys(defs):
    specs = defs.resolve_all_asset_specs()
    return [spec.key for spec in specs if spec.group_name != "plan"]


@pytest.mark.parametrize("name", lineage.TABLES)
def test_a_table_is_made_by_an_asset(keys, name):
    assert name in {key.path[0] for key in keys}


def test_no_asset_makes_a_table_without_a_schema(keys):
    assert {key.path[0] for key in keys} <= lineage.TABLES.keys()


@pytest.mark.parametrize("name", lineage.TABLES)
def test_a_table_has_a_blocking_check_against_its_schema(defs, keys, name):
    checked = {
        spec.asset_key
        for check in defs.asset_checks
        for spec in check.check_specs
        if spec.name == "schema" and spec.blocking
    }
    assert {key for key in keys if key.path[0] == name} <= checked


@pytest.mark.parametrize("name", lineage.TABLES)
def test_a_table_is_stored_under_its_schema(defs, name):
    manager = defs.resources["io_manager"].create_io_manager(None)
    with dg.build_output_context(asset_key=dg.AssetKey(name), run_id="run") as context:
        manager.handle_output(context, lineage.TABLES[name].build([]))
    with dg.build_input_context(asset_key=dg.AssetKey(name)) as context:
        assert manager.load_input(context).schema.equals(lineage.TABLES[name].arrow)


@pytest.mark.parametrize("table", tables.ALL.values(), ids=lambda table: table.name)
def test_a_table_is_described_column_by_column_and_keyed_by_its_own_columns(table):
    names = [column.name for column in table.columns]
    assert len(names) == len(set(names))
    assert set(table.key) <= set(names)
    assert not [
        column.name for column in table.columns if column.name in table.key and column.nullable
    ]
    assert all(column.doc and table.row for column in table.columns)


def test_the_same_fact_has_the_same_name_and_type_in_every_table():
    types = {}
    for table in tables.ALL.values():
        for column in table.columns:
            types.setdefault(column.name, set()).add(str(column.type))
    assert {name: found for name, found in types.items() if len(found) > 1} == {}


def test_no_table_has_a_column_of_time_or_speed():
    names = {column.name for table in tables.ALL.values() for column in table.columns}
    # The post's own time, which its source tells; none of ours.
    names -= {"posted_at"}
    assert not [name for name in names if name.endswith(("_at", "_ms", "time", "latency"))]
