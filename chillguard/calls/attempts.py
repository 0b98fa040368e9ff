"""How often a request is asked, and why it ends without a value: one rule for run and plan."""

from chillguard.calls import call, refusals

_DECLINED = frozenset({"content_filter", "refusal"})


def most(answer: call.Answer, salvage: int, drives: int) -> int:
    """Attempts at most, the first one included, after an answer that could not be read."""
    # A filter says the same again.
    again = 0 if answer.finish_reason == "content_filter" else salvage
    return 1 + again + drives * (1 + salvage)


def is_declined(answer: call.Answer) -> bool:
    """Whether the model, or a filter before it, would not answer."""
    return answer.finish_reason in _DECLINED or refusals.is_refusal(answer.text)


def reason(answer: call.Answer, error: call.Unreadable) -> str:
    """Why the last attempt gave no value."""
    if not is_declined(answer):
        return f"unreadable: {error}"
    return "content_filter" if answer.finish_reason == "content_filter" else "refusal"
