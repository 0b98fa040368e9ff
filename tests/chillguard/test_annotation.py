import re

import pytest

from chillguard import annotation
from chillguard.labeling import jury
from chillguard.tables import lineage
from chillguard.text import matching, screening
from tests.chillguard import builders

SMALL = builders.SMALL
TEXT = "今天适合去公园散步吗？"
JURORS = ("juror_1", "juror_2", "juror_3", "juror_4")
CONFIG = jury.LabelingConfig()


def _real(*records):
    table = annotation.real_rows(records)
    assert lineage.REAL_PROMPTS.problems(table) == []
    assert table.num_rows == len(records)
    return table.to_pylist()


def _one(rows, kept=True):
    (row,) = [row for row in rows if (row["drop_reason"] is None) == kept]
    return row


def test_a_real_prompt_keeps_label_and_category_of_its_file():
    (row,) = _real(builders.record(TEXT, label="unsafe", category="M1a"))
    assert (row["source_label"], row["intended_label"]) == ("unsafe", "unsafe")
    assert (row["intended_category"], row["decided_by"]) == ("M1a", "source")
    assert (row["origin"], row["method"], row["parent_ids"]) == ("real", "file", [])
    assert row["family_id"] == matching.family_id(row["text"])


def test_a_category_of_a_safe_or_unlabelled_row_is_not_taken():
    for label in ("safe", None):
        (row,) = _real(builders.record(TEXT, label=label, category="M1a"))
        assert row["intended_category"] is None
    assert row["decided_by"] is None


def test_a_copy_is_dropped_for_the_first_and_names_it():
    rows = _real(*[builders.record(TEXT, label="safe")] * 3)
    kept = _one(rows)
    copies = [row for row in rows if row["drop_reason"]]
    assert {row["drop_evidence"] for row in copies} == {f"same text as {kept['prompt_id']}"}
    assert {row["drop_reason"] for row in copies} == {"duplicate"}
    assert kept["intended_label"] == "safe"


def test_copies_with_different_labels_leave_the_kept_row_to_the_jury():
    rows = _real(
        builders.record(TEXT, label="safe"),
        builders.record(TEXT, label="unsafe", category="M1a"),
        builders.record("另一条普通的提问？", label="safe"),
    )
    copy = _one(rows, kept=False)
    (kept,) = [row for row in rows if row["drop_evidence"] is None and row["text"] == TEXT]
    assert copy["drop_evidence"] == f"same text as {kept['prompt_id']}, label differs"
    names = ("source_label", "intended_label", "intended_category", "decided_by")
    assert [kept[name] for name in names] == [None] * 4
    (other,) = [row for row in rows if row["text"] != TEXT]
    assert other["intended_label"] == "safe"


def test_a_third_copy_cannot_bring_a_disputed_label_back():
    for labels in (("safe", "unsafe", "safe"), ("unsafe", "unsafe", "safe")):
        rows = _real(*(builders.record(TEXT, label=label) for label in labels))
        assert _one(rows)["intended_label"] is None


SPELLINGS = (
    "今天适合去公园散步吗",
    "今天適合去公園散步嗎？",
    "今\u200b天适合去\u200b公园散步吗？",
    "今天适合去公园散步吗？😀",
    "今天 适合 去公园 散步吗？",
    "今天适合，去公园散步吗！",
    "\ufeff今天适合去公园散步吗？\ufe0f",
)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("birth", [annotation.real_rows, annotation.public_rows])
def test_a_copy_in_another_spelling_is_dropped_for_the_first_and_names_it(birth, spelling):
    records = [builders.record(TEXT, source="a"), builders.record(spelling, source="b")]
    rows = birth(records).to_pylist()
    kept, copy = _one(rows), _one(rows, kept=False)
    assert (kept["text"], copy["text"]) == (TEXT, spelling.strip())
    assert kept["family_id"] == copy["family_id"]
    assert copy["drop_reason"] == "duplicate"
    assert copy["drop_evidence"] == f"same text as {kept['prompt_id']}, spelled otherwise"


def test_what_asks_nothing_is_nobodys_twin():
    rows = _real(builders.record("https://www.ab.cn"), builders.record("https www ab cn"))
    assert [row["drop_reason"] for row in rows if row["text"] == "https www ab cn"] == [None]


def test_a_file_under_another_name_is_the_same_rows():
    tables = [
        annotation.real_rows([builders.record(TEXT, source=name)] * 2) for name in ("may", "june")
    ]
    one, two = (table.drop_columns(["method"]) for table in tables)
    assert one.equals(two)


def test_texts_that_differ_only_in_personal_data_are_one():
    rows = _real(builders.record("打13900000001找我"), builders.record("打13900000002找我"))
    assert [row["text"] for row in rows] == ["打<PHONE>找我"] * 2
    assert sorted(row["drop_reason"] or "" for row in rows) == ["", "duplicate"]


def test_a_screened_prompt_is_no_duplicate_and_no_twin():
    forbidden = "，".join(group[0] for group in screening.rules()[1].all_of)
    rows = _real(builders.record(forbidden), builders.record(forbidden))
    assert [row["drop_reason"] for row in rows] == ["screened", "screened"]


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/a?b=1",
        "http://example.org/path https://example.org/other",
        "看https://example.org",
        "13900000001",
        "2024-05-06 07:08",
        "3.14159",
        "？？？！！",
        "……",
        "😀😀😀",
        "someone@example.org",
        "<PHONE> <EMAIL>",
        "(<PHONE>)",
        "a",
        "啊？",
        "___",
    ],
)
def test_a_real_prompt_that_asks_nothing_is_dropped_with_the_reason(text):
    (row,) = _real(builders.record(text, label="safe"))
    assert row["drop_reason"] == "irrelevant"
    assert re.fullmatch("[01] letters beside links and placeholders", row["drop_evidence"])
    assert row["text"]


@pytest.mark.parametrize(
    "text",
    [
        "在吗",
        "你好",
        "几点了？",
        "1+1等于几？",
        "5G好用吗",
        "hi",
        "OK?",
        "A4纸多大",
        "翻译：hello",
        "打开 https://example.org 看看",
        "https://example.org 这个网站怎么打不开？",
        "https://example.org怎么打不开？",
        "请看https://example.org/a.html，总结一下",
        "someone@example.org 是谁的邮箱？",
        "13900000001是哪里的号码？",
        "<PHONE>是哪里的号码？",
        "¿Qué?",
        "これは何",
    ],
)
def test_a_short_real_question_is_kept(text):
    (row,) = _real(builders.record(text, label="safe"))
    assert row["drop_reason"] is None


def test_a_public_row_is_not_held_against_the_screening_of_real_prompts():
    (row,) = annotation.public_rows([builders.record("https://example.org")]).to_pylist()
    assert row["drop_reason"] is None


def test_irrelevant_copies_are_irrelevant_each_and_no_real_question_is_their_copy():
    rows = _real(*(builders.record(text) for text in ("？？", "？？", TEXT)))
    assert sorted(row["drop_reason"] or "" for row in rows) == ["", "irrelevant", "irrelevant"]


def test_a_public_row_keeps_its_label_apart_and_is_never_believed():
    table = annotation.public_rows(
        [builders.record(TEXT, label="unsafe"), builders.record(TEXT, label="safe")]
    )
    assert lineage.PUBLIC_PROMPTS.problems(table) == []
    kept = _one(table.to_pylist())
    copy = _one(table.to_pylist(), kept=False)
    assert (kept["source_label"], kept["intended_label"], kept["decided_by"]) == (
        "unsafe",
        None,
        None,
    )
    assert copy["drop_evidence"] == f"same text as {kept['prompt_id']}"


@pytest.mark.parametrize("rows", [annotation.real_rows, annotation.public_rows])
def test_terms_and_language_come_from_the_record(rows):
    given = builders.record(TEXT, lang="en") | {"may_redistribute": False, "may_train": False}
    (row,) = rows([given]).to_pylist()
    assert (row["lang"], row["may_redistribute"], row["may_train"]) == ("en", False, False)


def _annotate(records, verdicts=("safe",) * 4, tie=None, code=None):
    votes = {juror: (lambda r, v=v: v) for juror, v in zip(JURORS, verdicts, strict=True)}
    ask = builders.Ask(**votes, tie_breaker=lambda r: tie, categorizer=lambda r: code)
    table = annotation.annotate(annotation.real_rows(records), JURORS, SMALL, CONFIG, ask)
    assert lineage.ANNOTATED_PROMPTS.problems(table) == []
    return table.to_pylist(), ask


def test_a_fully_labelled_file_costs_no_call():
    rows, ask = _annotate(
        [
            builders.record(TEXT, label="safe"),
            builders.record("别的提问在这里？", label="unsafe", category="M2b"),
        ]
    )
    assert ask.asked == []
    assert {row["decided_by"] for row in rows} == {"source"}
    assert all(annotation.has_outcome(row) for row in rows)


def test_an_unlabelled_prompt_gets_the_verdict_of_the_jury():
    (row,), ask = _annotate([builders.record(TEXT)], ("safe", "safe", "unsafe", "safe"))
    assert (row["intended_label"], row["decided_by"]) == ("safe", "jury")
    assert row["source_label"] is None
    assert [role for role, _ in ask.asked] == list(JURORS)


def test_an_unlabelled_unsafe_prompt_gets_a_category_too():
    (row,), ask = _annotate([builders.record(TEXT)], ("unsafe",) * 4, code="M2c")
    assert (row["intended_label"], row["intended_category"]) == ("unsafe", "M2c")
    assert len(ask.rows("categorizer")) == 1


def test_a_labelled_unsafe_prompt_is_only_categorized():
    (row,), ask = _annotate([builders.record(TEXT, label="unsafe")], code="M1b")
    assert [role for role, _ in ask.asked] == ["categorizer"]
    assert (row["intended_category"], row["decided_by"]) == ("M1b", "source")


def test_a_tie_goes_to_the_tie_breaker():
    (row,), _ = _annotate([builders.record(TEXT)], ("safe", "unsafe") * 2, tie="safe")
    assert (row["intended_label"], row["decided_by"]) == ("safe", "tie_breaker")


@pytest.mark.parametrize(
    ("label", "verdicts"),
    [(None, ("safe", "unsafe") * 2), (None, (None,) * 4), ("unsafe", ("safe",) * 4)],
)
def test_a_prompt_that_stays_open_is_kept_without_an_outcome(label, verdicts):
    (row,), _ = _annotate([builders.record(TEXT, label=label)], verdicts)
    assert not annotation.has_outcome(row)
    assert row["intended_label"] != "safe"
    assert row["drop_reason"] is None


def test_dropped_rows_are_neither_annotated_nor_kept():
    rows, ask = _annotate([builders.record(TEXT), builders.record(TEXT)])
    assert len(rows) == 1
    assert len(ask.asked) == len(JURORS)


def test_annotation_makes_the_requests_that_labeling_makes_later():
    (row,), ask = _annotate([builders.record(TEXT)], ("unsafe",) * 4, code="M2c")
    later = builders.Ask(categorizer=lambda r: "M2c")
    votes = list(jury.vote_requests([row], SMALL, CONFIG))
    list(jury.categorize([row], SMALL, CONFIG, later))
    asked = {role: request for role, request in ask.asked}
    assert votes == [asked["juror_1"]]
    assert later.asked == [("categorizer", asked["categorizer"])]


@pytest.mark.parametrize(
    ("label", "code", "outcome"),
    [("safe", None, True), ("unsafe", "M1a", True), ("unsafe", None, False), (None, None, False)],
)
def test_rewriting_needs_a_label_and_a_category_if_unsafe(label, code, outcome):
    row = {"intended_label": label, "intended_category": code}
    assert annotation.has_outcome(row) is outcome


def test_a_response_is_kept_and_passes_the_same_door_as_a_prompt():
    terms = {"source": "own", "may_redistribute": True, "may_train": True}
    records = [
        {"text": "问一句话", "response": "请拨打13900000000", **terms},
        {"text": "再问一句", **terms},
    ]
    rows = {row["text"]: row["response"] for row in annotation.real_rows(records).to_pylist()}
    assert rows["再问一句"] is None
    assert rows["问一句话"].startswith("请拨打")
    assert "13900000000" not in rows["问一句话"]
