from dataclasses import replace

import pydantic
import pytest

from chillguard.calls import call
from tests.chillguard import builders

REQUEST = call.ChatRequest(
    "row",
    ({"role": "system", "content": "规则"}, {"role": "user", "content": "问题"}),
    call.Sampling(),
    {"choice": ["safe", "unsafe"]},
)


def _key(request=REQUEST, model="m", revision="1", repeat=0):
    return call.call_key(model, revision, request, repeat)


def test_the_ledger_key_stays_as_it_is_for_ever():
    assert _key() == "32bb1583f34acfc4a0e3bfa71bfdb693ac2a55df064f4c9be7f2f6ccda4bd2e0"


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "n"},
        {"revision": "2"},
        {"repeat": 1},
        {"request": replace(REQUEST, messages=REQUEST.messages[::-1])},
        {"request": replace(REQUEST, messages=REQUEST.messages[:1])},
        {"request": replace(REQUEST, answer_schema=None)},
        {"request": replace(REQUEST, answer_schema={"choice": ["unsafe", "safe"]})},
        {"request": replace(REQUEST, sampling=call.Sampling(temperature=0.1))},
        {"request": replace(REQUEST, sampling=call.Sampling(top_p=0.9))},
        {"request": replace(REQUEST, sampling=call.Sampling(max_tokens=7))},
        {"request": replace(REQUEST, sampling=call.Sampling(top_logprobs=5))},
    ],
)
def test_whatever_the_model_gets_is_in_the_key(changed):
    assert _key(**changed) != _key()


@pytest.mark.parametrize(
    "request_",
    [
        replace(REQUEST, row_id="other row"),
        replace(
            REQUEST,
            messages=tuple({"content": m["content"], "role": m["role"]} for m in REQUEST.messages),
        ),
    ],
)
def test_the_row_and_the_order_of_keys_are_not_in_the_key(request_):
    assert _key(request_) == _key()


def test_messages_are_the_system_and_user_blocks_in_that_order():
    found = call.messages({"user": "问", "system": "规", "body": "别的"})
    assert found == (
        {"role": "system", "content": "规"},
        {"role": "user", "content": "问"},
    )


def test_an_unknown_sampling_parameter_is_refused():
    with pytest.raises(pydantic.ValidationError):
        call.Sampling(temprature=1.0)


def test_a_greedy_request_is_varied_and_a_random_one_stays():
    greedy = call.Sampling(max_tokens=7, top_logprobs=5)
    assert greedy.varied() == call.Sampling(temperature=0.5, max_tokens=7, top_logprobs=5)
    assert greedy.temperature == 0.0
    warm = call.Sampling(temperature=0.9)
    assert warm.varied() == warm


def test_a_json_object_is_read():
    assert call.parse_json(builders.answer('{"a": ["一"]}')) == {"a": ["一"]}


@pytest.mark.parametrize(
    ("text", "finish_reason", "reason"),
    [
        ('{"a": 1}', "length", "cut off"),
        ("", "stop", "not JSON"),
        ("好的，如下：{}", "stop", "not JSON"),
        ('{"a": 1', "stop", "not JSON"),
        ("[]", "stop", "not an object"),
        ("null", "stop", "not an object"),
        ('"一"', "stop", "not an object"),
    ],
)
def test_what_is_no_whole_json_object_is_unreadable(text, finish_reason, reason):
    with pytest.raises(call.Unreadable, match=reason):
        call.parse_json(builders.answer(text, finish_reason))
