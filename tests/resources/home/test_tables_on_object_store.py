"""Tables under an s3:// URL, on a local object store."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
import s3fs

from chillguard.tables import lineage
from resources.home.tables import Tables, TablesIOManager
from tests import object_store

ROOT = Path(__file__).parents[3]
URL = "s3://tables/home"
KEY = dg.AssetKey("seed_keywords")
PLACE = f"{URL}/seed_keywords/part-00000.parquet"
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")

pytestmark = pytest.mark.enable_socket


@pytest.fixture(scope="module")
def server():
    with object_store.server() as url:
        yield url


@pytest.fixture(autouse=True)
def store(server, monkeypatch, tmp_path):
    """A client of the store, which is empty; ours finds it as a deployment does."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    for name in CREDENTIALS:
        monkeypatch.setenv(name, "test")
    s3fs.S3FileSystem.clear_instance_cache()
    client = s3fs.S3FileSystem()
    for path in client.find("tables"):
        client.rm(path)
    yield client
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def manager():
    return TablesIOManager(folder=URL).create_io_manager(None)


def _table(*ids):
    rows = [{"keyword_id": key, "micro_category": "A1", "zh": "词", "en": "word"} for key in ids]
    return lineage.SEED_KEYWORDS.build(rows).cast(lineage.SEED_KEYWORDS.arrow)


def _store(manager, table):
    with dg.build_output_context(asset_key=KEY, run_id="run") as context:
        manager.handle_output(context, table)
        return context.consume_logged_metadata()


def _load(manager):
    with dg.build_input_context(asset_key=KEY) as context:
        return manager.load_input(context)


def test_a_table_comes_back_with_the_bytes_that_a_disk_would_hold(manager, store, tmp_path):
    found = _store(manager, _table("a", "b"))
    _store(TablesIOManager(folder=str(tmp_path)).create_io_manager(None), _table("a", "b"))
    stored = (tmp_path / "seed_keywords" / "part-00000.parquet").read_bytes()
    assert store.cat_file(PLACE) == stored
    assert found["sha256"].value == hashlib.sha256(stored).hexdigest()
    assert found["path"].value == PLACE
    assert _load(manager).equals(_table("a", "b"))
    assert store.find("tables") == [PLACE.removeprefix("s3://")]


def test_a_table_is_replaced_listed_and_read_outside_the_lineage(manager):
    outside = Tables(folder=URL)
    assert outside.made() == []
    assert outside.read(*KEY.path) is None
    _store(manager, _table("a"))
    outside.write(_table("b"), *KEY.path)
    assert outside.made() == [("seed_keywords",)]
    assert outside.read(*KEY.path).equals(_table("b"))
    assert _load(manager).equals(_table("b"))


def test_assets_hand_tables_to_each_other_through_the_store(manager):
    @dg.asset(key="seed_keywords")
    def seeds() -> pa.Table:
        return _table("a", "b")

    @dg.asset(key=["rejected_rows", "x"], ins={"found": dg.AssetIn("seed_keywords")})
    def after(found: pa.Table) -> pa.Table:
        assert found.equals(_table("a", "b"))
        return lineage.REJECTED_ROWS.build([])

    run = dg.materialize([seeds, after], resources={"io_manager": TablesIOManager(folder=URL)})
    assert run.success
    assert Tables(folder=URL).made() == [("rejected_rows", "x"), ("seed_keywords",)]


def test_a_writer_killed_in_the_middle_of_an_upload_leaves_the_old_table(manager, server, store):
    _store(manager, _table("a"))
    before = store.cat_file(PLACE)
    script = (
        "import random; from resources.home.tables import Tables; "
        "from chillguard.tables import lineage; "
        "ids = sorted(f'{n:05d}{random.random()}' for n in range(20_000)); "
        "rows = [{'keyword_id': i, 'micro_category': 'A1', 'zh': i, 'en': i} for i in ids]; "
        f"Tables(folder={URL!r}).write(lineage.SEED_KEYWORDS.build(rows), 'seed_keywords')"
    )
    with object_store.gate(server, after=100_000) as (url, reached):
        environment = {**os.environ, "AWS_ENDPOINT_URL": url, "PYTHONPATH": str(ROOT)}
        writer = subprocess.Popen([sys.executable, "-W", "ignore", "-c", script], env=environment)
        assert reached.wait(60)
        assert writer.poll() is None
        writer.kill()
        writer.wait()
    assert store.cat_file(PLACE) == before
    assert _load(manager).equals(_table("a"))
    _store(manager, _table("a", "b"))
    assert _load(manager).num_rows == 2


def test_a_missing_table_names_its_asset_and_the_mend(manager):
    with pytest.raises(dg.Failure) as caught:
        _load(manager)
    assert caught.value.description == (
        f"table seed_keywords does not exist at {PLACE}: materialize asset seed_keywords first"
    )


def _told(act):
    with pytest.raises(dg.Failure) as caught:
        act()
    return caught.value.description


def test_a_bucket_that_is_missing_is_told_and_not_made(store):
    manager = TablesIOManager(folder="s3://misspelt/home").create_io_manager(None)
    told = _told(lambda: _store(manager, _table("a")))
    assert told.startswith(
        "table seed_keywords cannot be reached at "
        "s3://misspelt/home/seed_keywords/part-00000.parquet (The specified bucket does not exist)"
    )
    assert "the bucket must exist" in told
    assert told.endswith("then materialize asset seed_keywords again")
    assert store.ls("") == ["tables"]


@pytest.mark.parametrize("act", [lambda m: _store(m, _table("a")), _load,
                                 lambda _: Tables(folder=URL).read(*KEY.path)])  # fmt: skip
def test_missing_credentials_are_told_with_their_names(manager, monkeypatch, act):
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    s3fs.S3FileSystem.clear_instance_cache()
    told = _told(lambda: act(manager))
    assert told.startswith(f"table seed_keywords cannot be reached at {PLACE} (Unable to locate")
    assert all(name in told for name in (*CREDENTIALS, "AWS_ENDPOINT_URL"))


def test_a_listing_without_credentials_is_told_too(monkeypatch):
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    s3fs.S3FileSystem.clear_instance_cache()
    told = _told(Tables(folder=URL).made)
    assert told.startswith(f"the folder of tables cannot be reached at {URL} (Unable to locate")


def test_a_missing_package_is_told():
    manager = TablesIOManager(folder="gs://tables/home").create_io_manager(None)
    told = _told(lambda: _store(manager, _table("a")))
    assert "gcsfs" in told
    assert "make .venv/scale" in told
