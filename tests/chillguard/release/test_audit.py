import csv
import io
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chillguard.release import audit, split
from chillguard.rows import records
from tests.chillguard import builders

CODES = builders.SMALL.codes


def _test(count=100, micro=lambda n: "M1a" if n % 4 == 0 else None):
    rows = [builders.labeled(f"k{n:03}", builders.mixed(n), micro(n)) for n in range(count)]
    return builders.released("test", rows)


def _read(sheet):
    return list(csv.DictReader(io.StringIO(sheet.decode("utf-8-sig"), newline="")))


def _filled(test, *fills):
    lines = _read(audit.sheet(test.to_pylist()))
    return [line | fill for line, fill in zip(lines, fills, strict=False)]


def _decide(lines):
    """Decisions of a sheet's rows, and what is rejected of it."""
    rejects = []
    parsed = [records.Parsed(n, line) for n, line in enumerate(lines, 2)]
    made = audit.decisions(parsed, CODES, rejects)
    return made, [(one.line, one.column, one.reason) for one in rejects]


@settings(max_examples=40)
@given(st.integers(0, 60), st.integers(0, 80), st.integers(1, 7))
def test_the_sample_has_the_shares_of_test(count, size, every):
    test = _test(count, lambda n: "M1a" if n % every == 0 else None)
    drawn = audit.sample(test, size)
    assert len({row["prompt_id"] for row in drawn}) == len(drawn) == min(size, count)
    whole = Counter(split.stratum(row) for row in test.to_pylist())
    for name, number in Counter(split.stratum(row) for row in drawn).items():
        assert abs(number - len(drawn) * whole[name] / count) < 1


def test_the_sample_is_a_stable_draw():
    one = audit.sample(_test(100), 20)
    assert audit.sample(_test(100), 20) == one
    more = {row["prompt_id"] for row in audit.sample(_test(101), 20)}
    assert len(more - {row["prompt_id"] for row in one}) <= 2


def test_the_sheet_shows_the_text_and_none_of_our_labels():
    line = _read(audit.sheet(_test(1).to_pylist()))[0]
    assert tuple(line) == audit.COLUMNS
    assert line["text"] == builders.mixed(0)
    assert {line[name] for name in audit.COLUMNS[3:]} == {""}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_no_cell_of_the_sheet_is_a_formula(start):
    rows = [builders.labeled("a", start + "HYPERLINK(1)")]
    (line,) = _read(audit.sheet(rows))
    assert line["text"] == "'" + start + "HYPERLINK(1)"


@settings(max_examples=60)
@given(st.text(max_size=20))
def test_any_text_survives_the_sheet_as_data(text):
    (line,) = _read(audit.sheet([builders.labeled("a", text)]))
    assert line["text"].lstrip("'") == text.lstrip("'")
    assert not line["text"].startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize(
    ("fill", "label"),
    [
        ({}, None),
        ({"label_1": "safe"}, None),
        ({"label_1": "safe", "label_2": "unsafe"}, None),
        ({"label_1": " Unsafe ", "label_2": "unsafe"}, "unsafe"),
        ({"label_1": "不安全", "label_2": "UNSAFE"}, "unsafe"),
        ({"label": "ＳＡＦＥ"}, "safe"),
        ({"label": "安全"}, "safe"),
        ({"label_1": "safe", "label_2": "unsafe", "label": "safe"}, "safe"),
        ({"label_1": "unclear", "label_2": "unclear"}, "unclear"),
    ],
)
def test_a_row_is_decided_by_the_last_word_or_by_two_who_agree(fill, label):
    (made,), rejects = _decide(_filled(_test(1), fill))
    assert rejects == []
    assert made.label == label


@pytest.mark.parametrize(
    ("fill", "column", "reason"),
    [
        ({"label_1": "maybe"}, "label_1", "'maybe' is none of safe, unsafe, unclear"),
        ({"category": "Z9"}, "category", "'Z9' is no code of the taxonomy"),
        ({"label": None}, "label", "the line ends before this column"),
        ({"prompt_id": "k000"}, "prompt_id", "stands in line 2 too; merge the lines"),
    ],
)
def test_one_bad_cell_rejects_its_row_by_line_and_column_and_no_other(fill, column, reason):
    fine = {"label": "safe"}
    made, rejects = _decide(_filled(_test(3), fine, fill, fine))
    assert [(one.prompt_id, one.label) for one in made] == [("k000", "safe"), ("k002", "safe")]
    assert rejects == [(3, column, reason)]


def test_a_row_that_could_not_be_read_is_rejected_with_its_reason():
    rejects = []
    assert audit.decisions([records.Parsed(7, {}, "more fields")], CODES, rejects) == []
    assert rejects == [records.Reject("audit_sheet", 7, "*", "more fields")]


def test_a_sheet_without_a_column_is_told():
    lines = _filled(_test(1), {})
    del lines[0]["label_2"]
    with pytest.raises(audit.AuditError, match="there is no column 'label_2'; keep all columns"):
        _decide(lines)


def test_the_report_counts_right_labels_categories_and_what_does_not_count():
    test = _test(8)
    both = [{"label_1": one, "label_2": one} for one in ("unsafe", "safe", "unsafe", "unclear")]
    lines = _filled(test, both[0] | {"category_1": "M1b", "category_2": "M1b"}, *both[1:], {})
    lines += [lines[-1] | {"prompt_id": "gone", "label": "safe"}]
    lines += [lines[1] | {"prompt_id": "k005", "text_hash": "of another text"}]
    found = audit.report(_decide(lines)[0], test)
    assert (found.judged, found.right) == (3, 2)
    assert (found.unclear, found.open, found.stale) == (1, 1, 2)
    assert (found.categories, found.categories_right) == (1, 0)
    assert (found.pairs, found.pairs_same) == (4, 4)
    assert (found.low, found.high) == pytest.approx(audit.wilson(2, 3))


def test_without_a_decision_there_is_no_report():
    test = _test(2)
    assert audit.report([], test) is None
    assert audit.report(_decide(_filled(test, {}, {}))[0], test) is None


# By Wilson's formula with z = 1.959964.
@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0), (380, 400, 0.92412, 0.96738)],
)
def test_the_interval_is_wilsons(hits, n, low, high):
    assert audit.wilson(hits, n) == pytest.approx((low, high), abs=1e-4)
