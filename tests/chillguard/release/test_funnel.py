import pyarrow as pa
import pytest

from chillguard.release import funnel
from chillguard.tables import lineage
from tests.chillguard import builders

PROMPTS = ("annotated_prompts", "candidate_prompts", "clean_prompts", "labeled_prompts")


def _less(table, key, name="prompt_id"):
    return table.filter(pa.compute.not_equal(table[name], key))


def _twice(table, key, name="prompt_id"):
    return pa.concat_tables([table, table.filter(pa.compute.equal(table[name], key))])


@pytest.fixture
def tables():
    return builders.lineage()


def test_every_stage_adds_up_and_names_its_losses(tables):
    found = {s.asset: (s.rows_in, s.kept, dict(s.drops)) for s in funnel.stages(tables)}
    assert found == {
        "crawled_posts/a": (4, 2, {"rejected": 1, "too_short": 1}),
        "crawled_posts/b": (2, 2, {}),
        "post_index": (4, 3, {"merged": 1}),
        "synthesized_prompts": (6, 5, {"no_source": 1}),
        "real_prompts": (5, 2, {"rejected": 2, "duplicate": 1}),
        "annotated_prompts": (2, 2, {}),
        "rewritten_prompts": (2, 1, {"quarantined": 1}),
        "public_prompts": (1, 1, {}),
        "candidate_prompts": (9, 8, {"not_retained": 1}),
        "clean_prompts": (8, 7, {"near_duplicate": 1}),
        "labeled_prompts": (7, 6, {"unresolved": 1}),
        "release": (6, 5, {"balance": 1}),
    }
    assert list(found)[-1] == "release"


def test_rows_in_are_kept_plus_dropped_at_every_stage(tables):
    stages = funnel.stages(tables)
    assert all(s.rows_in == s.kept + s.dropped for s in stages)
    by_name = {s.asset: s for s in stages}
    for asset, feeds in funnel._FEEDS.items():
        assert by_name[asset].rows_in == sum(by_name[feed].kept for feed in feeds)
    assert by_name["release"].rows_in == by_name["labeled_prompts"].kept


def test_a_whole_lineage_has_no_problem(tables):
    assert funnel.problems(tables) == []


@pytest.mark.parametrize(
    ("asset", "key"),
    [
        ("annotated_prompts", "r2"),
        ("candidate_prompts", "s1"),
        ("clean_prompts", "u1"),
        ("labeled_prompts", "w1"),
    ],
)
def test_a_row_that_vanishes_is_named(tables, asset, key):
    tables[asset] = _less(tables[asset], key)
    assert f"{asset}: 1 rows vanished, first {key}" in funnel.problems(tables)


@pytest.mark.parametrize(
    ("asset", "key"),
    [
        ("annotated_prompts", "r1"),
        ("candidate_prompts", "r2"),
        ("clean_prompts", "s2"),
        ("labeled_prompts", "s1"),
    ],
)
def test_a_row_that_stands_twice_is_named(tables, asset, key):
    tables[asset] = _twice(tables[asset], key)
    assert f"{asset}: 1 rows from nowhere or twice, first {key}" in funnel.problems(tables)


@pytest.mark.parametrize("asset", PROMPTS)
def test_a_row_from_nowhere_is_named(tables, asset):
    stranger = lineage.TABLES[asset].build([builders.prompt("zz", drop_reason="x")])
    tables[asset] = pa.concat_tables([tables[asset], stranger])
    assert funnel.problems(tables) == [f"{asset}: 1 rows from nowhere or twice, first zz"]


@pytest.mark.parametrize("side", ["train_set", "test_set", "release_drops"])
def test_a_labelled_prompt_that_no_release_table_holds_is_named(tables, side):
    key = tables[side]["prompt_id"][0].as_py()
    tables[side] = _less(tables[side], key)
    assert funnel.problems(tables) == [f"release: 1 rows vanished, first {key}"]


def test_a_prompt_on_two_sides_is_named(tables):
    row = tables["train_set"].slice(0, 1)
    tables["test_set"] = pa.concat_tables([tables["test_set"], row])
    assert funnel.problems(tables) == ["release: 1 rows from nowhere or twice, first s1"]


def test_posts_missing_from_the_index_or_unknown_to_any_source_are_named(tables):
    index = tables["post_index"]
    tables["post_index"] = _less(index, "p2", "post_id")
    assert funnel.problems(tables) == ["post_index: 1 rows vanished, first p2"]
    tables["post_index"] = index
    tables["crawled_posts/b"] = _less(tables["crawled_posts/b"], "p3", "post_id")
    assert funnel.problems(tables) == ["post_index: 1 rows from nowhere or twice, first p3"]


def test_a_kept_row_that_is_dropped_later_without_a_word_is_counted(tables):
    tables["clean_prompts"] = tables["clean_prompts"].slice(2)
    (sentence,) = [s for s in funnel.problems(tables) if s.startswith("clean_prompts")]
    assert sentence == "clean_prompts: 2 rows vanished, first r1"
