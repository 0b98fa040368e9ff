"""Plans before money is spent, keys that appear nowhere, and runs that are killed."""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
import yaml

from resources.offline.lexicon import SAMPLES
from tests.integration.conftest import BUNDLED, SMALL
from tests.resources.fake_endpoint import completion, serve

pytestmark = [pytest.mark.pipeline, pytest.mark.enable_socket]
ROOT = Path(__file__).parents[2]
SECRET = "sk-planted-0123456789"


def _plan(house):
    (event,) = house.run("refresh_plan").asset_materializations_for_node("refresh_plan")
    return {name: value.value for name, value in event.metadata.items()}


def test_the_plan_says_what_a_run_will_pay_and_pays_nothing(make_house):
    house = make_house("planned", settings=SMALL)
    before = _plan(house)
    assert house.calls() == 0
    assert before["calls_in_ledger"] == 0
    asked = [(record.data["asset"], record.data["role"]) for record in before["plan"].records]
    assert ("jury_votes/juror_1", "juror_1") in asked
    assert house.run().success
    after = _plan(house)
    assert after["new_calls"] == after["new_calls_at_most"] == 0
    assert after["calls_in_ledger"] > 2000
    assert 0 < before["new_calls"] <= house.calls() <= before["new_calls_at_most"]


def test_the_plan_counts_exactly_the_votes_of_a_replaced_juror(make_house):
    house = make_house("replaced", settings=SMALL, anchors=None)
    assert house.run().success
    paid = house.calls()
    jurors = [{"model": f"offline-juror-{slot}"} for slot in (1, 2, 3, 4)]
    jurors[1]["revision"] = "second"
    other = make_house("replaced_too", name="replaced", jurors=jurors, settings=SMALL, anchors=None)
    moved = type(house)(other.profile, house.home)
    told = _plan(moved)
    votes = len(house.rows("jury_votes/juror_2"))
    assert told["new_calls"] == votes
    assert moved.run().success
    # A vote that cannot be read is asked once more.
    again = sum(row["verdict"] == "abstain" for row in moved.rows("jury_votes/juror_2"))
    assert moved.calls() - paid == votes + again


def _environment(home, profile, **more):
    (home / "dagster").mkdir(parents=True, exist_ok=True)
    (home / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return {
        **os.environ,
        "CHILLGUARD_HOME": str(home),
        "CHILLGUARD_PROFILE": str(profile),
        "DAGSTER_HOME": str(home / "dagster"),
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
        **more,
    }


def _materialize(select):
    module = ["-m", "dagster", "asset", "materialize", "-m", "pipelines.definitions"]
    return [sys.executable, *module, "--select", select]


def _profile(tmp_path, url, **role):
    bound = {"url": url, "structured": "prompt", "give_up_after_s": 1.0, **role}
    jurors = [{"model": f"offline-juror-{slot}", **bound} for slot in (1, 2, 3, 4)]
    prompts = {
        "name": "few",
        "path": str(SAMPLES / "real_prompts.jsonl"),
        "columns": {"text": "text", "label": "label", "category": "category"},
        "limit": 60,
    }
    document = {
        "extends": "offline",
        **BUNDLED,
        "jurors": jurors,
        "real_prompts": [prompts],
        "settings": SMALL,
    }
    path = tmp_path / "remote.yaml"
    path.write_text(yaml.safe_dump(document), "utf-8")
    return path


@pytest.mark.parametrize("status", [200, 400, 401])
def test_an_api_key_appears_in_no_log_metadata_ledger_or_run_storage(tmp_path, status):
    def script(text, nth):
        return completion() if status == 200 else (status, {}, f"key {SECRET} is bad")

    with serve(script) as endpoint:
        profile = _profile(tmp_path, endpoint.url, api_key={"env": "PLANTED_KEY"})
        home = tmp_path / "home"
        environment = _environment(home, profile, PLANTED_KEY=SECRET)
        select = '+key:"jury_votes/juror_1"'
        done = subprocess.run(
            _materialize(select), env=environment, capture_output=True, cwd=ROOT, timeout=300
        )
        assert endpoint.headers[0]["Authorization"] == f"Bearer {SECRET}"
    assert (done.returncode == 0) is (status == 200), done.stderr[-2000:]
    assert SECRET.encode() not in done.stdout + done.stderr
    held = [path for path in home.rglob("*") if path.is_file()]
    assert len(held) > 20
    assert not [path for path in held if SECRET.encode() in path.read_bytes()]


def test_a_run_that_is_killed_three_times_loses_nothing_and_pays_little_twice(tmp_path):
    concurrency = 16
    seen = Counter()

    def script(text, nth):
        seen[text] += 1
        return 0.004

    with serve(script) as endpoint:
        profile = _profile(tmp_path, endpoint.url, concurrency=concurrency)
        home = tmp_path / "home"
        environment = _environment(home, profile)
        upstream = _materialize('+key:"clean_prompts"')
        subprocess.run(upstream, env=environment, capture_output=True, cwd=ROOT, check=True)
        assert not seen
        committed = 0
        for kill in range(3):
            process = subprocess.Popen(
                _materialize('key:"jury_votes/juror_1"'),
                env=environment,
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            target = seen.total() + 30 + 20 * kill
            while process.poll() is None and seen.total() < target:
                threading.Event().wait(0.002)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)
            now = _ledger_rows(home)
            assert now >= committed
            committed = now
        subprocess.run(
            _materialize('key:"jury_votes/juror_1"'),
            env=environment,
            capture_output=True,
            check=True,
            cwd=ROOT,
        )
        twice = sum(count - 1 for count in seen.values())
        # In flight: sent and not yet committed, which a group commit bounds to 40 ms of answers.
        assert twice <= 3 * (concurrency + 0.04 * concurrency / 0.004)
        assert len(seen) == _ledger_rows(home)


def _ledger_rows(home):
    import sqlite3

    with sqlite3.connect(home / "ledger.db") as connection:
        query = "select count(*) from calls where role = 'juror_1'"
        (count,) = connection.execute(query).fetchone()
    connection.close()
    return count
