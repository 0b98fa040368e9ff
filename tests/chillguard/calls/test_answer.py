"""What a model said is checked once, and normalised once before all parsers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chillguard.calls import answer, call, probabilities
from chillguard.calls.answer import Answer
from chillguard.labeling import jury

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def token(text, logprob, *others):
    return {"token": text, "logprob": logprob, "top_logprobs": [*others]}


def vote(text, finish_reason="stop", logprobs=None):
    return call.read(jury.parse_vote, Answer(text, finish_reason, logprobs))


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("<think></think>safe", "safe"),
        ("<think>it may be unsafe</think>\n\nsafe", "safe"),
        ("it may be safe</think>\n\nunsafe", "unsafe"),
        ("[THINK]hm[/THINK]safe", "safe"),
        ("<|channel|>analysis<|message|>unsafe?<|end|><|start|>assistant<|channel|>final"
         "<|message|>safe<|return|>", "safe"),
        ("**safe**", "safe"),
        ("`unsafe`", "unsafe"),
        ("unsafe\nS1", "unsafe"),
        ("unsafe\nS1,S10", "unsafe"),
        ("```\nsafe\n```", "safe"),
        ("safe<|im_end|>", "safe"),
    ],
)  # fmt: skip
def test_a_verdict_is_read_whatever_is_around_it(text, label):
    assert vote(text).label == label


@pytest.mark.parametrize(
    "text",
    ["", "<think>safe", "safe or unsafe", "unsafe\nbut really safe", "**safe** unsafe",
     "<|channel|>analysis<|message|>safe"],
)  # fmt: skip
def test_nothing_is_guessed(text):
    with pytest.raises(call.Unreadable):
        vote(text)


@pytest.mark.parametrize("text", ['```json\n{"a": 1}\n```', '<think>{"a": 2}</think>{"a": 1}'])
def test_json_is_read_behind_thinking_and_in_a_fence(text):
    assert call.read(call.parse_json, Answer(text, "stop")) == {"a": 1}


def test_thinking_is_cut_off_and_counted():
    plain = answer.plain(Answer("<think>abc</think>safe", "stop", None, thinking=5))
    assert (plain.text, plain.thinking) == ("safe", 5 + len("<think>abc</think>"))


def test_probabilities_are_those_of_the_answer_and_not_of_the_thinking():
    other = {"token": "unsafe", "logprob": math.log(0.2)}
    thinking = [token("<think>", -0.1), token("unsafe", -0.1), token("</think>", 0.0)]
    tokens = [*thinking, token("safe", math.log(0.8), other)]
    verdict = vote("<think>unsafe</think>safe", logprobs=tokens)
    assert verdict.p_unsafe == pytest.approx(0.2)


@pytest.mark.parametrize(
    "logprobs",
    [
        [{"token": "safe", "logprob": None}],
        [{"token": "safe"}],
        [{"token": None, "logprob": -1.0}],
        [token("safe", math.nan)],
        [token("safe", -math.inf)],
        [token("safe", 10.0**25)],
        [token("safe", -0.1, {"token": "unsafe", "logprob": None})],
        [None],
        {"token": "safe"},
        "safe",
    ],
)
def test_likelihoods_that_cannot_be_are_none_and_the_vote_counts(logprobs):
    verdict = vote("safe", logprobs=logprobs)
    assert (verdict.label, verdict.p_unsafe) == ("safe", None)


def test_an_impossible_alternative_has_no_share():
    tokens = [token("safe", -0.1, {"token": "unsafe", "logprob": -math.inf})]
    assert vote("safe", logprobs=tokens).p_unsafe == 0.0


@pytest.mark.parametrize("word", ["stop", "STOP", "eos_token", "end_turn", None, 5.5])
def test_an_end_of_its_own_accord_is_readable(word):
    assert vote("safe", word).label == "safe"


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("length", "cut off at max_tokens"),
        ("MAX_TOKENS", "cut off at max_tokens"),
        ("content_filter", "content_filter"),
        ("sensitive", "content_filter"),
        ("SAFETY", "content_filter"),
        ("tool_calls", "tool_calls"),
        ("something new", "something_new"),
    ],
)
def test_every_other_end_is_unreadable(word, reason):
    with pytest.raises(call.Unreadable, match=reason):
        vote("safe", word)


def test_a_parser_that_fails_is_told_as_unreadable():
    def broken(given):
        return given.text[99]

    with pytest.raises(call.Crashed, match="IndexError"):
        call.read(broken, Answer("safe", "stop"))


@pytest.mark.parametrize("value", ["![](http://x)", "a\nb", "<script>", "x" * 999, "[a](b)"])
def test_a_name_holds_no_markup_and_is_bounded(value):
    told = answer.name(value)
    assert len(told) <= 64
    assert not set(told) & set("![]()<>\n/")


@given(st.text(), JSON, JSON)
def test_any_answer_can_be_stored_and_read_or_is_unreadable(text, finish_reason, logprobs):
    given_answer = Answer(text, finish_reason, logprobs)
    told = [given_answer.text, given_answer.finish_reason]
    told += [one["token"] for one in given_answer.logprobs or ()]
    for one in told:
        assert "\0" not in one
        one.encode("utf-8")
    probabilities.of_labels(given_answer.logprobs, ["safe", "unsafe"])
    try:
        assert call.read(jury.parse_vote, given_answer).label in ("safe", "unsafe")
    except call.Crashed:
        raise
    except call.Unreadable:
        pass
