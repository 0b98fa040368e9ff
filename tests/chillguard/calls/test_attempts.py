import pytest

from chillguard.calls import attempts, call

ERROR = call.Unreadable("not JSON")


@pytest.mark.parametrize(
    ("text", "finish", "reason", "most"),
    [
        ("hm", "stop", "unreadable: not JSON", 3),
        ("hm", "length", "unreadable: not JSON", 3),
        ("抱歉，我无法回答这个问题。", "stop", "refusal", 3),
        ("", "refusal", "refusal", 3),
        ("", "content_filter", "content_filter", 1),
    ],
)
def test_a_filter_is_not_asked_again_and_every_end_has_its_reason(text, finish, reason, most):
    answer = call.Answer(text, finish)
    assert attempts.reason(answer, ERROR) == reason
    assert attempts.most(answer, 2, 0) == most
    assert attempts.is_declined(answer) is not reason.startswith("unreadable")


def test_a_redriven_request_has_its_attempts_again():
    assert attempts.most(call.Answer("hm", "stop"), 1, 2) == 2 + 2 * 2
