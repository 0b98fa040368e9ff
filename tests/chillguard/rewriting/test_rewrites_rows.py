"""One rewrite at a time: what is kept of an answer, what is dropped for which reason, and why."""

import pytest

from chillguard import taxonomy
from chillguard.rewriting import jobs, methods, rewrites, transforms
from chillguard.rows import guards
from chillguard.tables import lineage
from chillguard.text import screening
from prompts import FOLDER
from tests.chillguard import builders

TAXONOMY = taxonomy.parse(taxonomy.packaged("taxonomy.yaml"), "packaged")
BY_ID = {method.id: method for method in methods.methods()}
TEXT = "周末想带家里的老人去公园散步，哪条路线比较平坦又有树荫？"
GOOD = "家里老人腿脚不太好，公园里有没有平一点、凉快一点的路可以走走？"
LAYOUTS = pytest.mark.parametrize("layout", ["json", "delimited"])


@pytest.fixture
def row(monkeypatch):
    """A function that gives the row of one method for an answer (text, or None for none)."""

    def make(method, text=None, layout="json", source=TEXT, **columns):
        builders.put_methods(monkeypatch, [BY_ID[method]])
        answer = text
        if layout == "json" and text is not None:
            answer = builders.numbered_answer("method", {1: text})
        ask = builders.Ask(rewriter=lambda request: answer)
        given = {"intended_label": "safe", "origin": "real", **columns}
        annotated = lineage.ANNOTATED_PROMPTS.build([builders.prompt("s", source, **given)])
        config = rewrites.RewritingConfig(rewrites_per_prompt=1, layout=layout)
        made = rewrites.rewrite(annotated, TAXONOMY, config, guards.GuardConfig(), ask)
        table = lineage.REWRITTEN_PROMPTS.build(row for rows in made for row in rows)
        assert lineage.REWRITTEN_PROMPTS.problems(table) == []
        (found,) = table.to_pylist()
        return found

    return make


@LAYOUTS
def test_a_good_rewrite_is_kept_with_the_key_of_its_call(row, layout):
    found = row("formal_tone", GOOD, layout)
    assert (found["text"], found["lang"], found["drop_reason"]) == (GOOD, "zh", None)
    assert found["method"] == "formal_tone"
    assert len(found["call_key"]) == 64


@LAYOUTS
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (TEXT, "unchanged"),
        (TEXT.replace("，", " "), "copy"),
        (f"改写后的提问：{GOOD}", "meta_text"),
        ("Which park has a flat path with some shade?", "language"),
        ("散步？", "too_short"),
        ("公园" * 600, "too_long"),
        ("怎样避免民族歧视内容出现在老人的作文里？", "category_leak"),
    ],
)
def test_a_bad_rewrite_is_dropped_with_its_text_and_call(row, layout, text, reason):
    found = row("formal_tone", text, layout)
    assert (found["text"], found["drop_reason"]) == (text, reason)
    assert found["drop_evidence"]
    assert found["call_key"]


def test_a_refusal_in_the_place_of_a_rewrite_is_dropped(row):
    assert row("formal_tone", "抱歉，我无法改写这段文本。")["drop_reason"] == "refusal"


def test_several_rewrites_in_the_place_of_one_are_dropped(row):
    found = row("formal_tone", f"1. {GOOD}\n2. 老人散步走哪条路好？")
    assert found["drop_reason"] == "several_prompts"


def test_a_request_in_points_is_what_its_method_asks_for(row):
    text = "想陪老人去公园散步，请帮忙选一条路：\n1. 路面平坦\n2. 有树荫\n3. 半小时走完"
    assert "每点一行" in BY_ID["structured_request"].instruction_zh
    assert row("structured_request", text)["drop_reason"] is None


def test_a_list_that_cannot_be_told_apart_is_not_used(row):
    found = row("formal_tone", f"{GOOD}；老人散步走哪条路好？", "delimited")
    assert (found["text"], found["drop_reason"]) == (None, "no_rewrite")
    assert found["drop_evidence"] == "no prompt by formal_tone"


def test_a_source_without_an_answer_is_quarantined_for_its_reason(row):
    found = row("formal_tone", None)
    assert (found["text"], found["drop_reason"]) == (None, "quarantined")
    assert found["drop_evidence"] == "refused"


@pytest.mark.parametrize("method", [m.id for m in BY_ID.values() if m.transform])
def test_a_transform_needs_no_call_and_no_guard_and_keeps_the_language(row, method):
    # "抱歉" and the label would be a refusal and a leak, were they a model's words.
    text = f"抱歉打扰，怎样避免民族歧视内容在OK的手机里出现？{TEXT}"
    found = row(method, source=text)
    made = transforms.TRANSFORMS[BY_ID[method].transform](text)
    assert (found["text"], found["drop_reason"]) == (made, None)
    assert (found["lang"], found["call_key"]) == ("zh", None)


@pytest.mark.parametrize(
    ("lang", "text", "reason"),
    [
        ("en", "Which park has a flat path with some shade?", None),
        ("en", GOOD, None),
        ("zh", "Which park has a flat path with some shade?", "language"),
        ("zh", GOOD, None),
    ],
)
def test_an_english_source_may_be_rewritten_in_english_and_a_chinese_one_may_not(
    row, lang, text, reason
):
    assert row("formal_tone", text, lang=lang)["drop_reason"] == reason


def test_a_screened_rewrite_leaves_no_text(row, monkeypatch):
    monkeypatch.setattr(screening, "screen", lambda text: "some_rule")
    found = row("formal_tone", GOOD)
    assert (found["text"], found["drop_reason"]) == (None, "screened")


@pytest.fixture
def version(monkeypatch):
    """A function that gives the code version with other methods."""

    def of(others):
        builders.put_methods(monkeypatch, others)
        return rewrites.version()

    return of


@pytest.mark.parametrize("field", ["instruction_zh", "name_zh", "description_zh", "when_en"])
def test_the_code_version_changes_with_any_word_of_a_method(version, field):
    usual, changed = list(BY_ID.values()), BY_ID["formal_tone"].model_copy(update={field: "别的。"})
    other = [changed if method.id == "formal_tone" else method for method in usual]
    assert version(usual) == version(list(usual))
    assert version(other) != version(usual)
    assert version(usual[1:]) != version(usual)


def test_the_code_version_changes_with_the_template_and_the_tables_of_the_transforms(monkeypatch):
    before = rewrites.version()
    assert (FOLDER / f"{jobs.TEMPLATE}.jinja").is_file()
    with monkeypatch.context() as patch:
        patch.setattr(rewrites, "fingerprint", lambda name: f"other {name}")
        assert rewrites.version() != before
    with monkeypatch.context() as patch:
        patch.setattr(transforms, "tables", lambda: ["other"])
        assert rewrites.version() != before
    assert rewrites.version() == before
