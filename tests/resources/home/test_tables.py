import hashlib
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chillguard.tables import ALL, lineage
from chillguard.tables.table import SchemaError
from resources.home import tables
from resources.home.tables import Tables, TablesIOManager

KEY = dg.AssetKey("seed_keywords")


@pytest.fixture
def manager(tmp_path):
    return TablesIOManager(folder=str(tmp_path / "tables")).create_io_manager(None)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tables" / "seed_keywords" / "part-00000.parquet"


def _table(*ids):
    rows = [{"keyword_id": key, "micro_category": "A1", "zh": "词", "en": "word"} for key in ids]
    return lineage.SEED_KEYWORDS.build(rows).cast(lineage.SEED_KEYWORDS.arrow)


def _store(manager, table, key=KEY):
    """Write a table as an asset; returns the metadata of the output."""
    with dg.build_output_context(asset_key=key, run_id="run") as context:
        manager.handle_output(context, table)
        return context.consume_logged_metadata()


def _load(manager, key=KEY):
    with dg.build_input_context(asset_key=key) as context:
        return manager.load_input(context)


def test_a_table_comes_back_as_it_was_stored(manager, path):
    _store(manager, _table("a", "b"))
    assert _load(manager).equals(_table("a", "b"))
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_the_stored_file_has_the_schema_of_its_table(manager, path):
    _store(manager, _table("a"))
    assert pq.read_schema(path).equals(lineage.SEED_KEYWORDS.arrow)
    assert not pq.read_schema(path).field("zh").nullable


def test_a_key_of_several_parts_is_a_folder_path_under_the_schema_of_the_first(manager, tmp_path):
    key = dg.AssetKey(["rejected_rows", "crawled_posts", "mine"])
    table = lineage.REJECTED_ROWS.build([])
    _store(manager, table, key)
    folders = ("rejected_rows", "crawled_posts", "mine")
    assert tmp_path.joinpath("tables", *folders, "part-00000.parquet").is_file()
    assert _load(manager, key).schema.equals(lineage.REJECTED_ROWS.arrow)


def test_metadata_give_row_count_digest_and_place(manager, path):
    found = _store(manager, _table("a", "b"))
    assert found["dagster/row_count"].value == 2
    assert found["sha256"].value == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found["path"].value == str(path)


def test_the_same_table_gives_the_same_bytes(manager, path):
    _store(manager, _table("a", "b"))
    first = path.read_bytes()
    _store(manager, _table("b", "a"))
    assert path.read_bytes() == first


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.drop_columns(["en"]), "columns are"),
        (lambda t: t.append_column("more", [["x"] * t.num_rows]), "columns are"),
        (lambda t: t.take([1, 0]), "not sorted by keyword_id"),
        (lambda t: pa.concat_tables([t, t]).sort_by("keyword_id"), "stand more than once"),
        (lambda t: t.set_column(2, "zh", [[None, "x"]]), "column zh is null in 1 rows"),
        (lambda t: t.set_column(2, "zh", [[1, 2]]), "column zh is int64"),
    ],
)
def test_a_table_that_breaks_its_schema_is_not_stored(manager, path, change, reason):
    _store(manager, _table("a"))
    before = path.read_bytes()
    with pytest.raises(SchemaError, match=reason):
        _store(manager, change(_table("a", "b")))
    assert path.read_bytes() == before


@pytest.mark.parametrize("moment", ["writing", "moving"])
def test_a_write_that_fails_leaves_the_table_as_it_was(manager, monkeypatch, moment):
    _store(manager, _table("a"))

    def fail(*args, **_):
        if moment == "writing":
            args[1].write_bytes(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        place = (tables.pq, "write_table") if moment == "writing" else (Path, "replace")
        patch.setattr(*place, fail)
        with pytest.raises(OSError, match="disk full"):
            _store(manager, _table("a", "b"))
    assert _load(manager).equals(_table("a"))
    _store(manager, _table("a", "b"))
    assert _load(manager).num_rows == 2


def test_a_first_write_that_fails_leaves_no_table(manager, path, monkeypatch):
    def fail(table, file, **_):
        file.write_bytes(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(tables.pq, "write_table", fail)
        with pytest.raises(OSError, match="disk full"):
            _store(manager, _table("a"))
    assert not path.exists()


def test_a_missing_table_names_its_asset_and_the_mend(manager, path):
    with pytest.raises(dg.Failure) as caught:
        _load(manager)
    assert caught.value.description == (
        f"table seed_keywords does not exist at {path}: materialize asset seed_keywords first"
    )


@pytest.mark.parametrize("content", [b"", b"not a table at all"])
def test_a_damaged_table_names_its_asset_and_the_mend(manager, path, content):
    _store(manager, _table("a"))
    path.write_bytes(content)
    with pytest.raises(dg.Failure) as caught:
        _load(manager)
    message = caught.value.description
    assert message.startswith(f"table seed_keywords at {path} is damaged (")
    assert message.endswith("materialize asset seed_keywords again")


def test_a_table_without_rights_names_its_asset_and_the_mend(manager, path, monkeypatch):
    _store(manager, _table("a"))

    def refuse(file):
        raise PermissionError("Permission denied")

    monkeypatch.setattr(tables.pq, "read_table", refuse)
    with pytest.raises(dg.Failure) as caught:
        _load(manager)
    assert caught.value.description == (
        f"table seed_keywords at {path} may not be read (Permission denied): mend the rights of "
        "the file"
    )


def test_assets_hand_tables_to_each_other_through_the_folder(tmp_path):
    @dg.asset(key="seed_keywords")
    def seeds() -> pa.Table:
        return _table("a", "b")

    @dg.asset(key=["rejected_rows", "x"], ins={"found": dg.AssetIn("seed_keywords")})
    def after(found: pa.Table) -> pa.Table:
        assert found.equals(_table("a", "b"))
        return lineage.REJECTED_ROWS.build([])

    manager = TablesIOManager(folder=str(tmp_path))
    run = dg.materialize([seeds, after], resources={"io_manager": manager})
    assert run.success
    [event] = run.asset_materializations_for_node("seed_keywords")
    assert event.metadata["dagster/row_count"].value == 2


def test_a_folder_may_be_any_file_system():
    manager = TablesIOManager(folder="memory://some/tables").create_io_manager(None)
    for ids in (("a",), ("a", "b")):
        _store(manager, _table(*ids))
        assert _load(manager).num_rows == len(ids)


@pytest.fixture
def outside(tmp_path):
    """The same tables, as they are read outside the lineage."""
    return Tables(folder=str(tmp_path / "tables"))


def test_before_the_first_run_no_table_has_been_made(outside):
    assert outside.made() == []
    assert outside.read("crawled_posts", "one") is None


def test_all_tables_that_were_made_are_listed_by_their_keys(manager, outside):
    rejects = dg.AssetKey(["rejected_rows", "crawled_posts", "mine"])
    _store(manager, lineage.REJECTED_ROWS.build([]), rejects)
    _store(manager, _table("a"))
    assert outside.made() == [tuple(rejects.path), ("seed_keywords",)]
    assert outside.read("seed_keywords").equals(_table("a"))


def test_a_table_is_replaced_under_its_schema(manager, outside, path):
    _store(manager, _table("a", "b"))
    outside.write(_table("b"), "seed_keywords")
    assert _load(manager).equals(_table("b"))
    assert pq.read_schema(path).equals(lineage.SEED_KEYWORDS.arrow)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_replacement_that_breaks_the_schema_leaves_the_table(manager, outside):
    _store(manager, _table("a"))
    with pytest.raises(SchemaError, match="columns are"):
        outside.write(_table("b").drop_columns(["zh"]), "seed_keywords")
    assert _load(manager).equals(_table("a"))
    assert outside.made() == [("seed_keywords",)]


def test_a_stored_table_shows_its_columns(manager):
    shown = _store(manager, _table("a"))["dagster/column_schema"].value
    columns = {column.name: column for column in shown.columns}
    assert list(columns) == lineage.SEED_KEYWORDS.names
    assert columns["keyword_id"].constraints.unique
    assert not columns["zh"].constraints.nullable
    assert columns["en"].description == "English form"


@pytest.mark.parametrize("name", ALL)
def test_the_shown_columns_say_what_the_schema_says(name):
    table = ALL[name]
    shown = {column.name: column for column in tables.column_schema(table).columns}
    for column in table.columns:
        kind = shown[column.name]
        assert (kind.type, kind.description) == (str(column.type), column.doc)
        assert kind.constraints.nullable == column.nullable
        assert ("holds_text" in kind.tags) == column.holds_text
        assert bool(kind.constraints.other) == bool(column.values)
