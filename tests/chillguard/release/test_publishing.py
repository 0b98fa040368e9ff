import json

from chillguard.release import publishing
from chillguard.release.approval import Approval
from chillguard.tables import lineage
from tests.chillguard import builders


def test_only_rows_that_may_be_redistributed_keep_their_text():
    rows = [
        builders.labeled("a", "可以公开的话", "M1a", translated_from="A sentence."),
        builders.labeled("b", "不可公开的话", may_redistribute=False, translated_from="Another."),
    ]
    table = publishing.published(builders.released("train", rows))
    assert publishing.form().problems(table) == []
    assert builders.columns(table, "prompt_id", "text", "label") == [
        ("a", "可以公开的话", "unsafe"),
        ("b", None, "safe"),
    ]


def test_no_column_holds_another_form_of_the_text_or_a_call():
    inside = {
        "translated_from",
        "match_text",
        "text_hash",
        "response",
        "call_key",
        "context_post_ids",
    }
    assert not inside & set(publishing.form().arrow.names)
    assert set(publishing.form().arrow.names) <= set(lineage.TRAIN_SET.arrow.names)


def test_the_note_says_when_and_not_who():
    given = {"person": "A", "date": "2026-11-25", "release": "0123456789ab"}
    approved = Approval.model_validate({**given, "purposes": ["publish"]})
    text = publishing.note(approved).decode("utf-8")
    assert json.loads(text) == {"version": "0123456789ab", "approved_on": "2026-11-25"}


def test_the_columns_are_described():
    found = json.loads(publishing.described())
    assert {"name", "type", "nullable", "values", "description"} == set(found[0])
    assert next(c for c in found if c["name"] == "text")["nullable"] is True
