"""What one call of rewriting asks for: one text by one method or several, or several texts."""

import json
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chillguard import taxonomy
from chillguard.rewriting import jobs, methods, rewrites
from chillguard.rows import guards
from chillguard.tables import lineage
from tests.chillguard import builders

TAXONOMY = taxonomy.parse(taxonomy.packaged("taxonomy.yaml"), "packaged")
CODE = {macro.code: macro.micro[0].code for macro in TAXONOMY.macro}
BY_ID = {method.id: method for method in methods.methods()}
TEXT = re.compile(r"<text[^>]*>\n(.*)\n</text>")


def _prompt(key, label="safe", macro=None):
    code = CODE[macro] if macro else None
    columns = {"origin": "real", "intended_label": label, "intended_category": code}
    return builders.prompt(key, builders.mixed(key), **columns)


def _many(count=40):
    safe = [_prompt(f"s{n}") for n in range(count)]
    return [*safe, *(_prompt(f"u{n}{m}", "unsafe", m) for m in CODE for n in range(count // 4))]


def _written(request):
    """Per text and method of a request a mild rewrite of its own, in the layout asked for."""
    system, user = (message["content"] for message in request.messages)
    names = re.findall(r"^方法 \d+：(.*)$", user, re.MULTILINE)
    texts = [builders.mixed(f"{text} {name}") for text in TEXT.findall(user) for name in names]
    if "分号" in system:
        return "；".join(texts)
    key = "source" if '{"source"' in system else "method"
    return builders.numbered_answer(key, dict(enumerate(texts, 1)))


def _rewrite(rows, reply=_written, **settings):
    ask = builders.Ask(rewriter=reply)
    config = rewrites.RewritingConfig(**settings)
    annotated = lineage.ANNOTATED_PROMPTS.build(rows)
    made = rewrites.rewrite(annotated, TAXONOMY, config, guards.GuardConfig(), ask)
    table = lineage.REWRITTEN_PROMPTS.build(row for rows in made for row in rows)
    assert lineage.REWRITTEN_PROMPTS.problems(table) == []
    return table.to_pylist(), ask


def _texts(rows):
    """All of the rows but which call made them."""
    return [{**row, "call_key": None} for row in rows]


@pytest.mark.parametrize("layout", ["json", "delimited"])
@pytest.mark.parametrize("call_per", ["source", "texts"])
def test_however_calls_are_cut_the_rows_are_the_same(call_per, layout):
    by_method, each = _rewrite(_many(), layout=layout)
    found, fewer = _rewrite(_many(), layout=layout, call_per=call_per)
    assert _texts(found) == _texts(by_method)
    assert not [row for row in found if row["drop_reason"]]
    assert len(fewer.asked) < 0.7 * len(each.asked)


def test_texts_of_one_call_share_method_label_and_macro_category_and_are_three_at_most():
    sources = {row["prompt_id"]: row for row in _many(200)}
    sizes = Counter()
    for _, request in _rewrite([*sources.values()], call_per="texts")[1].asked:
        *ids, method = request.row_id.split("/")
        rows = [sources[key] for key in ids]
        macros = {TAXONOMY.macro_of.get(row["intended_category"]) for row in rows}
        sizes[len(rows)] += 1
        assert method in BY_ID
        assert len(macros) == len({row["intended_label"] for row in rows}) == 1
        user = request.messages[1]["content"]
        assert TEXT.findall(user) == [row["text"] for row in rows]
        assert user.count("方法 ") == 1
    assert set(sizes) == {1, 2, 3}
    assert sizes[3] > sizes[1]


@pytest.mark.parametrize("label", ["safe", "unsafe"])
def test_safe_and_unsafe_prompts_are_asked_for_in_their_own_words(label):
    rows = [_prompt("s")] if label == "safe" else [_prompt("u", "unsafe", "B")]
    for _, request in _rewrite(rows)[1].asked:
        system, user = (message["content"] for message in request.messages)
        assert ("有害的用户提问" in system) is (label == "unsafe")
        assert ("无害的用户提问" in system) is (label == "safe")
        macro = next(macro for macro in TAXONOMY.macro if macro.code == "B")
        assert user.startswith(f"大类：{macro.label_zh}\n") is (label == "unsafe")


def test_a_call_for_one_text_and_method_is_the_same_call_however_calls_are_cut():
    def keys(**settings):
        asked = _rewrite([_prompt("s")], **settings)[1].keys("rewriter")
        return set(asked.values())

    one_text = keys(call_per="texts", texts_per_call=1)
    assert keys() == keys(call_per="texts") == one_text != set()


def test_a_source_more_asks_for_few_others_anew():
    rows = [_prompt(f"s{n}") for n in range(400)]
    before = set(_rewrite(rows, call_per="texts")[1].keys("rewriter").values())
    after = set(_rewrite([*rows, _prompt("new")], call_per="texts")[1].keys("rewriter").values())
    assert 0 < len(after - before) <= 12 < len(before) / 10


def test_a_changed_instruction_asks_only_for_calls_of_its_own_method_anew(monkeypatch):
    before = _rewrite(_many(), call_per="texts")[1].keys("rewriter")
    changed = BY_ID["formal_tone"].model_copy(update={"instruction_zh": "改得像一封信。"})
    others = {**BY_ID, "formal_tone": changed}
    builders.put_methods(monkeypatch, others.values())
    after = _rewrite(_many(), call_per="texts")[1].keys("rewriter")
    anew = {row for row in after if after[row] != before[row]}
    assert anew == {row for row in after if row.endswith("/formal_tone")} != set()


@pytest.mark.parametrize("layout", ["json", "delimited"])
def test_an_answer_for_another_number_of_texts_costs_what_it_does_not_number(layout):
    def reply(request):
        count = request.row_id.count("/")
        if layout == "delimited":
            return "；".join(builders.mixed(n) for n in range(count + 1))
        key = "source" if count > 1 else "method"
        return builders.numbered_answer(key, {count: builders.mixed(request.row_id)})

    rows, ask = _rewrite(_many(), reply, call_per="texts", layout=layout)
    made = [row for row in rows if row["call_key"]]
    kept = [row for row in made if row["drop_reason"] is None]
    assert {row["drop_reason"] for row in made} <= {None, "no_rewrite"}
    assert len(kept) == (len(ask.asked) if layout == "json" else 0)
    assert len(made) == sum(request.row_id.count("/") for _, request in ask.asked)


@given(st.sets(st.binary(min_size=8, max_size=8), max_size=60), st.integers(1, 5))
def test_every_place_is_in_one_group_of_bounded_size(hashes, most):
    places = {key: place for place, key in enumerate(sorted(hashes))}
    found = [*jobs._packed(places, most)]
    assert [place for group in found for place in group] == sorted(places.values())
    assert all(1 <= len(group) <= most for group in found)


@given(st.sets(st.binary(min_size=8, max_size=8), min_size=2, max_size=60), st.data())
def test_without_one_place_the_groups_before_it_stay(hashes, data):
    gone = data.draw(st.sampled_from(sorted(hashes)))
    with_it = [*jobs._packed({key: key for key in hashes}, 3)]
    without = [*jobs._packed({key: key for key in hashes - {gone}}, 3)]
    before = [group for group in with_it if group[-1] < gone]
    assert without[: len(before)] == before


def test_the_schema_of_several_texts_numbers_the_sources():
    request = next(
        request
        for _, request in _rewrite(_many(), call_per="texts")[1].asked
        if request.row_id.count("/") == 3
    )
    items = request.answer_schema["properties"]["prompts"]
    assert items["minItems"] == items["maxItems"] == 3
    assert set(items["items"]["properties"]) == {"source", "prompt"}
    assert json.dumps(request.answer_schema)
