import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chillguard.release import changes
from tests.chillguard import builders

TEXTS = ("今天适合散步吗？", "明天适合钓鱼吗？")


def _release(*rows):
    return builders.released("train", rows)


def _kinds(now, before):
    table = changes.difference(now, before)
    assert changes.CHANGES.problems(table) == []
    return builders.columns(table, "prompt_id", "change", "columns")


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"label": "safe", "micro_category": None, "macro_category": None}, "label_flip"),
        ({"label": "safe", "micro_category": None, "text": TEXTS[1]}, "relabeled"),
        ({"micro_category": "M1b"}, "relabeled"),
        ({"text": TEXTS[1]}, "edited"),
        ({"votes": []}, "other"),
    ],
)
def test_a_change_is_named_by_what_it_means_for_a_user(change, kind):
    row = builders.labeled("a", TEXTS[0], "M1a")
    ((_, found, columns),) = _kinds(_release({**row, **change}), _release(row))
    assert (found, set(columns)) == (kind, set(change))


def test_label_flips_on_unchanged_text_come_first_and_removed_rows_last():
    old = [builders.labeled(key, TEXTS[0], "M1a") for key in "abcd"]
    new = [
        builders.labeled("e", TEXTS[0]),
        {**old[1], "micro_category": "M2a"},
        builders.labeled("c", TEXTS[0]),
        {**old[3], "votes": []},
    ]
    found = [(key, kind) for key, kind, _ in _kinds(_release(*new), _release(*old))]
    assert found == [
        ("c", "label_flip"),
        ("b", "relabeled"),
        ("d", "other"),
        ("e", "added"),
        ("a", "removed"),
    ]


def test_everything_is_added_in_the_first_release_and_nothing_in_the_same_one():
    now = _release(builders.labeled("a"), builders.labeled("b"))
    assert [kind for _, kind, _ in _kinds(now, None)] == ["added", "added"]
    assert _kinds(now, now) == []


def test_categories_count_what_came_and_what_left():
    old = [
        builders.labeled("a", micro="M1a"),
        builders.labeled("b", micro="M2b"),
        builders.labeled("c"),
    ]
    new = [
        builders.labeled("a", micro="M2b"),
        builders.labeled("c", micro="M1a"),
        builders.labeled("d"),
    ]
    table = changes.difference(_release(*new), _release(*old))
    assert changes.by_category(table, builders.SMALL) == [
        ("M1a", 0, 0, 1, 1),
        ("M2b", 0, 1, 1, 0),
        ("safe", 1, 0, 0, 1),
    ]
    assert changes.relabeled(table) == 2


def test_a_category_of_another_taxonomy_is_counted_too():
    table = changes.difference(_release(), _release(builders.labeled("a", micro="X9")))
    assert changes.by_category(table, builders.SMALL) == [("X9", 0, 1, 0, 0)]


@st.composite
def releases(draw):
    found = []
    for _ in range(2):
        keys = draw(st.sets(st.sampled_from("abcdef")))
        found.append(
            [
                builders.labeled(
                    key, draw(st.sampled_from(TEXTS)), draw(st.sampled_from([None, "M1a", "M2b"]))
                )
                for key in sorted(keys)
            ]
        )
    return found


@settings(max_examples=60)
@given(releases())
def test_the_diff_names_exactly_the_rows_that_differ(pair):
    now, before = pair
    new, old = ({row["prompt_id"]: row for row in rows} for rows in pair)
    table = changes.difference(_release(*now), _release(*before))
    told = {row["prompt_id"]: row["change"] for row in table.to_pylist()}
    assert {k for k, kind in told.items() if kind == "added"} == new.keys() - old.keys()
    assert {k for k, kind in told.items() if kind == "removed"} == old.keys() - new.keys()
    differing = {key for key in new.keys() & old.keys() if new[key] != old[key]}
    assert {k for k, kind in told.items() if kind not in ("added", "removed")} == differing
    assert sum(changes.counts(table).values()) == len(told)
