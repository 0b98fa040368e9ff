import pytest

from chillguard import calls, rewriting, schema, taxonomy, transforms
from tests.chillguard import builders

SMALL = builders.SMALL
CONFIG = rewriting.RewritingConfig()
BY_ID = {method.id: method for method in rewriting.methods()}


def _annotated(*rows):
    return schema.ANNOTATED_PROMPTS.build(rows)


def _prompt(key, label="safe", code=None, **columns):
    return builders.prompt(
        key,
        builders.mixed(key),
        origin="real",
        intended_label=label,
        intended_category=code,
        **columns,
    )


UNSAFE = _prompt("u", "unsafe", "M1a")
SAFE = _prompt("s")


def _slot(method, source=SAFE):
    return rewriting.Slot(source, BY_ID[method])


def _row(slot, outcome=None):
    table = rewriting.rows([slot], [outcome] if outcome else [])
    assert schema.REWRITTEN_PROMPTS.problems(table) == []
    (row,) = table.to_pylist()
    return row


def test_methods_are_unique_and_name_known_transforms_only():
    assert len(BY_ID) == len(rewriting.methods())
    named = {method.transform for method in BY_ID.values()} - {None}
    assert named
    assert named <= set(transforms.TRANSFORMS)


@pytest.mark.parametrize("label", ["safe", "unsafe"])
def test_enough_methods_fit_either_label_in_every_macro_category(label):
    whole = taxonomy.parse(taxonomy.packaged("taxonomy.yaml"), "taxonomy.yaml")
    for macro in whole.macro:
        fitting = [m for m in BY_ID.values() if m.fits(label, macro.code)]
        assert len(fitting) >= CONFIG.rewrites_per_prompt


@pytest.mark.parametrize(
    ("label", "macro", "fits"),
    [
        ("unsafe", "M1", True),
        ("unsafe", "M2", False),
        ("safe", "M1", False),
        ("unsafe", None, False),
    ],
)
def test_a_method_fits_its_labels_and_macro_categories(label, macro, fits):
    method = rewriting.Method(
        id="m", name_zh="", name_en="", description_zh="", labels=("unsafe",), macro=("M1",)
    )
    assert method.fits(label, macro) is fits
    anywhere = method.model_copy(update={"macro": None})
    assert anywhere.fits(label, macro) is (label == "unsafe")


def test_every_prompt_with_an_outcome_gets_its_number_of_different_methods():
    rows = [
        *(_prompt(f"s{n}") for n in range(20)),
        *(_prompt(f"u{n}", "unsafe", "M2a") for n in range(20)),
        _prompt("open", None),
        _prompt("bare", "unsafe"),
    ]
    found = rewriting.slots(_annotated(*rows), SMALL, CONFIG)
    assert len({slot.row_id for slot in found}) == len(found) == 40 * 3
    for slot in found:
        assert slot.method.fits(slot.source["intended_label"], "M2")
    assert {slot.method.id for slot in found} == set(BY_ID)


def test_a_prompt_keeps_its_methods_whatever_else_is_annotated():
    alone = rewriting.slots(_annotated(UNSAFE), SMALL, CONFIG)
    among = rewriting.slots(_annotated(UNSAFE, SAFE), SMALL, CONFIG)
    assert [slot for slot in among if slot.source["prompt_id"] == "u"] == alone


def test_only_methods_without_a_transform_are_requested():
    wanted = [_slot("colloquial_tone"), _slot("traditional_script")]
    (request,) = rewriting.requests(wanted, CONFIG)
    assert request.row_id == "s/colloquial_tone"
    assert SAFE["text"] in request.messages[1]["content"]
    assert BY_ID["colloquial_tone"].description_zh in request.messages[1]["content"]


def test_an_answer_is_the_text_under_prompt():
    assert rewriting.parse(builders.answer({"prompt": "改写"})) == "改写"


@pytest.mark.parametrize("text", [{}, {"prompt": ""}, {"prompt": " "}, {"prompt": ["a"]}, "改写"])
def test_an_answer_without_a_prompt_is_unreadable(text):
    with pytest.raises(calls.Unreadable):
        rewriting.parse(builders.answer(text))


def test_a_rewrite_stays_in_the_family_and_under_the_terms_of_its_source():
    source = _prompt("c", "unsafe", "M1a", family_id="root", may_redistribute=False)
    outcome = calls.Outcome("c/semantic_nesting", "call", "换个说法再问一遍？")
    row = _row(_slot("semantic_nesting", source), outcome)
    assert (row["text"], row["drop_reason"]) == ("换个说法再问一遍？", None)
    assert (row["family_id"], row["parent_ids"]) == ("root", ["c"])
    assert (row["origin"], row["method"], row["call_key"]) == (
        "rewrite",
        "semantic_nesting",
        "call",
    )
    assert (row["intended_label"], row["intended_category"]) == ("unsafe", "M1a")
    assert (row["may_redistribute"], row["may_train"]) == (False, True)


def test_a_transform_needs_no_call():
    row = _row(_slot("traditional_script", {**SAFE, "text": "请问这个问题怎么说？"}))
    assert row["text"] == "請問這個問題怎麼說？"
    assert (row["call_key"], row["lang"], row["drop_reason"]) == (None, "zh", None)


def test_a_quarantined_rewrite_is_a_dropped_slot_with_the_reason():
    row = _row(_slot("formal_tone"), calls.Outcome("s/formal_tone", "call", None, "not JSON"))
    assert (row["text"], row["drop_reason"]) == (None, "quarantined")
    assert row["drop_evidence"] == "not JSON"


@pytest.mark.parametrize("outcome", [None, calls.Outcome("s/x", "call", "你好！")])
def test_a_rewrite_that_changes_nothing_is_dropped(outcome):
    method = "formal_tone" if outcome else "traditional_script"
    outcome = outcome and calls.Outcome(f"s/{method}", "call", outcome.value)
    row = _row(_slot(method, {**SAFE, "text": "你好！"}), outcome)
    assert row["drop_reason"] == "unchanged"
    assert row["drop_evidence"] == f"method {method} changed nothing"


def test_every_slot_is_a_row():
    wanted = rewriting.slots(_annotated(UNSAFE, SAFE), SMALL, CONFIG)
    ask = builders.Ask(
        rewriter=lambda r: {"prompt": "一样？"} if "colloquial" in r.row_id else None
    )
    outcomes = ask("rewriter", rewriting.requests(wanted, CONFIG), rewriting.parse)
    table = rewriting.rows(wanted, outcomes)
    assert table.num_rows == len(wanted) == 6
    assert len(set(table["prompt_id"].to_pylist())) == 6
