"""A post is taken down after a release: what is left of it, and what the next run makes of it."""

import json
import sqlite3
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from chillguard import identity
from chillguard.text import matching
from pipelines.definitions import build
from resources.home.releases import Releases
from resources.offline.lexicon import SAMPLES
from tests.integration.conftest import SMALL

pytestmark = pytest.mark.pipeline


@dataclass(repr=False)
class Home:
    """What a home holds at one moment, so that no test depends on another one's turn."""

    report: dict[str, Any] | None
    tables: dict[str, list[dict[str, Any]]]
    state: str
    points: set[str]
    answers: dict[str, tuple[Any, ...]]
    versions: list[str]
    calls: int
    ledger: bytes

    @property
    def released(self):
        return [*self.tables["train_set"], *self.tables["test_set"]]

    @property
    def prompts(self):
        return [row for rows in self.tables.values() for row in rows if "context_post_ids" in row]


def _look(house, report=None):
    folder = house.home / "tables"
    tables = {
        str(path.parent.relative_to(folder)): pq.read_table(path).to_pylist()
        for path in sorted(folder.glob("**/*.parquet"))
    }
    kept = sorted((house.home / "state").rglob("*"))
    state = [
        str(pq.read_table(path).to_pylist()) if path.suffix == ".parquet" else path.read_text()
        for path in kept
        if path.is_file()
    ]
    retrieval = build(house.profile, house.home).resources["retrieval"]
    embedder = retrieval.embedder
    with retrieval.vector_store.open(embedder.identity, embedder.dimension, False) as collection:
        points = set(collection.ids().to_pylist())
    with sqlite3.connect(house.home / "ledger.db") as connection:
        columns = "key, row_id, answer, taken_down_at"
        answers = {key: row for key, *row in connection.execute(f"SELECT {columns} FROM calls")}
    connection.close()
    return Home(
        report,
        tables,
        "\n".join(state),
        points,
        answers,
        house.versions(),
        house.calls(),
        _bytes(house),
    )


def _bytes(house):
    return b"".join(path.read_bytes() for path in sorted(house.home.glob("ledger.db*")))


def _take_down(house, post, check=True):
    job = build(house.profile, house.home).resolve_job_def("post_takedown")
    config = {"ops": {"take_down": {"config": {"post": post}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(run_config=config, instance=instance, raise_on_error=check)


def _report(result):
    [output] = [event for event in result.all_events if event.is_successful_output]
    found = output.step_output_data.metadata
    return {name: value.value for name, value in found.items()}


def _write(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


@pytest.fixture(scope="module")
def told(make_house, tmp_path_factory):
    """One home: before, after a takedown, after the next run, and after the same request again."""
    folder = tmp_path_factory.mktemp("posts")
    lines = (SAMPLES / "posts_zh.jsonl").read_text("utf-8").splitlines()
    posts = [json.loads(line) for line in lines]
    for post in posts:
        post["url"] = f"https://example.org/{post['id']}"
    _write(folder / "one.jsonl", posts)
    _write(folder / "two.jsonl", [{**post, "id": f"other {post['id']}"} for post in posts[::2]])
    columns = {"text": "text", "id": "id", "lang": "lang", "url": "url"}
    sources = [
        {"name": name, "path": str(folder / f"{name}.jsonl"), "columns": columns}
        for name in ("one", "two")
    ]
    house = make_house("takedown", posts=sources, settings=SMALL)
    assert house.run().success
    before = _look(house)
    post = _a_post_of_both_sources(before)
    taken = _look(house, _report(_take_down(house, post["url"])))
    refresh = house.run()
    assert refresh.success
    refreshed = _look(house)
    again = _look(house, _report(_take_down(house, f"one:{post['native_id']}")))
    unknown = _take_down(house, "https://example.org/nothing", check=False)
    return SimpleNamespace(
        post=post, before=before, taken=taken, refreshed=refreshed, again=again,
        paid=_paid(refresh), unknown=unknown, after_unknown=_look(house), home=house.home,
    )  # fmt: skip


def _paid(run):
    made = [event.materialization for event in run.get_asset_materialization_events()]
    paid = [one.metadata["calls_paid"].value for one in made if "calls_paid" in one.metadata]
    assert len(paid) > 5
    return sum(paid)


def _a_post_of_both_sources(home):
    two = {row["post_id"] for row in home.tables["crawled_posts/two"]}
    made_from = {key for row in home.released for key in row["parent_ids"]}
    shown = {key for row in home.released for key in row["context_post_ids"]}
    return next(
        row for row in home.tables["crawled_posts/one"] if row["post_id"] in two & made_from & shown
    )


def _derived(home, post):
    marks = {post["post_id"], matching.family_id(post["text"])}
    return [
        row
        for row in home.prompts
        if not marks.isdisjoint({row["family_id"], *row["parent_ids"], *row["context_post_ids"]})
    ]


def _texts(told, only_own):
    """The removed text and those made from it; also those that it was only shown beside."""
    key, derived = told.post["post_id"], _derived(told.before, told.post)
    rows = [row for row in derived if key in row["parent_ids"] or not only_own]
    # A rule-based writer says the same of the same other post where this one was not shown.
    ids = {row["prompt_id"] for row in derived}
    others = {row["text"] for row in told.before.prompts if row["prompt_id"] not in ids}
    found = {row["text"] for row in rows} - others - {None}
    assert found
    return {told.post["text"], *found}


# A later run may make a text again that the post was only shown beside, now without it.
@pytest.mark.parametrize(
    ("moment", "only_own"), [("taken", False), ("refreshed", True), ("again", True)]
)
def test_neither_the_text_nor_one_made_from_it_is_in_a_table_or_in_the_state(
    told, moment, only_own
):
    home = getattr(told, moment)
    stored = {str(value) for rows in home.tables.values() for row in rows for value in row.values()}
    for text in _texts(told, only_own):
        assert not [value for value in stored if text in value]
        assert text not in home.state


def test_neither_is_in_the_bytes_of_the_ledger(told):
    texts = _texts(told, only_own=False)
    assert [text for text in texts if text.encode() in told.before.ledger]
    assert not [text for text in texts if text.encode() in told.taken.ledger]


def test_the_post_s_row_stays_in_both_sources_without_its_text(told):
    for source in ("one", "two"):
        rows = told.taken.tables[f"crawled_posts/{source}"]
        [row] = [row for row in rows if row["post_id"] == told.post["post_id"]]
        assert (row["text"], row["drop_reason"]) == (None, "takedown")
        before = told.before.tables[f"crawled_posts/{source}"]
        assert [r for r in rows if r != row] == [
            r for r in before if r["post_id"] != told.post["post_id"]
        ]


def test_its_point_is_gone_and_no_other(told):
    [row] = [
        row for row in told.before.tables["post_index"] if row["post_id"] == told.post["post_id"]
    ]
    assert told.before.points - told.taken.points == {row["point_id"]}
    assert told.taken.points < told.before.points
    assert told.refreshed.points == told.taken.points


def _asked_of(home, derived):
    """Ledger keys of the calls that made derived rows or were shown them."""
    ids = {row["prompt_id"] for row in derived}
    keys = {row["call_key"] for row in derived} | {row.get("category_call_key") for row in derived}
    votes = [row for key, rows in home.tables.items() if "jury_votes" in key for row in rows]
    return (keys | {row["call_key"] for row in votes if row["prompt_id"] in ids}) - {None}


def test_answers_behind_derived_rows_are_null_their_keys_stay_and_no_other_changes(told):
    derived = _derived(told.before, told.post)
    rows = {row["prompt_id"] for row in derived} | {
        identity.draw_id(
            row["query_id"], row["method"], [*row["parent_ids"], *row["context_post_ids"]]
        )
        for row in derived
    }
    asked = _asked_of(told.before, derived)
    nulled = {key for key, row in told.taken.answers.items() if row[1] is None}
    assert asked <= nulled
    assert nulled == asked | {key for key, row in told.before.answers.items() if row[0] in rows}
    assert told.taken.answers.keys() == told.before.answers.keys()
    assert all(told.taken.answers[key][2] for key in nulled)
    for key in told.before.answers.keys() - nulled:
        assert told.taken.answers[key] == told.before.answers[key]


def test_the_report_counts_what_went_and_names_the_release_that_holds_it(told):
    derived = {row["prompt_id"] for row in _derived(told.before, told.post)}
    report = told.taken.report
    assert (report["posts"], report["points"]) == (1, 1)
    assert report["derived_prompts"] == sorted(derived)
    nulled = [row for row in told.taken.answers.values() if row[1] is None]
    assert report["ledger_answers"] == len(nulled)
    released = derived & {row["prompt_id"] for row in told.before.released}
    assert report["releases"] == {told.before.versions[0]: len(released)}


def test_the_next_release_holds_no_derived_row_and_the_old_one_stays(told):
    assert told.refreshed.versions[0] == told.before.versions[0]
    assert len(told.refreshed.versions) == 2
    kept = [row for row in told.refreshed.prompts if row.get("text")]
    key = told.post["post_id"]
    assert not [row for row in kept if key in {*row["parent_ids"], *row["context_post_ids"]}]
    released = Releases(folder=str(told.home / "release")).rows(told.refreshed.versions[1])
    ids = {row["prompt_id"] for row in _derived(told.before, told.post)}
    assert not ids & set(released["prompt_id"].to_pylist())


def test_a_query_that_drew_the_post_draws_another_one_in_its_place(told):
    key = told.post["post_id"]
    before = {row["query_id"] for row in _derived(told.before, told.post)} - {None}
    after = [
        row for row in told.refreshed.tables["synthesized_prompts"] if row["query_id"] in before
    ]
    assert {row["query_id"] for row in after} == before
    assert all(row["text"] and key not in row["parent_ids"] for row in after)


def test_no_call_that_was_nulled_is_asked_again(told):
    nulled = {key: row for key, row in told.taken.answers.items() if row[1] is None}
    assert {key: told.refreshed.answers[key] for key in nulled} == nulled
    # Every call that was paid is a new key.
    assert told.paid == told.refreshed.calls - told.taken.calls > 0
    made = {row["call_key"] for row in told.refreshed.tables["synthesized_prompts"]}
    assert not made & nulled.keys()


def test_the_same_request_again_is_harmless_and_still_names_the_release(told):
    assert told.again.tables == told.refreshed.tables
    assert (told.again.points, told.again.answers) == (
        told.refreshed.points,
        told.refreshed.answers,
    )
    assert (told.again.report["posts"], told.again.report["points"]) == (1, 0)
    assert told.again.report["ledger_answers"] == 0
    assert told.again.report["releases"] == told.taken.report["releases"]


def test_an_unknown_post_is_told_and_nothing_changes(told):
    assert not told.unknown.success
    [failure] = told.unknown.get_step_failure_events()
    error = failure.event_specific_data.error
    assert "takedown: no crawled post has own id, URL or post id " in str(error.cause or error)
    assert told.after_unknown.tables == told.again.tables
    assert told.after_unknown.state == told.again.state
