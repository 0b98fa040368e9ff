"""Answers with several prompts, in either layout: what is read, and what is only a fallback."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chillguard.calls import call, numbered
from tests.chillguard import builders

# "问" first: a prompt that itself begins like a numbered one is another test.
_PROMPT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=";；"), max_size=20
).map(lambda text: ("问" + text).strip())
_PROMPTS = st.lists(_PROMPT, min_size=1, max_size=6)
_SEPARATOR = st.sampled_from([";", "；", "\n", "；\n", "\n\n", "; ", " ； ", ";；", "\r\n"])
ONE, TWO, THREE = "去公园怎么走？", "图书馆几点开门？", "早餐吃什么好？"


def _json(*entries, key="source"):
    return json.dumps({"prompts": [{key: n, "prompt": p} for n, p in entries]})


def _read(text, count, layout="delimited", finish_reason="stop", key="source"):
    parse = numbered.parser(count, layout, key)
    return parse(builders.answer(text, finish_reason))


def _unread(*given, **more):
    with pytest.raises(call.Unreadable) as caught:
        _read(*given, **more)
    return caught.value


def _loose(error):
    return error.fallback.loose


@given(_PROMPTS, _SEPARATOR)
def test_prompts_without_separators_survive_a_list(prompts, separator):
    found = _read(separator.join(prompts), len(prompts))
    assert found.numbered == dict(enumerate(prompts, 1))
    assert found.loose == ()


@given(st.lists(st.text().filter(str.strip), min_size=1, max_size=6), st.randoms())
def test_any_prompts_survive_json_in_any_order(prompts, random):
    entries = list(enumerate(prompts, 1))
    random.shuffle(entries)
    found = _read(_json(*entries), len(prompts), "json")
    assert found.numbered == {n: prompt.strip() for n, prompt in enumerate(prompts, 1)}


@given(_PROMPTS, st.integers(1, 8))
def test_another_number_of_prompts_is_unreadable_and_they_are_the_fallback(prompts, count):
    if len(prompts) == count:
        assert len(_read("；".join(prompts), count).numbered) == count
        return
    error = _unread("；".join(prompts), count)
    assert str(error) == f"{len(prompts)} prompts for {count}"
    assert _loose(error) == tuple(prompts)
    assert error.fallback.numbered == {}


@given(st.sets(st.integers(1, 6), max_size=5))
def test_missing_numbers_are_unreadable_and_those_that_are_there_the_fallback(there):
    error = _unread(_json(*((n, f"第{n}问？") for n in there)), 6, "json")
    assert str(error) == f"{len(there)} of 6 prompts"
    assert not there or error.fallback == numbered.Prompts({n: f"第{n}问？" for n in there})


@pytest.mark.parametrize("text", ["", " \n ", "；；\n;"])
def test_an_answer_without_a_prompt_leaves_no_fallback_to_use(text):
    assert _unread(text, 2).fallback in (None, numbered.Prompts())


@pytest.mark.parametrize(
    "mark", ["1. ", "1.", "1、", "1）", "1)", "1：", "1: ", "12. ", "- ", "* ", "• ", "•", " 1 . "]
)
def test_the_mark_of_a_list_is_no_part_of_the_prompt(mark):
    assert _read(f"{mark}{ONE}\n{mark}{TWO}", 2).numbered == {1: ONE, 2: TWO}


@pytest.mark.parametrize(
    "prompt",
    [
        "1.5公里要走多久？",
        "12:30的火车几点检票？",
        "3、4岁的孩子读什么书？",
        "-5度的天气穿什么？",
        "2024年放几天假？",
        "5个人怎么分组？",
        "10.1放假去哪里玩？",
    ],
)
def test_a_number_that_belongs_to_the_prompt_stays(prompt):
    assert _read(f"{prompt}；{TWO}", 2).numbered == {1: prompt, 2: TWO}


@pytest.mark.parametrize(
    "prompt",
    [
        "我不能吃辣，有什么菜可以点？",
        "我无法登录邮箱，怎么找回密码？",
        "想和同学说声对不起，怎么开口？",
        "很抱歉打扰您，请问车站怎么走？",
    ],
)
def test_a_prompt_in_the_words_of_a_refusal_is_read(prompt):
    assert _read(f"{prompt}；{TWO}", 2).numbered == {1: prompt, 2: TWO}


@pytest.mark.parametrize(
    "text",
    [
        "抱歉，我无法提供这样的内容。",
        "对不起，我不能改写这段文本；请换一个话题。",
        "I'm sorry, but I can't.",
    ],
)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_refusal_is_no_prompt_and_leaves_no_fallback(text, count):
    error = _unread(text, count)
    assert str(error) == "a refusal"
    assert error.fallback is None


def test_one_prompt_keeps_its_lines():
    text = "想给孩子办一次生日会，请帮忙想想：\n一、吃什么\n二、玩什么"
    assert _read(text, 1).numbered == {1: text}


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_list_that_was_cut_off_is_unreadable_and_its_last_prompt_is_lost(count):
    error = _unread("；".join([ONE, TWO, "早餐吃"]), count, finish_reason="length")
    assert str(error) == "cut off at max_tokens"
    assert _loose(error) == (ONE, TWO)


def test_json_that_was_cut_off_is_unreadable():
    error = _unread(_json((1, ONE), (2, TWO)), 2, "json", "length")
    assert str(error) == "cut off at max_tokens"
    assert error.fallback is None


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        ([(2, TWO), (1, ONE)], {1: ONE, 2: TWO}),
        ([(1, ONE), (1, THREE), (2, TWO)], {1: ONE, 2: TWO}),
        ([(1, ONE), (2, TWO), (3, THREE)], {1: ONE, 2: TWO}),
        ([(0, THREE), (-1, THREE), (1, ONE), (2, TWO)], {1: ONE, 2: TWO}),
        ([(1, " "), (1, ONE), (2, f" {TWO}\n")], {1: ONE, 2: TWO}),
    ],
)
def test_double_foreign_and_empty_entries_are_passed_over(entries, found):
    assert _read(_json(*entries), 2, "json").numbered == found


@pytest.mark.parametrize(
    "strange",
    [
        {"source": "2", "prompt": TWO},
        {"source": 2.0, "prompt": TWO},
        {"source": True, "prompt": TWO},
        {"source": None, "prompt": TWO},
        {"source": 2, "prompt": None},
        {"source": 2, "prompt": [TWO]},
        {"method": 2, "prompt": TWO},
        {"prompt": TWO},
        TWO,
        None,
    ],
)
def test_an_entry_of_another_shape_counts_as_missing(strange):
    text = json.dumps({"prompts": [{"source": 1, "prompt": ONE}, strange]})
    error = _unread(text, 2, "json")
    assert str(error) == "1 of 2 prompts"
    assert error.fallback == numbered.Prompts({1: ONE})


@pytest.mark.parametrize("text", ["{}", '{"prompts": "一"}', '{"prompts": {}}', "[]", "好的", ""])
def test_json_without_a_list_of_prompts_is_unreadable_without_a_fallback(text):
    assert _unread(text, 2, "json").fallback is None


@pytest.mark.parametrize("key", ["source", "method"])
@pytest.mark.parametrize("count", [1, 3])
def test_the_schema_asks_for_each_number_and_a_prompt(key, count):
    prompts = numbered.answer_schema(count, "json", key)["properties"]["prompts"]
    assert prompts["minItems"] == prompts["maxItems"] == count
    number = prompts["items"]["properties"][key]
    assert (number["minimum"], number["maximum"]) == (1, count)
    assert set(prompts["items"]["required"]) == {key, "prompt"}
    entries = [(n, f"第{n}问？") for n in range(1, count + 1)]
    assert len(_read(_json(*entries, key=key), count, "json", key=key).numbered) == count


def test_a_list_with_separators_cannot_be_bound():
    assert numbered.answer_schema(3, "delimited", "source") is None
