"""Prompts without a number find the post that they were made from, or none."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chillguard.rows import guards
from chillguard.synthesis import rag
from chillguard.tables import lineage
from tests.chillguard import builders

TEXTS = {
    "p1": "周末的公园里到处是散步的老人和孩子，湖边的银杏叶子全黄了。",
    "p2": "图书馆的自习室早上七点就坐满了人，借书也要排很久的队。",
    "p3": "夜市的烧烤摊油烟很大，楼上的住户晚上不敢开窗户睡觉。",
    "p4": "地铁换乘通道里的扶梯又坏了，赶火车的人拖着箱子爬楼梯。",
}
POSTS = {
    key: {"post_id": key, "family_id": key, "text": text, **builders.TERMS}
    for key, text in TEXTS.items()
}
MADE = {
    "p1": "湖边的银杏叶子全黄了，周末带老人去公园散步合适吗？",
    "p2": "图书馆的自习室七点就坐满了，怎样才能借到书？",
    "p3": "夜市的烧烤摊油烟很大，晚上不敢开窗户怎么办？",
    "p4": "地铁换乘通道里的扶梯坏了，拖着箱子怎么走？",
}
OTHERS = ("红烧茄子要放多少盐？", "好的，谢谢。", "How are you?")
CONFIG = rag.SynthesisConfig(layout="delimited")
DRAW = rag.Draw(rag.Query("q", "M1a", 0, ("词",), "text"), tuple(POSTS.values()))


def _answered(text, draw=DRAW):
    ask = builders.Ask(synthesizer=lambda request: text)
    table = rag.generate([draw], builders.SMALL, CONFIG, guards.GuardConfig(), ask)
    assert lineage.SYNTHESIZED_PROMPTS.problems(table) == []
    rows = table.to_pylist()
    assert sorted(row["family_id"] for row in rows) == sorted(p["family_id"] for p in draw.posts)
    return {row["family_id"]: row for row in rows}


def _texts(prompts):
    return {key: row["text"] for key, row in _answered("；".join(prompts)).items()}


@pytest.mark.parametrize("gone", [*POSTS])
def test_with_one_missing_each_prompt_goes_to_the_post_it_was_made_from(gone):
    prompts = [text for key, text in MADE.items() if key != gone]
    for order in itertools.permutations(prompts):
        assert _texts(order) == {**MADE, gone: None}


def test_one_too_many_goes_to_none():
    for other in OTHERS:
        for place in range(5):
            prompts = [*MADE.values()]
            prompts.insert(place, other)
            assert _texts(prompts) == MADE


def test_a_prompt_that_was_cut_in_two_is_one_for_its_post():
    before, after = MADE["p2"].split("，")
    prompts = [MADE["p1"], before, after, MADE["p3"], MADE["p4"]]
    found = _texts(prompts)
    assert {key: text for key, text in found.items() if key != "p2"} == {
        key: text for key, text in MADE.items() if key != "p2"
    }
    assert found["p2"] == before


@pytest.mark.parametrize("count", [1, 2, 3])
def test_unrelated_prompts_belong_to_no_post(count):
    found = _answered("；".join(OTHERS[:count]))
    for slot, key in enumerate(POSTS, 1):
        assert (found[key]["text"], found[key]["drop_reason"]) == (None, "no_source")
        assert found[key]["drop_evidence"] == f"no prompt for text {slot}"


@pytest.mark.parametrize("times", [2, 3, 5])
def test_of_equal_prompts_one_is_used(times):
    assert _texts([MADE["p1"]] * times) == {**dict.fromkeys(POSTS), "p1": MADE["p1"]}


def test_the_closer_of_two_prompts_for_one_post_is_used():
    close, far = TEXTS["p3"][:20] + "怎么办？", MADE["p3"]
    for order in ([close, far], [far, close]):
        assert _texts([MADE["p1"], *order])["p3"] == close


def test_with_the_right_number_the_order_counts_whatever_the_words():
    found = _texts([MADE["p2"], MADE["p1"], MADE["p4"], MADE["p3"]])
    assert found == {"p1": MADE["p2"], "p2": MADE["p1"], "p3": MADE["p4"], "p4": MADE["p3"]}


@given(st.lists(st.sampled_from([*MADE.values(), *OTHERS]), max_size=7))
def test_no_prompt_is_used_twice_and_none_for_a_foreign_post(prompts):
    if len(prompts) == len(POSTS):
        return
    found = {key: text for key, text in _texts(prompts).items() if text is not None}
    assert len(set(found.values())) == len(found)
    assert found == {key: MADE[key] for key in found}
    assert set(found) == {key for key in MADE if MADE[key] in prompts}


def test_the_order_of_the_prompts_does_not_matter():
    prompts = [MADE["p4"], OTHERS[0], MADE["p2"]]
    found = [_texts(order) for order in itertools.permutations(prompts)]
    assert all(one == found[0] for one in found)
