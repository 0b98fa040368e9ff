"""A plan against the run that follows: its numbers hold the truth, and it makes nothing stale."""

import csv
import hashlib
import json
import sqlite3
from collections import Counter

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from pipelines.definitions import build
from resources.offline import app
from resources.offline.lexicon import SAMPLES
from tests.integration.conftest import SMALL

pytestmark = pytest.mark.pipeline


class Desk:
    """One house and one instance: plans and runs as a user makes them, one after the other."""

    def __init__(self, house, instance):
        self.house, self.instance = house, instance
        self.defs = build(house.profile, house.home)

    def plan(self):
        """The lines of a plan by (asset, role), and its totals."""
        made = self._run(dg.AssetSelection.assets("refresh_plan"))
        (event,) = made.asset_materializations_for_node("refresh_plan")
        told = {name: value.value for name, value in event.metadata.items()}
        lines = [record.data for record in told["plan"].records]
        spans = {(one["asset"], one["role"]): (one["at least"], one["at most"]) for one in lines}
        return spans, told

    def run(self):
        """What a run pays for, by (asset, role)."""
        before = self._paid()
        everything = dg.AssetSelection.all() - dg.AssetSelection.assets("refresh_plan")
        assert self._run(everything).success
        return self._paid() - before

    def stale(self):
        """Assets that Dagster calls stale."""
        graph = self.defs.resolve_asset_graph()
        resolver = CachingStaleStatusResolver(
            self.instance, graph, LoadingContextForTest(self.instance)
        )
        made = [key for key in graph.materializable_asset_keys]
        found = {key.to_user_string(): resolver.get_status(key) for key in made}
        return {key for key, status in found.items() if status != StaleStatus.FRESH}

    def _run(self, selection):
        job = self.defs.resolve_implicit_global_asset_job_def()
        keys = selection.resolve(self.defs.resolve_asset_graph())
        return job.execute_in_process(instance=self.instance, asset_selection=list(keys))

    def _paid(self):
        path = self.house.home / "ledger.db"
        if not path.exists():
            return Counter()
        with sqlite3.connect(path) as ledger:
            lines = ledger.execute("SELECT asset, role, count(*) FROM calls GROUP BY 1, 2")
            return Counter({(asset, role): count for asset, role, count in lines})


def _own_files(folder):
    """A CSV and a JSONL of prompts, partly with labels, and a file of posts."""
    lines = (SAMPLES / "real_prompts.jsonl").read_text("utf-8").splitlines()[:80]
    rows = [json.loads(line) for line in lines]
    with (folder / "own.csv").open("w", encoding="utf-8", newline="") as file:
        sheet = csv.DictWriter(file, ("text", "label"))
        sheet.writeheader()
        sheet.writerows({"text": row["text"], "label": row.get("label", "")} for row in rows[:40])
    bare = "".join(
        json.dumps({"text": row["text"]}, ensure_ascii=False) + "\n" for row in rows[40:]
    )
    (folder / "own.jsonl").write_text(bare, "utf-8")
    (folder / "posts.jsonl").write_bytes((SAMPLES / "posts_zh.jsonl").read_bytes())
    columns = {"text": "text", "label": "label"}
    return {
        "posts": [{"name": "mine", "path": str(folder / "posts.jsonl"), "lang": "zh"}],
        "real_prompts": [
            {"name": "sheet", "path": str(folder / "own.csv"), "columns": columns},
            {"name": "lines", "path": str(folder / "own.jsonl")},
        ],
        "public_prompts": [],
        "benchmarks": [],
    }


def _unreadable(monkeypatch):
    """Stand-ins that give one first answer in five, and all answers of one in forty, unreadably."""
    asked, real = Counter(), app.answer

    def answer(model, messages):
        key = model + messages[-1]["content"]
        asked[key] += 1
        digit = hashlib.sha256(key.encode()).digest()[0]
        never, late = digit % 40 == 0, digit % 5 == 0 and asked[key] == 1
        return "嗯" if never or late else real(model, messages)

    monkeypatch.setattr(app, "answer", answer)


@pytest.fixture(params=["offline", "own files", "salvage"])
def desk(request, make_house, tmp_path, monkeypatch):
    more = _own_files(tmp_path) if request.param == "own files" else {}
    if request.param == "salvage":
        _unreadable(monkeypatch)
    house = make_house(request.param.replace(" ", "_"), settings=SMALL, **more)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Desk(house, instance)


def test_the_plan_of_a_first_run_and_of_the_next_hold_the_truth_and_nothing_is_stale(desk):
    lines, told = desk.plan()
    paid = desk.run()
    assert told["new_calls"] <= paid.total() <= told["new_calls_at_most"]
    wrong = {
        line: (lines.get(line), count)
        for line, count in paid.items()
        if not lines.get(line, (0, 0))[0] <= count <= lines.get(line, (0, 0))[1]
    }
    assert wrong == {}
    assert all(low == 0 for line, (low, _) in lines.items() if line not in paid)
    lines, told = desk.plan()
    assert desk.stale() == set()
    assert (told["new_calls"], told["new_calls_at_most"]) == (0, 0)
    assert desk.run().total() == 0
