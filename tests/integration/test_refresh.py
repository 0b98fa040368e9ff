"""A file is dropped into a watched folder: the sensor's run, what it asks, and what it leaves."""

import json

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from assets import labeling as labeling_assets
from assets import metadata
from pipelines.definitions import build
from pipelines.sensors import sensors
from resources.offline.lexicon import SAMPLES
from tests.integration.conftest import SMALL

pytestmark = pytest.mark.pipeline
NEW = {"text": "阳台上的薄荷叶子发黄了，是浇水太勤还是晒得不够？", "label": "safe"}


def _lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


class Desk:
    """A house with an instance that outlives its runs: ticks, runs and what they did."""

    def __init__(self, house, inbox, instance):
        self.house, self.inbox, self.instance, self.cursor = house, inbox, instance, None
        self.defs = build(house.profile, house.home)

    def tick(self):
        """One look of the sensor on real prompts; the runs that it asks for."""
        [sensor] = [s for s in sensors(self.house.profile) if s.name == "real_prompt_files_changed"]
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        found = sensor.evaluate_tick(context)
        self.cursor = found.cursor or self.cursor
        return [(sensor.job_name, request) for request in found.run_requests]

    def run(self, name, **more):
        """Run a job; returns its steps in order and the calls that it paid."""
        before = self.house.calls()
        result = self.defs.resolve_job_def(name).execute_in_process(instance=self.instance, **more)
        steps = [event.step_key for event in result.get_step_success_events()]
        return steps, self.house.calls() - before

    def stale(self):
        """What the browser shows as stale, with the code as it is now."""
        graph = build(self.house.profile, self.house.home).resolve_asset_graph()
        context = LoadingContextForTest(self.instance)
        resolver = CachingStaleStatusResolver(self.instance, graph, context)
        keys = graph.materializable_asset_keys
        return {
            key.to_user_string()
            for key in keys
            if resolver.get_status(key) is not StaleStatus.FRESH
        }


@pytest.fixture(scope="module")
def desk(make_house, tmp_path_factory):
    """The lineage, refreshed once from a folder with one file of real prompts."""
    inbox = tmp_path_factory.mktemp("inbox")
    rows = (SAMPLES / "real_prompts.jsonl").read_text("utf-8").splitlines()[:6]
    (inbox / "a.jsonl").write_text("\n".join(rows) + "\n", "utf-8")
    fixed = {"may_redistribute": True, "limit": 12}
    posts = {"name": "few", "path": str(SAMPLES / "posts_zh.jsonl"), **fixed}
    public = {"name": "few", "path": str(SAMPLES / "public_prompts.jsonl"), **fixed}
    real = {"name": "production", "path": str(inbox), "columns": {"text": "text", "label": "label"}}
    house = make_house(
        "desk",
        posts=[posts],
        public_prompts=[{**public, "columns": {"text": "prompt"}}],
        real_prompts=[real],
        settings={**SMALL, "keywords": {"target": 20}},
        anchors=None,
    )
    with (
        pytest.MonkeyPatch.context() as patch,
        dg.DagsterInstance.local_temp(
            str(tmp_path_factory.mktemp("dagster")), {"telemetry": {"enabled": False}}
        ) as instance,
    ):
        # Pictures take most of the time of a small run.
        patch.setattr(metadata.plots, "bars", lambda *_: b"\x89PNG")
        made = Desk(house, inbox, instance)
        made.first, _ = made.run("refresh")
        yield made


def test_a_refresh_and_a_plan_after_it_leave_nothing_stale(desk):
    assert "refresh_plan" not in desk.first
    assert desk.stale() == {"refresh_plan"}
    desk.run("plan")
    assert desk.stale() == set()


def test_an_edited_template_shows_what_it_makes_as_stale(desk, monkeypatch):
    monkeypatch.setattr(labeling_assets, "fingerprint", lambda name: "edited")
    votes = {f"jury_votes/juror_{slot}" for slot in range(1, 5)}
    assert votes | {"labeled_prompts"} <= desk.stale()
    assert not {"clean_prompts", "candidate_prompts", "real_prompts"} & desk.stale()


def test_a_dropped_file_starts_one_run_that_pays_only_for_its_rows(desk):
    (desk.inbox / "b.jsonl").write_text(json.dumps(NEW, ensure_ascii=False) + "\n", "utf-8")
    [(job, request)] = desk.tick()
    assert desk.tick() == []
    before = desk.house.calls()
    steps, paid = desk.run(job, tags=request.tags)
    made = {step for step in steps if "schema" not in step}
    assert {"real_prompts", "rewritten_prompts", "clean_prompts", "split", "dataset_card"} <= made
    others = ("taxonomy", "seed_", "expanded_", "crawled_", "post_index", "synth", "public", "iter")
    assert not [step for step in made if step.startswith(others)]
    # One real prompt: five votes at most, and for each of its three rewrites a call and its votes.
    assert before > 100
    assert 0 < paid <= 5 * 2 + 3 * (2 + 5 * 2)
    texts = {row["text"] for row in desk.house.rows("real_prompts")}
    assert NEW["text"] in texts
    assert len(texts) == 7
    assert len(desk.house.versions()) == 2
    assert desk.stale() == set()
