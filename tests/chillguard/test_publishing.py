import datetime as dt
import json

import pytest

from chillguard import publishing, schema
from tests.chillguard import builders

GOOD = {"person": "A. Editor", "date": dt.date(2026, 11, 25), "version": "0123456789ab"}


@pytest.mark.parametrize("date", [dt.date(2026, 11, 25), "2026-11-25"])
def test_an_approval_names_person_date_and_version(date):
    found = publishing.approval({**GOOD, "date": date}, "0123456789ab")
    assert found == publishing.Approval(**GOOD)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (None, "it is no mapping"),
        ([GOOD], "it is no mapping"),
        ({**GOOD, "person": " "}, "`person` is missing"),
        ({k: v for k, v in GOOD.items() if k != "date"}, "`date` is missing"),
        ({k: v for k, v in GOOD.items() if k != "version"}, "`version` is missing"),
        ({**GOOD, "date": "soon"}, "`date` 'soon' is no date"),
        ({**GOOD, "version": "ffff"}, "it approves version ffff, not 0123456789ab"),
        ({**GOOD, "scope": "all"}, "there is no field 'scope'"),
    ],
)
def test_anything_missing_or_else_is_one_sentence(document, says):
    with pytest.raises(publishing.ApprovalError) as caught:
        publishing.approval(document, "0123456789ab")
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


def test_only_rows_that_may_be_redistributed_keep_their_text():
    rows = [
        builders.labeled("a", "可以公开的话", "M1a", translated_from="A sentence."),
        builders.labeled("b", "不可公开的话", may_redistribute=False, translated_from="Another."),
    ]
    table = publishing.published(builders.released("train", rows))
    assert publishing.PUBLISHED.problems(table) == []
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
    assert not inside & set(publishing.PUBLISHED.arrow.names)
    assert set(publishing.PUBLISHED.arrow.names) <= set(schema.TRAIN_SET.arrow.names)


def test_the_note_says_when_and_not_who():
    text = publishing.note(publishing.Approval(**GOOD)).decode("utf-8")
    assert json.loads(text) == {"version": "0123456789ab", "approved_on": "2026-11-25"}


def test_the_columns_are_described():
    found = json.loads(publishing.described())
    assert {"name", "type", "nullable", "values", "description"} == set(found[0])
    assert next(c for c in found if c["name"] == "text")["nullable"] is True
