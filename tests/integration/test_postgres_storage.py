"""Dagster's own storage and the ledger in one PostgreSQL: a part of the lineage, run twice."""

import json
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
import yaml

from assets import metadata
from pipelines.definitions import build
from resources.models.ledger import Ledger
from resources.offline.lexicon import SAMPLES

ROOT = Path(__file__).parents[2]
PART = ("taxonomy", "real_prompts", "annotated_prompts", "rewritten_prompts")


@pytest.fixture
def instance(postgres, tmp_path, monkeypatch):
    """An instance as `deploy/dagster.yaml` sets it up, on a server of this test."""
    place = sa.make_url(postgres)
    monkeypatch.setenv("DAGSTER_POSTGRES_USER", place.username)
    monkeypatch.setenv("DAGSTER_POSTGRES_DB", place.database)
    monkeypatch.setenv("PGPASSWORD", "unused: the server trusts its socket")
    settings = yaml.safe_load((ROOT / "deploy" / "dagster.yaml").read_text("utf-8"))
    settings["storage"]["postgres"]["postgres_db"] |= {"hostname": "", "params": dict(place.query)}
    settings["compute_logs"]["config"]["base_dir"] = str(tmp_path / "logs")
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(settings), "utf-8")
    with dg.DagsterInstance.from_config(str(tmp_path)) as made:
        yield made


@pytest.fixture
def house(make_house, postgres, monkeypatch):
    """Eight prompts without a label, so that the jury is asked."""
    # Pictures take most of the time of a small run.
    monkeypatch.setattr(metadata.plots, "bars", lambda *_: b"\x89PNG")
    folder = make_house("postgres").home.parent
    rows = (SAMPLES / "real_prompts.jsonl").read_text("utf-8").splitlines()[:8]
    texts = [{"text": json.loads(row)["text"]} for row in rows]
    file = folder / "p.jsonl"
    file.write_text("".join(json.dumps(text) + "\n" for text in texts), "utf-8")
    return make_house(
        "postgres", real_prompts=[{"name": "own", "path": str(file)}], ledger=postgres
    )


def _run(house, instance):
    job = build(house.profile, house.home).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        instance=instance, asset_selection=[dg.AssetKey(key) for key in PART]
    )
    tables = {key: house.table(key) for key in PART}
    return result.run_id, tables


def _tables(url):
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    return set(sa.inspect(engine).get_table_names())


def test_runs_and_ledger_are_in_one_database_and_nothing_is_paid_twice(house, instance, postgres):
    ledger = Ledger(url=postgres)
    first, tables = _run(house, instance)
    paid = ledger.count()
    assert paid >= 8 * 4
    second, again = _run(house, instance)
    assert ledger.count() == paid
    assert again == tables
    assert {run.run_id for run in instance.get_runs()} == {first, second}
    assert {run.status for run in instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}
    for key in PART:
        event = instance.get_latest_materialization_event(dg.AssetKey(key))
        assert event.run_id == second
    assert {"calls", "runs", "event_logs", "instigators"} <= _tables(postgres)
    assert not (house.home / "ledger.db").exists()


def test_schedules_and_cursors_are_kept_there_too(instance, postgres):
    instance.daemon_cursor_storage.set_cursor_values({"watched": "3:digest"})
    with dg.DagsterInstance.from_ref(instance.get_ref()) as other:
        assert other.daemon_cursor_storage.get_cursor_values({"watched"}) == {"watched": "3:digest"}
    assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 1
    assert {"job_ticks", "kvs"} <= _tables(postgres)
