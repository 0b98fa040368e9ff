"""`make ui` as a new user sees it: a schedule ticked, a file dropped, what came of it.

`SCREENSHOTS=docs/images .venv/bin/pytest tests/integration/test_browser.py` writes the pictures of
docs/how-to/browser.md.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
import yaml
from playwright.sync_api import expect, sync_playwright

from resources.home.releases import Releases
from resources.offline.lexicon import SAMPLES
from tests.integration.conftest import SMALL

ROOT = Path(__file__).parents[2]
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.pipeline,
    pytest.mark.enable_socket,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium on the path (Debian: chromium)"),
]
NEW = {"text": "阳台上的薄荷叶子发黄了，是浇水太勤还是晒得不够？", "label": "safe"}
SENSOR, SCHEDULE = "real_prompt_files_changed", "quarterly_release"
# Bounds that only a fault reaches, also beside other work on two cores.
PATIENCE_S = 600
PAGE_S = 90
SIZE = {"width": 1280, "height": 900}
_WITHOUT_HOME = """home => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode())
        texts.currentNode.nodeValue = texts.currentNode.nodeValue.replaceAll(home, "data");
}"""
OVER = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}


def _profile(folder):
    """Few rows; real prompts are a folder with six in a file; the models have prices."""
    inbox = folder / "inbox"
    inbox.mkdir()
    rows = (SAMPLES / "real_prompts.jsonl").read_text("utf-8").splitlines()[:6]
    (inbox / "a.jsonl").write_text("\n".join(rows) + "\n", "utf-8")
    # Some of every topic: the file is sorted by it.
    posts = (SAMPLES / "posts_zh.jsonl").read_text("utf-8").splitlines()[::20]
    (folder / "posts.jsonl").write_text("\n".join(posts) + "\n", "utf-8")
    models = [f"offline-juror-{slot}" for slot in range(1, 5)]
    models += [f"offline-{role}" for role in ("expander", "synthesizer", "rewriter")]
    models += ["offline-tie-breaker", "offline-categorizer"]
    prices = {model: {"prompt": 0.4, "completion": 1.6} for model in models}
    (folder / "prices.yaml").write_text(yaml.safe_dump(prices), "utf-8")
    few = {"name": "few", "may_redistribute": True, "limit": 30}
    public = {"path": str(SAMPLES / "public_prompts.jsonl"), "columns": {"text": "prompt"}}
    document = {
        "extends": "offline",
        "posts": [{**few, "path": "posts.jsonl"}],
        "public_prompts": [{**few, **public}],
        "real_prompts": [
            {"name": "production", "path": "inbox", "columns": {"text": "text", "label": "label"}}
        ],
        "prices": "prices.yaml",
        "settings": {**SMALL, "keywords": {"target": 20}},
        "anchors": None,
    }
    path = folder / "house.yaml"
    path.write_text(yaml.safe_dump(document), "utf-8")
    return path


def _free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _processes(home):
    """Ids of all processes that have this home in their environment."""
    mark, found = f"CHILLGUARD_HOME={home}".encode(), []
    for place in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in place.read_bytes().split(b"\0"):
                found.append(int(place.parent.name))
        except OSError:
            continue
    return found


class Desk:
    """The running UI of one home, looked at by a browser and through its instance."""

    def __init__(self, page, base, folder, instance):
        self.page, self.base, self.instance = page, base, instance
        self.inbox, self.home = folder / "inbox", folder / "home"

    def open(self, path):
        self.page.goto(self.base + path)

    def until(self, done):
        """The first true value of `done`, asked again and again."""
        ends = time.monotonic() + PATIENCE_S
        while not (found := done()):
            assert time.monotonic() < ends, "it did not happen in time"
            self.page.wait_for_timeout(300)
        return found

    def runs(self):
        return [record.dagster_run for record in self.instance.get_run_records(ascending=True)]

    def ended(self, count):
        """All runs, once there are `count` and the last one is over."""
        runs = self.runs()
        return runs if len(runs) >= count and all(run.status in OVER for run in runs) else None

    def row(self, name):
        """A row of the Automation page."""
        return self.page.locator("div[data-index]").filter(has_text=name)

    def switch(self, name):
        """The switch of a row; its first box only selects it."""
        return self.row(name).locator("input[type=checkbox]").nth(1)

    def switch_on(self, name):
        """Switch a schedule or sensor on where the Automation page lists it."""
        self.open("/automation")
        self.row(name).locator("label").nth(1).click()
        expect(self.switch(name)).to_be_checked(timeout=PAGE_S * 1000)

    def tick(self, name):
        """Tick a schedule by hand and launch what it asks for."""
        self.open(f"/locations/chillguard/schedules/{name}")
        self.page.get_by_role("button", name="Preview tick result").click()
        self.page.get_by_role("button", name="Continue").click()
        self.page.get_by_role("button", name="Launch all").click()

    def metadata(self, asset, key):
        """Open an asset's page and the picture that its metadata have under `key`."""
        self.open(f"/assets/{asset}")
        row = self.page.locator("tr").filter(has=self.page.get_by_text(key, exact=True))
        row.get_by_text("[Show Markdown]").click()
        return self.page.get_by_role("dialog").locator("img")

    def calls(self):
        """Every paid call: which run paid, and for which row."""
        engine = sa.create_engine(f"sqlite:///{self.home / 'ledger.db'}", poolclass=sa.NullPool)
        with engine.connect() as connection:
            return connection.execute(sa.text("select run_id, row_id from calls")).all()

    def rows(self, table):
        return pq.read_table(self.home / "tables" / table / "part-00000.parquet").to_pylist()

    def versions(self):
        return Releases(folder=str(self.home / "release")).versions()

    def steps(self, run):
        stats = self.instance.get_run_step_stats(run.run_id)
        return [s.step_key for s in sorted(stats, key=lambda s: s.start_time)]

    def shoot(self, name, **more):
        """Write a picture, without the place of this home, if pictures are wanted."""
        folder = os.environ.get("SCREENSHOTS")
        if folder:
            expect(self.page.locator("[class*=Skeleton]")).to_have_count(0, timeout=PAGE_S * 1000)
            self.page.evaluate(_WITHOUT_HOME, str(self.home))
            self.page.screenshot(path=ROOT / folder / f"{name}.png", **more)


@pytest.fixture(scope="module")
def page():
    flags = ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(PAGE_S * 1000)
        yield page
        browser.close()


@pytest.fixture(scope="module")
def desk(page, tmp_path_factory):
    """`make ui` on a home of its own; nothing of it is left running."""
    folder, port = tmp_path_factory.mktemp("desk"), _free_port()
    home = folder / "home"
    own = {"CHILLGUARD_PROFILE": str(_profile(folder)), "CHILLGUARD_HOME": str(home)}
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "DAGSTER"))}
    # The environment is the one that runs this: nothing is installed.
    command = ["make", "-o", ".venv/core", "ui", f"PORT={port}"]
    with (folder / "ui.log").open("wb") as log:
        ui = subprocess.Popen(
            command, cwd=ROOT, env={**kept, **own}, stdout=log, stderr=log, start_new_session=True
        )
    try:
        base = f"http://127.0.0.1:{port}"
        _wait_for(base, ui, folder / "ui.log")
        with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
            yield Desk(page, base, folder, instance)
    finally:
        _stop(ui, home)


def _wait_for(base, ui, log):
    ends = time.monotonic() + PATIENCE_S
    port = int(base.rpartition(":")[2])
    while True:
        assert ui.poll() is None, log.read_text("utf-8")[-2000:]
        assert time.monotonic() < ends, log.read_text("utf-8")[-2000:]
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)


def _stop(ui, home):
    """End the server and whatever it started, by id: first by asking."""
    os.killpg(ui.pid, signal.SIGTERM)
    if not _gone(home, 10):
        for pid in _processes(home):
            os.kill(pid, signal.SIGKILL)
    ui.wait(10)
    assert _gone(home, 10), _processes(home)


def _gone(home, seconds):
    ends = time.monotonic() + seconds
    while _processes(home) and time.monotonic() < ends:
        time.sleep(0.2)
    return not _processes(home)


@pytest.fixture(scope="module")
def story(desk):
    """A release by a ticked schedule, the sensor's first look, then a dropped file."""
    desk.switch_on(SCHEDULE)
    desk.tick(SCHEDULE)
    desk.until(desk.runs)
    desk.switch_on(SENSOR)
    desk.until(lambda: desk.ended(2))
    found = SimpleNamespace(first_versions=desk.versions(), first_calls=len(desk.calls()))
    part = desk.inbox / ".b.jsonl"
    part.write_text(json.dumps(NEW, ensure_ascii=False) + "\n", "utf-8")
    part.rename(desk.inbox / "b.jsonl")
    found.released, found.looked, found.refreshed = desk.until(lambda: desk.ended(3))
    return found


def test_a_ticked_schedule_makes_a_release(desk, story):
    run = story.released
    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert (run.job_name, run.tags["dagster/schedule_name"]) == ("refresh", SCHEDULE)
    assert len(story.first_versions) == 1


def test_the_first_look_of_the_sensor_pays_nothing_and_releases_nothing(desk, story):
    run = story.looked
    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert run.tags["dagster/sensor_name"] == SENSOR
    assert {run_id for run_id, _ in desk.calls()} == {
        story.released.run_id,
        story.refreshed.run_id,
    }


def test_a_dropped_file_starts_one_run_of_what_depends_on_it(desk, story):
    assert [run.tags.get("dagster/sensor_name") for run in desk.runs()] == [None, SENSOR, SENSOR]
    run = story.refreshed
    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert run.job_name == "real_prompts_refresh"
    steps = desk.steps(run)
    assert {"real_prompts", "rewritten_prompts", "labeled_prompts", "split", "dataset_card"} <= {
        *steps
    }
    others = ("taxonomy", "seed_", "expanded_", "crawled_", "post_index", "synth", "public", "iter")
    assert not [step for step in steps if step.startswith(others) and "schema" not in step]


def test_only_the_rows_of_the_dropped_file_are_paid(desk, story):
    [root] = [row for row in desk.rows("real_prompts") if row["text"] == NEW["text"]]
    new = root["prompt_id"]
    tables = [*desk.rows("clean_prompts"), *desk.rows("rewritten_prompts")]
    family = {row["prompt_id"] for row in tables if row["family_id"] == root["family_id"]}
    # A rewrite is asked for under the id of its source and the method.
    paid = [
        row_id.split("/")[0] for run_id, row_id in desk.calls() if run_id == story.refreshed.run_id
    ]
    assert len(paid) == len(desk.calls()) - story.first_calls
    assert {new} < {*paid} <= family


def test_the_new_release_tells_what_changed(desk, story):
    first, second = desk.versions()
    assert [first] == story.first_versions
    folder = desk.home / "release" / second
    changed = pq.read_table(folder / "changes.parquet").to_pylist()
    assert changed
    assert {row["change"] for row in changed} == {"added"}
    told = json.loads((folder / "release.json").read_text("utf-8"))
    assert told["previous"] == first


def test_the_graph_shows_every_stage(desk, story):
    desk.open("/asset-groups")
    for stage in ("plan", "keywords", "crawl", "synthesis", "labeling", "release"):
        desk.page.get_by_text(stage, exact=True).first.wait_for()
    # Wider for a moment, so that names can be read; the picture is the graph alone.
    desk.page.set_viewport_size({"width": 1820, "height": 760})
    desk.open("/asset-groups")
    desk.page.get_by_text("release", exact=True).first.wait_for()
    desk.shoot("asset-graph", clip={"x": 540, "y": 110, "width": 1280, "height": 600})
    desk.page.set_viewport_size(SIZE)


@pytest.mark.parametrize(
    ("asset", "key"),
    [
        ("dataset_card", "funnel"),
        ("jury_quality", "intended_and_final_category"),
    ],
)
def test_a_picture_is_drawn_on_the_page_of_its_asset(desk, story, asset, key):
    desk.page.set_viewport_size({**SIZE, "height": 1150})
    picture = desk.metadata(asset, key)
    picture.wait_for()
    assert picture.evaluate("image => image.complete && image.naturalWidth") > 300
    desk.shoot(f"picture-{key}")
    desk.page.set_viewport_size(SIZE)


def test_agreement_and_cost_are_plotted_over_the_runs(desk, story):
    for asset, key in (("jury_quality", "alpha"), ("jury_votes/juror_1", "cost")):
        desk.open(f"/assets/{asset}")
        desk.page.get_by_text("Plots", exact=True).click()
        desk.page.get_by_text(key, exact=True).first.wait_for()
        desk.page.locator("canvas").first.wait_for()
        desk.page.get_by_text(key, exact=True).first.scroll_into_view_if_needed()
        desk.shoot(f"plots-{key}")


def test_a_table_shows_owner_kinds_and_its_checks(desk, story):
    desk.open("/assets/train_set")
    for text in ("safety-data", "parquet", "One row per sample of Train."):
        desk.page.get_by_text(text).first.wait_for()
    desk.shoot("asset")
    desk.open("/assets/train_set?view=checks")
    for check in ("funnel_adds_up", "no_leak", "terms_obeyed"):
        desk.page.get_by_text(check).first.wait_for()
    desk.shoot("checks")


def test_the_automation_page_shows_what_is_on(desk, story):
    desk.open("/automation")
    for name, on in ((SENSOR, True), (SCHEDULE, True), ("templates_changed", False)):
        expect(desk.switch(name)).to_be_checked(checked=on, timeout=PAGE_S * 1000)
    desk.shoot("automation")


def test_the_page_of_the_run_shows_its_steps(desk, story):
    desk.open(f"/runs/{story.refreshed.run_id}")
    desk.page.get_by_text("dataset_card").first.wait_for()
    desk.page.get_by_text("Success").first.wait_for()
    desk.shoot("run")


def test_the_report_opens_as_a_file_with_its_pictures_and_without_errors(desk, story):
    errors = []
    desk.page.on(
        "console", lambda message: errors.append(message) if message.type == "error" else None
    )
    desk.page.on("pageerror", lambda error: errors.append(error))
    report = desk.home / "release" / desk.versions()[-1] / "report.html"
    desk.page.goto(report.as_uri())
    pictures = desk.page.locator("img")
    assert pictures.count() >= 3
    for picture in pictures.all():
        assert picture.evaluate("image => image.complete && image.naturalWidth") > 100
    body = desk.page.locator("body").inner_text()
    assert f"Since {story.first_versions[0]}" in body
    assert not [row["text"] for row in desk.rows("train_set") if row["text"] in body]
    assert errors == []
    desk.shoot("report")
