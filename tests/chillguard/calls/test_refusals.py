"""Which answers decline."""

import pytest

from chillguard.calls.refusals import is_refusal


@pytest.mark.parametrize(
    "text",
    ["抱歉，我无法判断。", "I'm sorry, but no.", "作为AI助手，我不能回答", "  i CANNOT help"],
)
def test_a_refusal_is_one(text):
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text", ["safe", "unsafe", '{"prompt": "怎么写一封投诉信？"}', "答" * 80 + "抱歉", ""]
)
def test_an_answer_is_none(text):
    assert not is_refusal(text)
