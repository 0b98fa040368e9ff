import pytest

from chillguard.release import composition
from chillguard.tables import lineage
from tests.chillguard import builders

SMALL = builders.SMALL


def _row(key, split, micro=None, **columns):
    return {**builders.labeled(key, micro=micro, **columns), "split": split}


ROWS = [
    _row("a", "train", "M1a", origin="rag"),
    _row("b", "train", origin="rag"),
    _row("c", "train", origin="real"),
    _row("d", "train", origin="public", method="xstest", may_redistribute=False),
    _row("e", "test", "M1a", origin="real"),
]


def test_each_side_is_counted_by_source_and_adds_up():
    assert composition.sources(ROWS) == [
        ("train", "real", 1, 0, 1),
        ("train", "rag", 1, 1, 2),
        ("train", "public: xstest", 1, 0, 1),
        ("train", "all", 3, 1, 4),
        ("test", "real", 0, 1, 1),
        ("test", "all", 0, 1, 1),
        ("all", "all", 3, 2, 5),
    ]


def test_each_category_has_its_counts_and_tests_share_without_public_rows():
    lines = {code: (train, test, share) for code, _, train, test, share in
             composition.categories(ROWS, SMALL)}  # fmt: skip
    assert set(lines) == {*SMALL.codes, "safe"}
    assert lines["M1a"] == (1, 1, 0.5)
    assert lines["safe"] == (3, 0, 0)
    assert lines["M2a"] == (0, 0, None)
    assert composition.share_of_test(ROWS) == 1 / 4
    assert composition.share_of_test(ROWS[3:4]) is None


def test_what_may_be_published_is_counted_by_source():
    by_source = {name: (rows, free) for name, rows, free in composition.terms(ROWS)}
    assert by_source["public: xstest"] == (1, 0)
    assert by_source["rag"][0] == 2


@pytest.mark.parametrize(
    ("rows", "name"),
    [(0, "n<1K"), (999, "n<1K"), (1_000, "1K<n<10K"), (99_999, "10K<n<100K"), (10**6, "1M<n<10M")],
)
def test_the_size_is_the_hubs_category(rows, name):
    assert composition.size(rows) == name


def test_what_is_missing_is_told_one_sentence_each():
    open_rows = lineage.LABELED_PROMPTS.build(
        builders.labeled(key, label=None, drop_reason="unresolved", drop_evidence="why")
        for key in "xy"
    )
    told = composition.gaps(ROWS, {"labeled_prompts": open_rows}, SMALL)
    assert told[0] == f"No rows at all: {', '.join(c for c in SMALL.codes if c != 'M1a')}."
    assert told[1] == "Fewer than 20 Test rows: M1a, safe."
    assert told[2] == "Left out because models could not decide: 2 unresolved."
    assert not any("No prompts of real users" in sentence for sentence in told)
    assert any("No prompts of real users" in text for text in composition.gaps(ROWS[:2], {}, SMALL))
