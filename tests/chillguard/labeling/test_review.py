import csv
import io
import json
import math
from xml.etree import ElementTree

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chillguard.labeling import docket, jury, review, review_export
from chillguard.rows import records
from chillguard.tables import lineage
from tests.chillguard import builders

SMALL = builders.SMALL
ROW = {
    "prompt_id": "a",
    "label": "unsafe",
    "category": "M1a",
    "reviewer": "li.wei",
    "date": "2026-11-25",
}


def _read(*columns, reviewers=None, source="d.csv"):
    """Decisions and rejects of rows of one file."""
    rejects = []
    parsed = [(source, records.Parsed(n, row)) for n, row in enumerate(columns, 2)]
    found = list(review.decisions(parsed, SMALL.codes, reviewers or {}, rejects))
    assert {type(one) for one in rejects} <= {records.Reject}
    return found, [(one.line, one.column, one.reason) for one in rejects]


def test_a_signed_and_dated_decision_is_read():
    (one,), rejects = _read({**ROW, "label": " unsafe ", "text_hash": "h"})
    assert rejects == []
    assert (one.prompt_id, one.label, one.micro_category) == ("a", "unsafe", "M1a")
    assert (one.reviewer, one.text_hash, one.source, one.line) == ("li.wei", "h", "d.csv", 2)
    assert one.decided_on.isoformat() == "2026-11-25T00:00:00+00:00"


@pytest.mark.parametrize(
    "written", ["unsafe", "UNSAFE", "Unsafe", " unsafe\u3000", "ｕｎｓａｆｅ", "不安全"]
)
def test_a_label_is_read_however_it_is_written(written):
    (one,), rejects = _read({**ROW, "label": written})
    assert (one.label, rejects) == ("unsafe", [])


@pytest.mark.parametrize("written", ["safe", "SAFE", "安全", " Safe "])
def test_a_safe_label_is_read_however_it_is_written(written):
    (one,), rejects = _read({**ROW, "label": written, "category": ""})
    assert (one.label, rejects) == ("safe", [])


@pytest.mark.parametrize(
    ("changed", "column", "reason"),
    [
        ({"reviewer": ""}, "reviewer", "unsigned"),
        ({"reviewer": "  "}, "reviewer", "unsigned"),
        ({"reviewer": None}, "reviewer", "unsigned"),
        ({"reviewer": 7}, "reviewer", "account number 7 only"),
        ({"date": ""}, "date", "undated"),
        ({"date": "yesterday"}, "date", "ISO 8601"),
        ({"date": "0001-01-01T00:00:00+14:00"}, "date", "ISO 8601"),
        ({"label": ""}, "label", "is not one of"),
        ({"label": "maybe"}, "label", "is not one of"),
        ({"category": ""}, "category", "needs a micro category"),
        ({"category": "Z9"}, "category", "needs a micro category"),
        ({"label": "safe"}, "category", "a safe prompt has none"),
        ({"prompt_id": ""}, "prompt_id", "is empty"),
        ({"prompt_id": 5}, "prompt_id", "not UTF-8 text"),
        ({"reviewer": "\udc80"}, "reviewer", "not UTF-8 text"),
    ],
)
def test_a_row_that_is_no_decision_is_rejected_by_column_and_reason(changed, column, reason):
    found, rejects = _read({**ROW, **changed}, ROW)
    assert len(found) == 1
    ((line, at, why),) = rejects
    assert (line, at) == (2, column)
    assert reason in why


def test_a_row_that_could_not_be_parsed_is_rejected():
    rejects = []
    assert list(review.decisions([("f", records.Parsed(9, {}, "bad"))], [], {}, rejects)) == []
    assert rejects == [records.Reject("f", 9, "*", "bad")]


def test_a_row_in_which_nothing_is_filled_in_was_not_decided():
    assert _read({**dict.fromkeys(ROW, ""), "prompt_id": "a"}) == ([], [])


def test_an_account_number_is_read_under_its_name():
    (one,), _ = _read({**ROW, "reviewer": 7}, reviewers={"7": "li.wei"})
    assert one.reviewer == "li.wei"


@pytest.mark.parametrize(
    ("date", "read"),
    [
        ("2026/1/5", "2026-01-05T00:00:00+00:00"),
        ("2026-01-05T10:00:00+08:00", "2026-01-05T02:00:00+00:00"),
        ("2026-01-05T10:00:00.5Z", "2026-01-05T10:00:00+00:00"),
    ],
)
def test_dates_are_read_as_reviewers_and_tools_write_them(date, read):
    (one,), _ = _read({**ROW, "date": date})
    assert one.decided_on.isoformat(timespec="seconds") == read


CLEAN = lineage.CLEAN_PROMPTS.build(
    [
        builders.prompt("a", text_hash="ha"),
        builders.prompt("b", text_hash="hb"),
        builders.prompt("gone", drop_reason="duplicate"),
    ]
)


def _standings(*rows):
    found, rejects = _read(*rows)
    assert rejects == []
    table = review.rows(found, CLEAN)
    assert lineage.REVIEW_DECISIONS.problems(table) == []
    return table, dict(builders.columns(table, "line", "standing"))


def test_the_later_decision_wins_and_of_two_of_one_date_the_one_read_last():
    safe = {**ROW, "label": "safe", "category": None}
    table, standings = _standings({**ROW, "date": "2026-11-26"}, safe, {**safe, "prompt_id": "b"},
                                  {**ROW, "prompt_id": "b", "category": "M2b"})  # fmt: skip
    assert standings == {2: "applied", 3: "superseded", 4: "superseded", 5: "applied"}
    assert review.applied(table) == {"a": ("unsafe", "M1a"), "b": ("unsafe", "M2b")}


def test_a_decision_on_an_unknown_prompt_or_on_another_text_is_told_and_does_not_count():
    table, standings = _standings(
        {**ROW, "prompt_id": "nobody"},
        {**ROW, "prompt_id": "gone"},
        {**ROW, "text_hash": "older"},
        {**ROW, "prompt_id": "b", "text_hash": "hb"},
    )
    assert standings == {2: "unknown_prompt", 3: "unknown_prompt", 4: "other_text", 5: "applied"}
    assert set(review.applied(table)) == {"b"}


def _task(prompt_id="a", *annotations):
    return {"id": 1, "data": {"prompt_id": prompt_id, "text": "文"}, "annotations": [*annotations]}


def _annotation(label, category=None, **more):
    chosen = {"label": label, "category": category}
    result = [
        {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": [value]}}
        for name, value in chosen.items()
        if value
    ]
    return {
        "completed_by": {"id": 3, "email": "li.wei@example.org"},
        "result": result,
        "was_cancelled": False,
        "created_at": "2026-11-24T01:00:00.000001Z",
        "updated_at": "2026-11-25T01:00:00.000001Z",
        **more,
    }


def _studio(document, **more):
    rejects = []
    parsed = [("x.json", row) for row in review.from_label_studio(document)]
    return list(review.decisions(parsed, SMALL.codes, more, rejects)), rejects


def test_an_export_of_label_studio_is_read_annotation_by_annotation():
    later = _annotation("safe", updated_at="2026-11-26T01:00:00Z", completed_by=4)
    found, rejects = _studio(
        [_task("a", _annotation("unsafe", "M1b"), later), _task("b"),
         _task("b", _annotation("safe", was_cancelled=True))],
        **{"4": "zhang.min"},
    )  # fmt: skip
    assert rejects == []
    assert [(one.line, one.prompt_id, one.label, one.reviewer) for one in found] == [
        (1, "a", "unsafe", "li.wei@example.org"),
        (2, "a", "safe", "zhang.min"),
    ]
    assert review.applied(review.rows(found, CLEAN)) == {"a": ("safe", None)}


@pytest.mark.parametrize(
    "document",
    [
        {},
        [1],
        ["x"],
        [{"data": {}}],
        [{"data": 1, "annotations": []}],
        [_task("a", 5)],
        [_task("a", _annotation("safe", completed_by=None))],
        [_task("a", _annotation("safe", completed_by=9))],
        [_task("a", {"completed_by": 9})],
        [_task("a", _annotation("safe", result=[{"from_name": "label", "value": "x"}]))],
        [_task("a", _annotation("safe", result=7 * [None]))],
        [{"data": {"text": "x"}, "annotations": [_annotation("safe")]}],
    ],
    ids=str,
)
def test_what_is_no_signed_decision_of_label_studio_is_rejected(document):
    found, rejects = _studio(document)
    assert (found, len(rejects)) == ([], 1)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["data", "annotations", "result", "value", "choices", "completed_by", "from_name",
                 "prompt_id", "updated_at", "label", "email"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.lists(_JSON, max_size=3))
def test_no_json_breaks_the_reader(document):
    found, _ = _studio(document)
    assert all(isinstance(one, review.Decision) for one in found)


def _labeled(key, verdicts, **columns):
    votes = [f"juror_{n}={verdict}" for n, verdict in enumerate(verdicts, 1)]
    return builders.labeled(key, builders.mixed(key), **{"votes": votes, **columns})


def _waiting(*rows, p_unsafe=None):
    return review.waiting(lineage.LABELED_PROMPTS.build(rows), p_unsafe or {})


GONE = {"label": None, "drop_evidence": "why"}


def test_lost_rows_come_first_then_split_votes_by_entropy_then_by_uncertainty():
    found = _waiting(
        _labeled("a", ("safe", "safe", "safe", "unsafe")),
        _labeled("b", ("safe", "unsafe", "safe", "unsafe")),
        _labeled("c", ("safe", "unsafe", "unsafe", "safe")),
        _labeled("d", ("unsafe",) * 4, drop_reason="uncategorised", **GONE),
        _labeled("e", ("abstain",) * 4, drop_reason="unresolved", **GONE),
        _labeled("f", ("safe", "safe", "abstain", "safe")),
        _labeled("g", ("safe", "unsafe", "safe", "unsafe"), decided_by="review"),
        _labeled("h", ("safe", "unsafe"), drop_reason="takedown", **GONE),
        p_unsafe={"b": 0.9, "c": 0.6, "d": 1.0, "e": None},
    )
    assert [(row["prompt_id"], row["queue_reason"]) for row in found] == [
        ("e", "unresolved"),
        ("d", "uncategorised"),
        ("c", "split"),
        ("b", "split"),
        ("a", "split"),
    ]
    assert found[-1]["vote_entropy"] == pytest.approx(0.811278)


def test_the_queue_is_cut_where_the_setting_says():
    rows = _waiting(*(_labeled(str(n), ("safe", "unsafe")) for n in range(5)))
    table = review.queue(rows, review.ReviewConfig(max_queue=3))
    assert lineage.REVIEW_QUEUE.problems(table) == []
    assert table["rank"].to_pylist() == [1, 2, 3]


VERDICTS = st.sampled_from(("safe", "unsafe", "abstain"))


@given(
    st.lists(st.lists(VERDICTS, min_size=3, max_size=5), min_size=1, max_size=8),
    st.sampled_from(["safe", "unsafe", None]),
    st.sampled_from(["M2a", None]),
    st.sets(st.integers(0, 7)),
    st.integers(1, 5),
)
def test_every_judged_row_is_labelled_dropped_or_decided_and_what_is_open_waits(
    table, tie, code, decided, quorum
):
    clean = lineage.CLEAN_PROMPTS.build(
        [builders.prompt(str(n), builders.mixed(n)) for n in range(len(table))]
    )
    votes = {
        str(n): tuple(jury.Vote(f"juror_{i}", v) for i, v in enumerate(verdicts, 1))
        for n, verdicts in enumerate(table)
    }
    reviewed = {str(n): ("unsafe", "M1a") for n in decided if n < len(table)}
    ask = builders.Ask(tie_breaker=lambda r: tie, categorizer=lambda r: code)
    config = jury.LabelingConfig(quorum=quorum)
    rulings = jury.rule(
        docket.to_judge(clean, config.relabel_public), votes, SMALL, config, ask, reviewed
    )
    labeled = jury.rows(clean, rulings, SMALL)
    assert lineage.LABELED_PROMPTS.problems(labeled) == []
    waiting = {row["prompt_id"]: row for row in review.waiting(labeled, {})}
    for row in labeled.to_pylist():
        key, verdicts = row["prompt_id"], table[int(row["prompt_id"])]
        valid = [v for v in verdicts if v != "abstain"]
        assert (row["label"] is None) == (row["drop_reason"] is not None)
        assert (row["micro_category"] is not None) == (row["label"] == "unsafe")
        assert row["n_valid_votes"] == len(valid)
        assert row["votes"] == [f"juror_{i}={v}" for i, v in enumerate(verdicts, 1)]
        if key in reviewed:
            assert (row["label"], row["micro_category"], row["decided_by"]) == (
                *reviewed[key],
                "review",
            )
            assert key not in ask.rows("tie_breaker") + ask.rows("categorizer")
        if row["decided_by"] == "jury":
            assert len(valid) >= quorum
            if row["label"]:
                assert 2 * valid.count(row["label"]) > len(valid)
        is_open = row["drop_reason"] is not None or len(set(valid)) > 1
        assert (key in waiting) == (is_open and key not in reviewed)


def _queue():
    rows = _waiting(_labeled("a", ("safe", "unsafe")), _labeled("b", ("unsafe", "safe")))
    return review.queue(rows, review.ReviewConfig())


def test_the_tasks_hold_what_a_reviewer_needs_and_what_a_decision_needs():
    files = review_export.files(_queue(), SMALL)
    tasks = json.loads(files[review_export.TASKS])
    header = files[review_export.SHEET].decode("utf-8-sig").splitlines()[0].split(",")
    assert [task["data"]["prompt_id"] for task in tasks] == ["a", "b"]
    assert tasks[0]["data"]["text"] == builders.mixed("a")
    assert {"text_hash", "votes", "queue_reason", "rank"} <= tasks[0]["data"].keys()
    for shown in (list(tasks[0]["data"]), header):
        assert shown[-2:] == ["queue_reason", "votes"]
        assert shown.index("text") < shown.index("votes")


def test_the_labelling_config_asks_for_the_label_and_for_one_code_of_the_taxonomy():
    view = ElementTree.fromstring(review_export.files(_queue(), SMALL)[review_export.CONFIG])
    choices = {part.get("name"): part for part in view.iter("Choices")}
    assert [c.get("value") for c in choices["label"]] == ["safe", "unsafe"]
    assert [c.get("alias") for c in choices["category"]] == list(SMALL.codes)
    assert choices["category"].get("whenChoiceValue") == "unsafe"
    assert view.find("Text").get("value") == "$text"


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_no_cell_of_the_sheet_is_a_formula_and_none_loses_its_text(text):
    table = pa.Table.from_pylist([{**_queue().to_pylist()[0], "text": text}])
    content = review_export.files(table, SMALL)[review_export.SHEET]
    head, row = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    found = dict(zip(head, row, strict=True))
    assert found["text"] in (text, f"'{text}")
    for cell in row:
        assert not cell.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))
        assert not cell.startswith(("\t", "\r"))


def test_a_sheet_that_was_filled_in_comes_back_as_decisions():
    sheet = review_export.files(_queue(), SMALL)[review_export.SHEET].decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(sheet, newline="")))
    rows[0] |= {"label": "safe", "reviewer": "li.wei", "date": "2026-11-25"}
    found, rejects = _read(*rows)
    assert rejects == []
    assert [(one.prompt_id, one.label, one.text_hash) for one in found] == [
        ("a", "safe", rows[0]["text_hash"])
    ]


def test_prompts_are_taken_out_of_an_exported_queue():
    files = review_export.files(_queue(), SMALL)
    for name in (review_export.TASKS, review_export.SHEET):
        left = review_export.without(name, files[name], {"a"})
        assert builders.mixed("a").encode() in files[name]
        assert builders.mixed("a").encode() not in left
        assert builders.mixed("b").encode() in left
        assert review_export.without(name, files[name], {"nobody"}) == files[name]


def test_the_entropy_of_an_even_vote_is_one_bit():
    (row,) = _waiting(_labeled("a", ("safe", "unsafe", "abstain")))
    assert row["vote_entropy"] == 1.0
    assert math.isclose(_waiting(_labeled("a", ("safe", "safe", "unsafe")))[0]["vote_entropy"],
                        0.918296)  # fmt: skip
