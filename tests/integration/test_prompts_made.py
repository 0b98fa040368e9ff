"""What a change of a rewriting method costs."""

import contextlib
import sqlite3

import pytest

from chillguard import taxonomy
from chillguard.rewriting import jobs, methods, rewrites
from chillguard.tables import lineage
from resources.offline.lexicon import SAMPLES
from tests.integration.conftest import SMALL

pytestmark = pytest.mark.pipeline

# What a change of a method costs

UPSTREAM = ("taxonomy", "real_prompts", "annotated_prompts", "rewritten_prompts")


@pytest.fixture
def change(monkeypatch):
    """Let other methods than the packaged ones be in force."""

    def put(others):
        in_force = tuple(others)
        monkeypatch.setattr(methods, "methods", lambda: in_force)
        methods.by_id.cache_clear()
        methods.fitting.cache_clear()

    yield put
    monkeypatch.undo()
    methods.by_id.cache_clear()
    methods.fitting.cache_clear()


@pytest.fixture
def small(make_house, request):
    """A small house in which rewrites were made once."""
    source = {
        "name": "samples",
        "path": str(SAMPLES / "real_prompts.jsonl"),
        "columns": {"text": "text", "label": "label", "category": "category"},
        "limit": 150,
    }
    settings = {**SMALL, "rewriting": {"call_per": getattr(request, "param", "method")}}
    house = make_house("methods", real_prompts=[source], settings=settings)
    assert house.run(*UPSTREAM).success
    return house


def asked(house):
    """Rows that the rewriter was asked for, one entry per call that was paid."""
    with contextlib.closing(sqlite3.connect(house.home / "ledger.db")) as connection:
        found = connection.execute("select row_id from calls where role = 'rewriter'")
        return sorted(row_id for (row_id,) in found)


def wanted(house):
    """Rows that the methods in force ask the rewriter for."""
    known = taxonomy.from_rows(house.table("taxonomy"))
    config = house.profile.settings.rewriting
    table, drawn = house.table("annotated_prompts"), []
    for row in table.to_pylist():
        texts = rewrites.draw(row, known, config)
        drawn.append(tuple(methods.by_id()[key] for key in texts if texts[key] is None))
    groups = jobs.groups(table, drawn, known, config.call_per, config.texts_per_call)
    return sorted(job.row_id for job in jobs.jobs(table, groups))


def new_calls(house):
    """Rows asked for by one more run of the rewriter's stage."""
    before = asked(house)
    assert house.run("rewritten_prompts").success
    after = asked(house)
    for row_id in before:
        after.remove(row_id)
    return after


def made(house):
    return {(r["parent_ids"][0], r["method"]): r["text"] for r in house.rows("rewritten_prompts")}


def test_without_a_change_nothing_is_asked(small):
    assert asked(small) == wanted(small)
    assert new_calls(small) == []


@pytest.mark.parametrize("small", ["method", "source"], indirect=True)
def test_a_changed_instruction_is_asked_only_for_rows_of_its_method(small, change):
    before = made(small)
    method = next(m for m in methods.methods() if m.instruction_zh and m.macro is None)
    of_method = [job for job in wanted(small) if method.id in job.split("/")]
    more = {"instruction_zh": f"{method.instruction_zh}语气要客气。"}
    change(m.model_copy(update=more) if m.id == method.id else m for m in methods.methods())
    assert 0 < len(of_method) < len(asked(small))
    assert new_calls(small) == of_method
    assert new_calls(small) == []
    assert made(small).keys() == before.keys()
    per_method = small.profile.settings.rewriting.call_per != "source"
    others = {key for key in before if key[1] != method.id}
    assert not per_method or all(made(small)[key] == before[key] for key in others)


def test_an_added_method_is_asked_only_for_the_sources_that_now_draw_it(small, change):
    before, old = made(small), wanted(small)
    model = next(m for m in methods.methods() if m.instruction_zh and m.macro is None)
    more = {"id": "house_style", "labels": lineage.LABELS, "instruction_zh": "改得更口语一些。"}
    added = model.model_copy(update=more)
    change((*methods.methods(), added))
    drawing = [job for job in wanted(small) if job.endswith("/house_style")]
    assert 0 < len(drawing) < len(small.rows("annotated_prompts"))
    assert new_calls(small) == drawing
    after = made(small)
    assert {f"{source}/house_style" for source, m in after if m == "house_style"} == set(drawing)
    assert all(after[key] == before[key] for key in after.keys() & before.keys())
    lost = before.keys() - after.keys()
    assert {source for source, _ in lost} <= {job.split("/")[0] for job in drawing}
    assert set(wanted(small)) - set(old) == set(drawing)


def test_a_removed_method_asks_only_for_what_its_sources_draw_instead(small, change):
    old = set(wanted(small))
    method = next(m for m in methods.methods() if m.instruction_zh and m.macro is None)
    sources = {job.split("/")[0] for job in old if job.endswith(f"/{method.id}")}
    change(m for m in methods.methods() if m.id != method.id)
    new = new_calls(small)
    assert set(new) == set(wanted(small)) - old
    assert {job.split("/")[0] for job in new} <= sources
