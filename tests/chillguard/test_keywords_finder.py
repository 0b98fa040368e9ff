"""Finding keywords in texts, held against a search that tries every keyword at every place."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chillguard.keywords import Finder

# Few letters, so that keywords overlap, nest and repeat.
_TERM = st.text("abAB图书", min_size=1, max_size=4)
_POOL = st.lists(st.tuples(_TERM, _TERM), max_size=6)
_TEXT = st.text("abAB图书 ", max_size=16)


def _rows(pairs):
    return [{"keyword_id": f"k{n}", "zh": zh, "en": en} for n, (zh, en) in enumerate(pairs)]


def _occurrences(rows, text):
    """Every (end, start, id) of a form in the text, whatever its case."""
    low = text.lower()
    for row in rows:
        for form in (row["zh"].lower(), row["en"].lower()):
            for start in range(len(low)):
                if low.startswith(form, start):
                    yield start + len(form), start, row["keyword_id"]


@given(_POOL, _TEXT)
@example([("abab", "ba")], "aba")
@example([("图书馆员", "书馆")], "图书馆长")
def test_the_keyword_whose_occurrence_ends_first_is_found_the_longest_of_those(pairs, text):
    rows = _rows(pairs)
    first = min(_occurrences(rows, text), default=(0, 0, None))
    assert Finder(rows).first(text) == first[2]


@given(_POOL, _TEXT)
def test_neither_case_nor_the_order_of_the_pool_matters(pairs, text):
    rows = _rows(pairs)
    found = Finder(rows).first(text)
    assert Finder(rows[::-1]).first(text.upper()) == Finder(rows).first(text.lower()) == found


@pytest.mark.parametrize(
    ("pairs", "text", "found"),
    [
        ([("公园", "park"), ("图书馆", "library")], "图书馆旁边的公园", "k1"),
        ([("公园", "park"), ("图书馆", "library")], "a Library in the PARK", "k1"),
        ([("图书", "x"), ("图书馆", "y")], "去图书馆", "k0"),
        ([("书馆", "x"), ("图书馆", "y")], "去图书馆", "k1"),
        ([("图书馆员", "x"), ("书馆", "y")], "去图书馆", "k1"),
        ([("同一个", "same"), ("同一个", "other")], "同一个词", "k0"),
        ([("别的", "Same"), ("一个", "same")], "the same", "k0"),
        ([("公园", "park")], "", None),
        ([], "图书馆", None),
    ],
)
def test_the_first_keyword_of_a_text_is_found(pairs, text, found):
    assert Finder(_rows(pairs)).first(text) == found


def test_a_finder_of_one_language_knows_no_other():
    rows = _rows([("公园", "park")])
    assert Finder(rows, ["en"]).first("公园") is None
    assert Finder(rows, ["zh"]).first("公园") == "k0"
