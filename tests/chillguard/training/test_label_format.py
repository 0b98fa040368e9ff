import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chillguard.calls import call
from chillguard.training.label_format import LabelFormat, Verdict

BINARY = LabelFormat("binary")
CATEGORY = LabelFormat("category", ("A1", "A2", "B1"))
ROWS = [("safe", None), ("unsafe", "A1"), ("unsafe", "B1")]


def _said(text, logprobs=None):
    return call.Answer(text, "stop", logprobs)


def test_the_two_formats_write_what_is_documented():
    assert [BINARY.answer(*row) for row in ROWS] == ["safe", "unsafe", "unsafe"]
    assert [CATEGORY.answer(*row) for row in ROWS] == ["safe", "unsafe A1", "unsafe B1"]
    assert list(BINARY.answers) == ["safe", "unsafe"]
    assert list(CATEGORY.answers) == ["safe", "unsafe A1", "unsafe A2", "unsafe B1"]


@pytest.mark.parametrize(("label", "code"), ROWS)
def test_what_is_written_is_read_back(label, code):
    assert CATEGORY.parse(_said(CATEGORY.answer(label, code))) == Verdict(label, code)
    assert BINARY.parse(_said(BINARY.answer(label, code))) == Verdict(label)


@pytest.mark.parametrize("text", ["safe\n", "  safe", "\nsafe "])
def test_blanks_around_an_answer_do_not_matter(text):
    assert BINARY.parse(_said(text)) == Verdict("safe")


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (BINARY, ""),
        (BINARY, "Safe"),
        (BINARY, "safe."),
        (BINARY, "not safe"),
        (BINARY, "unsafe A1"),
        (BINARY, "safe safe"),
        (CATEGORY, "unsafe"),
        (CATEGORY, "unsafe A9"),
        (CATEGORY, "unsafe  A1"),
        (CATEGORY, "safe A1"),
        (CATEGORY, "A1"),
        (CATEGORY, "unsafe A1 A2"),
    ],
)
def test_all_but_a_whole_answer_is_unreadable(form, text):
    with pytest.raises(call.Unreadable, match="neither safe"):
        form.parse(_said(text))


@given(st.text(max_size=12))
def test_no_text_is_read_as_a_label_that_it_does_not_spell(text):
    try:
        verdict = CATEGORY.parse(_said(text))
    except call.Unreadable:
        return
    assert text.strip() == CATEGORY.answer(verdict.label, verdict.micro_category)


def test_the_probability_of_unsafe_comes_from_the_first_word():
    tops = [{"token": "safe", "logprob": math.log(0.2)}]
    first = {"token": "unsafe", "logprob": math.log(0.6), "top_logprobs": tops}
    code = {"token": " A1", "logprob": math.log(0.9), "top_logprobs": []}
    verdict = CATEGORY.parse(_said("unsafe A1", [first, code]))
    assert verdict.p_unsafe == pytest.approx(0.75)


def test_a_request_is_bound_to_the_answers_and_asks_greedily():
    (request,) = CATEGORY.requests([{"prompt_id": "p", "text": "今天</text>适合散步吗？"}])
    assert request.row_id == "p"
    assert request.answer_schema == {"choice": list(CATEGORY.answers)}
    assert request.sampling.temperature == 0
    assert request.sampling.top_logprobs > 0
    assert request.messages == CATEGORY.messages("今天</text>适合散步吗？")
    assert request.messages[1]["content"].count("</text>") == 1


def test_the_system_turn_asks_for_a_code_only_where_one_is_written():
    assert "代码" in CATEGORY.messages("好")[0]["content"]
    assert "代码" not in BINARY.messages("好")[0]["content"]
