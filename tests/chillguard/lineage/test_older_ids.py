"""Homes in which a family had the id of its root row, which held the name of its source."""

import pytest

from chillguard import identity
from chillguard.lineage import older_ids
from chillguard.tables import lineage
from chillguard.text import matching
from tests.chillguard import builders

TEXT, POST = builders.mixed(1), builders.mixed(2)
OLD = identity.prompt_id("real", [], "logs", 0, TEXT)
OLD_POST = identity.post_id(POST)


def _released(*rows):
    return builders.released("train", rows).select(older_ids.COLUMNS)


def _old_root(text=TEXT, source="logs", origin="real", **more):
    key = identity.prompt_id(origin, [], source, 0, text)
    return builders.labeled(key, text, origin=origin, method=source, family_id=key, **more)


def _candidates(text=TEXT, source="logs"):
    real = builders.prompt("r", text, origin="real", method=source)
    made = builders.prompt("d", "合成的问题", parent_ids=[OLD_POST])
    return lineage.CANDIDATE_PROMPTS.build(
        [
            real | {"family_id": matching.family_id(text)},
            made | {"family_id": matching.family_id(POST)},
        ]
    )


def test_roots_are_known_by_their_text_and_posts_by_their_id():
    found = older_ids.successors(_candidates(), [_released(_old_root())])
    assert found[OLD] == matching.family_id(TEXT)
    assert found[OLD_POST] == matching.family_id(POST)


@pytest.mark.parametrize("now", ["logs", "another name"])
def test_a_root_that_no_release_holds_is_known_by_a_name_that_one_does(now):
    unreleased = builders.mixed(5)
    old = identity.prompt_id("real", [], "logs", 0, unreleased)
    found = older_ids.successors(_candidates(unreleased, now), [_released(_old_root())])
    assert found[old] == matching.family_id(unreleased)


def test_what_is_replaced_in_a_text_may_have_changed_since():
    text = "请在明天下午之前打 13812345678 找我"
    found = older_ids.successors(_candidates(), [_released(_old_root(text))])
    key = identity.prompt_id("real", [], "logs", 0, text)
    assert found[key] == matching.family_id("请在明天下午之前打 <PHONE> 找我")


def test_releases_of_today_need_no_successors():
    row = builders.labeled("r", TEXT, origin="real", family_id=matching.family_id(TEXT))
    made = builders.labeled("d", parent_ids=[OLD_POST], family_id=matching.family_id(POST))
    assert older_ids.successors(_candidates(), [_released(row, made), _released()]) == {}


def test_a_release_of_posts_only_is_seen_to_be_old():
    made = builders.labeled("d", parent_ids=[OLD_POST], family_id=OLD_POST)
    found = older_ids.successors(_candidates(), [_released(made)])
    assert found[OLD_POST] == matching.family_id(POST)


def test_sides_are_taken_over_and_what_today_says_stands():
    followed = {"old": "new", "other": "known", "never": "x"}
    sides = {"old": "test", "other": "test", "known": "train"}
    assert older_ids.taken_over(sides, followed) == sides | {"new": "test"}


@pytest.mark.parametrize("sides", [("train", "test"), ("test", "train")])
def test_copies_on_two_sides_are_one_family_in_train(sides):
    found = older_ids.taken_over(dict(zip("ab", sides, strict=True)), {"a": "new", "b": "new"})
    assert found["new"] == "train"
