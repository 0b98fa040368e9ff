"""Why a request has no answer: kinds of failures, told apart by what may be done about them."""


class Failure(Exception):
    """A request without an answer; its text says why, without a word of the request."""


class Refused(Failure):
    """The endpoint rejects this request; asking again would not help.

    `message` is what the endpoint says about it: it may quote the request, so it is shown only when
    it is the same for many.
    """

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(reason)
        self.message = message


class Filtered(Refused):
    """A filter of the endpoint declines this request for what it is about: a refusal."""


class Overloaded(Failure):
    """429, 503, 529 or `TimedOut`; `retry_after_s` when the endpoint said so."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class TimedOut(Overloaded):
    """No answer in time: the endpoint is full, or this request is too much for it."""


class Failed(Failure):
    """A failure that may pass: transport error or 5xx."""


class NoCompletion(Failed):
    """HTTP 200, but no chat completion: it may pass, and it may have been charged for."""


class Forbidden(Failure):
    """What an endpoint says to every request while key, credit, model name or URL is wrong.

    Some say it of a single request that they do not like, so it takes a plain question to tell.
    """


class Stopped(Exception):
    """Stopped in good order; the text says why. Everything answered is committed."""
