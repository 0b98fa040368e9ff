"""What becomes of a source prompt: its methods, its calls and its rows."""

import functools
import re
from collections import Counter

import pydantic
import pytest

from chillguard import taxonomy
from chillguard.rewriting import methods, rewrites, transforms
from chillguard.rows import guards
from chillguard.tables import lineage
from tests.chillguard import builders

TAXONOMY = taxonomy.parse(taxonomy.packaged("taxonomy.yaml"), "packaged")
CODE = {macro.code: macro.micro[0].code for macro in TAXONOMY.macro}
BY_ID = {method.id: method for method in methods.methods()}
GUARD = guards.GuardConfig()
ENGLISH = "Which path around the lake is good for a morning walk?"


def _config(**settings):
    return rewrites.RewritingConfig(**settings)


def _prompt(key, label="safe", macro=None, text=None, **columns):
    return builders.prompt(
        key,
        text or builders.mixed(key),
        origin="real",
        intended_label=label,
        intended_category=CODE[macro] if macro else None,
        **columns,
    )


def _many(count=12):
    safe = [_prompt(f"s{n}") for n in range(count)]
    unsafe = [_prompt(f"u{n}{macro}", "unsafe", macro) for macro in CODE for n in range(count)]
    english = [_prompt(f"e{n}", text=ENGLISH, lang="en") for n in range(count)]
    return [*safe, *unsafe, *english]


def _written(request):
    """A mild rewrite per method of a request, another one for each (source, method)."""
    user = request.messages[1]["content"]
    source = user.partition("<text>\n")[2].partition("\n</text>")[0]
    names = re.findall(r"^方法 \d+：(.*)$", user, re.MULTILINE)
    texts = [builders.mixed(f"{source} {name}") for name in names]
    if "分号" in request.messages[0]["content"]:
        return "；".join(texts)
    return builders.numbered_answer("method", dict(enumerate(texts, 1)))


def _rewrite(*rows, reply=_written, **settings):
    ask = builders.Ask(rewriter=reply)
    annotated = lineage.ANNOTATED_PROMPTS.build(rows)
    made = rewrites.rewrite(annotated, TAXONOMY, _config(**settings), GUARD, ask)
    table = lineage.REWRITTEN_PROMPTS.build(row for rows in made for row in rows)
    assert lineage.REWRITTEN_PROMPTS.problems(table) == []
    return table.to_pylist(), ask


@pytest.fixture
def swap(monkeypatch):
    """A function that puts other methods in the place of those that ship."""
    return functools.partial(builders.put_methods, monkeypatch)


@pytest.mark.parametrize(
    ("label", "macro", "lang", "fits"),
    [
        ("unsafe", "A", "zh", True),
        ("unsafe", "A", "en", True),
        ("unsafe", "B", "zh", False),
        ("safe", "A", "zh", False),
        ("unsafe", None, "zh", False),
    ],
)
def test_a_method_fits_by_label_and_macro_category(label, macro, lang, fits):
    method = BY_ID["euphemism"].model_copy(update={"macro": ("A",)})
    assert method.fits(label, macro, lang) is fits
    anywhere = method.model_copy(update={"macro": None})
    assert anywhere.fits(label, macro, lang) is (label == "unsafe")


@pytest.mark.parametrize(("lang", "fits"), [("zh", True), ("en", False), (None, False)])
def test_a_surface_method_is_for_chinese_only(lang, fits):
    assert BY_ID["homophones"].fits("unsafe", "A", lang) is fits
    assert BY_ID["semantic_nesting"].fits("unsafe", "A", lang)


@pytest.mark.parametrize("given", [{}, {"instruction_zh": "改", "transform": "pinyin"}])
def test_a_method_with_neither_or_both_of_instruction_and_transform_is_refused(given):
    columns = BY_ID["pinyin"].model_dump() | {"instruction_zh": None, "transform": None}
    with pytest.raises(pydantic.ValidationError, match="either instruction_zh or transform"):
        rewrites.Method.model_validate(columns | given)


@pytest.mark.parametrize("macro", [None, *CODE])
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_enough_methods_fit_every_label_category_and_language(macro, lang):
    label = "unsafe" if macro else "safe"
    assert sum(m.fits(label, macro, lang) for m in BY_ID.values()) >= 2 * 3


def test_every_prompt_with_an_outcome_gets_three_different_methods_that_fit_it():
    sources = {row["prompt_id"]: row for row in _many(40)}
    rows, _ = _rewrite(*sources.values(), _prompt("open", None), _prompt("bare", "unsafe"))
    drawn = {(row["parent_ids"][0], row["method"]) for row in rows}
    assert len(rows) == len(drawn) == 3 * len(sources)
    assert set(Counter(key for key, _ in drawn).values()) == {3}
    for key, method in drawn:
        source = sources[key]
        macro = TAXONOMY.macro_of.get(source["intended_category"])
        assert BY_ID[method].fits(
            source["intended_label"], macro.code if macro else None, source["lang"]
        )
    # Few of these texts hold a word or letter for the two others.
    assert {method for _, method in drawn} >= set(BY_ID) - {"emoji", "full_width"}


def test_a_prompt_keeps_its_methods_whatever_else_is_annotated():
    alone, _ = _rewrite(_prompt("u0A", "unsafe", "A"))
    among, _ = _rewrite(*_many())
    assert [row for row in among if row["parent_ids"] == ["u0A"]] == alone


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_number_of_rewrites_is_a_setting_and_more_keep_the_earlier_methods(count):
    few = rewrites.draw(_prompt("s"), TAXONOMY, _config(rewrites_per_prompt=count))
    more = rewrites.draw(_prompt("s"), TAXONOMY, _config(rewrites_per_prompt=count + 1))
    assert len(few) == count
    assert [*more][:count] == [*few]


def test_a_prompt_that_is_spelled_anew_draws_the_same_methods(swap):
    swap(method for method in methods.methods() if method.transform is None)
    for n in range(20):
        one = _prompt("a", text=builders.mixed(n), family_id=f"f{n}")
        two = _prompt("b", text="·".join(builders.mixed(n)), family_id=f"f{n}")
        drawn = [rewrites.draw(row, TAXONOMY, _config()) for row in (one, two)]
        assert list(drawn[0]) == list(drawn[1])


def test_a_transform_that_would_change_nothing_is_passed_over(swap):
    names = ("full_width", "emoji", "pinyin", "semantic_nesting")
    swap(BY_ID[name] for name in names)
    source = _prompt("u", "unsafe", "A", text="邻里之间应当怎样相处")
    found = rewrites.draw(source, TAXONOMY, _config(rewrites_per_prompt=4))
    assert set(found) == {"pinyin", "semantic_nesting"}
    assert found["pinyin"] == transforms.pinyin(source["text"])
    assert found["semantic_nesting"] is None


def _texts(rows):
    """All of the rows but which call made them."""
    return [{**row, "call_key": None} for row in rows]


@pytest.mark.parametrize("layout", ["json", "delimited"])
def test_one_call_per_source_or_per_method_gives_the_same_rows(layout):
    by_method, each = _rewrite(*_many(), layout=layout)
    by_source, whole = _rewrite(*_many(), layout=layout, call_per="source")
    assert _texts(by_method) == _texts(by_source)
    made = Counter(row["parent_ids"][0] for row in by_method if row["call_key"])
    assert len(each.asked) == made.total()
    assert len(whole.asked) == len(made)
    sizes = Counter(request.count("/") for request in whole.rows("rewriter"))
    assert sizes == Counter(made.values())
    assert not [row for row in by_method if row["drop_reason"]]


def test_a_source_of_transforms_only_is_not_asked_about(swap):
    swap(method for method in BY_ID.values() if method.transform)
    for call_per in ("method", "source"):
        rows, ask = _rewrite(_prompt("u", "unsafe", "A"), call_per=call_per)
        assert (len(rows), ask.asked) == (3, [])
        assert {row["call_key"] for row in rows} == {None}


def _keys(**settings):
    """Call keys by (source, method)."""
    _, ask = _rewrite(*_many(), **settings)
    return ask.keys("rewriter")


def test_a_changed_instruction_asks_only_for_its_own_method_anew(swap):
    before = _keys()
    changed = BY_ID["formal_tone"].model_copy(update={"instruction_zh": "改得像一封信。"})
    swap(changed if method.id == changed.id else method for method in BY_ID.values())
    after = _keys()
    assert after.keys() == before.keys()
    anew = {row for row in after if after[row] != before[row]}
    assert anew
    assert anew == {row for row in after if row.endswith("/formal_tone")}


def test_with_one_call_per_source_a_changed_instruction_asks_for_its_neighbours_too(swap):
    before = _keys(call_per="source")
    changed = BY_ID["formal_tone"].model_copy(update={"instruction_zh": "改得像一封信。"})
    swap(changed if method.id == changed.id else method for method in BY_ID.values())
    after = _keys(call_per="source")
    anew = {row for row in after if after[row] != before[row]}
    assert anew == {row for row in after if "formal_tone" in row.split("/")}


def test_a_new_method_changes_only_the_sources_that_draw_it(swap):
    before = _keys()
    fresh = BY_ID["formal_tone"].model_copy(update={"id": "letter_tone", "name_zh": "书信体"})
    swap([*BY_ID.values(), fresh])
    after = _keys()
    drew = {row.partition("/")[0] for row in after if row.endswith("/letter_tone")}
    changed = {row.partition("/")[0] for row, key in after.items() if before.get(row) != key}
    gone = {row.partition("/")[0] for row in before.keys() - after.keys()}
    assert changed == drew
    assert gone <= drew
    assert 0 < len(drew) < len(_many()) / 4
    assert all(before[row] == after[row] for row in before.keys() & after.keys())


def test_a_rewrite_stays_in_the_family_and_under_the_terms_of_its_source():
    source = _prompt("c", "unsafe", "A", family_id="root", may_redistribute=False)
    for row in _rewrite(source)[0]:
        assert (row["family_id"], row["parent_ids"]) == ("root", ["c"])
        assert row["origin"] == "rewrite"
        assert (row["intended_label"], row["intended_category"]) == ("unsafe", CODE["A"])
        assert (row["may_redistribute"], row["may_train"]) == (False, True)
        assert row["is_twin"] is False


@pytest.mark.parametrize("call_per", ["method", "source"])
@pytest.mark.parametrize("layout", ["json", "delimited"])
@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (lambda r: None, "quarantined"),
        (lambda r: "", None),
        (lambda r: "抱歉，我无法提供这样的改写。", "quarantined"),
    ],
)
def test_every_source_has_its_rows_also_where_no_answer_came(call_per, layout, reply, reason):
    rows, _ = _rewrite(*_many(4), reply=reply, call_per=call_per, layout=layout)
    assert len(rows) == 3 * len(_many(4)) == len({row["prompt_id"] for row in rows})
    lost = [row for row in rows if row["call_key"]]
    assert {row["text"] for row in lost} == {None}
    assert {row["drop_reason"] for row in lost} <= {reason or "quarantined", "no_rewrite"}
    assert all(row["drop_evidence"] for row in lost)


def test_a_missing_rewrite_costs_only_its_own_method():
    def reply(request):
        last = request.row_id.count("/")
        return builders.numbered_answer("method", {last: "换个说法再问一遍怎么样？"})

    rows, ask = _rewrite(*_many(), reply=reply, call_per="source")
    kept = [row for row in rows if row["call_key"] and row["drop_reason"] is None]
    assert len(kept) == len(ask.asked)
    asked = {row.partition("/")[0]: row.rpartition("/")[2] for row in ask.rows("rewriter")}
    assert {row["parent_ids"][0]: row["method"] for row in kept} == asked
    lost = [row for row in rows if row["drop_reason"]]
    assert {row["drop_reason"] for row in lost} == {"no_rewrite"}
    assert {row["drop_evidence"] for row in lost} == {f"no prompt by {r['method']}" for r in lost}
