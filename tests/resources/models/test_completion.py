"""The door for answers: any body is a reply that can be stored, or one kind of failure."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.models import completion
from resources.models.failures import (
    Failed,
    Failure,
    Filtered,
    Forbidden,
    NoCompletion,
    Overloaded,
    Refused,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "message",
                    "content",
                    "text",
                    "type",
                    "usage",
                    "logprobs",
                    "token",
                    "logprob",
                    "top_logprobs",
                    "finish_reason",
                    "system_fingerprint",
                    "error",
                    "code",
                    "prompt_tokens",
                    "completion_tokens",
                    "refusal",
                    "reasoning_content",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


def read(document, status=200, **more):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return completion.read(status, body, None, **more)


def said(content="safe", finish_reason="stop", usage=None, **more):
    message = {"content": content} if content is not None else {}
    choice = {"message": message, "finish_reason": finish_reason, **more}
    return {"choices": [choice], "usage": usage or {}}


@pytest.mark.parametrize(
    ("content", "text", "thinking"),
    [
        ("safe", "safe", 0),
        ([{"type": "text", "text": "sa"}, {"type": "text", "text": "fe"}], "safe", 0),
        (["sa", "fe"], "safe", 0),
        ([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "safe"}], "safe", 2),
        (None, "", 0),
    ],
)
def test_the_text_of_an_answer_is_read_in_any_form(content, text, thinking):
    answer = read(said(content)).answer
    assert (answer.text, answer.thinking) == (text, thinking)


def test_reasoning_beside_the_answer_is_counted():
    document = said()
    document["choices"][0]["message"]["reasoning_content"] = "hm, hm"
    assert read(document).answer.thinking == 6


@pytest.mark.parametrize(
    "choice",
    [
        {"finish_reason": "content_filter"},
        {"message": {}, "finish_reason": "content_filter"},
        {"message": {}, "content_filter_results": {"violence": {"filtered": True}}},
    ],
)
def test_a_filter_at_http_200_is_an_answer_without_text(choice):
    answer = read({"choices": [choice]}).answer
    assert (answer.text, answer.finish_reason) == ("", "content_filter")


def test_a_refusal_in_its_own_field_is_one():
    document = {"choices": [{"message": {"content": None, "refusal": "no"}}]}
    answer = read(document).answer
    assert (answer.text, answer.finish_reason) == ("no", "refusal")


@pytest.mark.parametrize("count", [10**25, -1, 2**31, math.inf, math.nan, "many", None, [], True])
def test_a_count_of_tokens_that_cannot_be_is_none(count):
    assert read(said(usage={"prompt_tokens": count, "completion_tokens": 2})).prompt_tokens is None


def test_counts_under_other_names_and_as_floats_are_read():
    reply = read(said(usage={"input_tokens": 7.0, "output_tokens": 3}))
    assert (reply.prompt_tokens, reply.completion_tokens) == (7, 3)


def test_what_no_database_takes_is_replaced():
    body = b'{"choices":[{"message":{"content":"a\\u0000\\ud800"},"finish_reason":"st\\ud800"}],'
    body += b'"system_fingerprint":"f\\u0000\\ud800"}'
    reply = read(body)
    for text in (reply.answer.text, reply.answer.finish_reason, reply.fingerprint):
        text.encode("utf-8")
        assert "\0" not in text


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Refused), (405, Refused), (413, Refused), (418, Refused), (422, Refused),
        (401, Forbidden), (402, Forbidden), (403, Forbidden), (404, Forbidden),
        (429, Overloaded), (503, Overloaded), (529, Overloaded),
        (408, Failed), (409, Failed), (425, Failed), (500, Failed), (502, Failed), (520, Failed),
        (599, Failed), (451, Filtered), (200, NoCompletion),
    ],
)  # fmt: skip
def test_a_status_has_a_class(status, kind):
    with pytest.raises(Failure) as caught:
        read({}, status)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("status", "document", "names"),
    [
        (400, {"error": {"code": "content_filter", "message": "m"}}, "content_filter"),
        (400, {"error": {"innererror": {"code": "ResponsibleAIPolicyViolation"}}},
         "ResponsibleAIPolicyViolation"),
        (400, {"error": {"code": "data_inspection_failed"}}, "data_inspection_failed"),
        (400, {"code": "DataInspectionFailed", "message": "m"}, "DataInspectionFailed"),
        (400, {"error": {"code": "1301", "message": "m"}}, "1301"),
        (400, {"error": {"code": 1301, "message": "m"}}, "1301"),
        (400, {"error": {"message": "Content Exists Risk", "type": "invalid_request_error",
                         "code": "invalid_request_error"}}, "invalid_request_error"),
        (403, {"code": "denied", "error": "Content violates usage guidelines. Failed check: X"},
         "denied"),
        (400, {"error": {"code": "InputTextSensitiveContentDetected"}},
         "InputTextSensitiveContentDetected"),
        (451, {"error": {"type": "censorship_blocked"}}, "censorship_blocked"),
        (200, {"base_resp": {"status_code": 1026, "status_msg": "m"}}, "1026"),
        (200, {"error": {"code": "content_filter"}}, "content_filter"),
    ],
)  # fmt: skip
def test_a_filter_of_a_gateway_is_known_by_its_code_and_named(status, document, names):
    with pytest.raises(Filtered) as caught:
        read(document, status)
    assert str(caught.value) == f"HTTP {status} {names}"


@pytest.mark.parametrize(
    ("status", "code"),
    [(429, "insufficient_quota"), (400, "Arrearage"), (429, "1113"), (400, "model_not_found")],
)
def test_an_account_that_must_be_seen_to_is_no_matter_of_waiting(status, code):
    with pytest.raises(Forbidden, match=code):
        read({"error": {"code": code, "message": "m"}}, status)


@pytest.mark.parametrize("escaped", [False, True])
def test_a_secret_that_an_endpoint_echoes_is_masked(escaped):
    document = said("your key is sk-/secret-one", system_fingerprint="x")
    document["system_fingerprint"] = "sk-/secret-one"
    body = json.dumps(document).encode()
    body = body.replace(b"/", b"\\/") if escaped else body
    reply = read(body, secrets={"sk-/secret-one"})
    assert reply.answer.text == "your key is ***"
    assert "secret" not in reply.fingerprint


def test_an_error_with_markup_or_a_secret_names_neither():
    for kind in ("![](http://x/y)", "sk-secret-one"):
        with pytest.raises(Refused) as caught:
            read({"error": {"type": kind}}, 400, secrets={"sk-secret-one"})
        assert str(caught.value) == "HTTP 400"


@settings(max_examples=1000)
@given(JSON, st.sampled_from([200, 200, 200, 400, 403, 429, 500]))
def test_any_json_is_a_reply_that_can_be_stored_or_a_failure(document, status):
    try:
        reply = read(document, status)
    except Failure as failure:
        str(failure).encode("utf-8")
        return
    json.dumps(reply.answer.logprobs, allow_nan=False)
    for text in (reply.answer.text, reply.answer.finish_reason, reply.fingerprint or ""):
        text.encode("utf-8")
        assert "\0" not in text
    for count in (reply.prompt_tokens, reply.completion_tokens):
        assert count is None or 0 <= count < 2**31
