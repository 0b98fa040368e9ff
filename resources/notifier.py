"""Notices of failed steps: to a webhook where there is one; a webhook that fails stops nothing.

A notice leaves the house, so it holds ids and the project's own sentences only: never raw text,
never a secret.
"""

import logging
import re
from dataclasses import asdict, dataclass

import dagster as dg
import httpx

from resources.models.chat import without_credentials

# It logs every URL, and the URL of a webhook is its secret.
logging.getLogger("httpx").setLevel(logging.WARNING)

_OWN = ("assets", "chillguard", "pipelines", "resources")
# Names assets and checks only, and is not exported by Dagster.
_CHECK_FAILED = "DagsterAssetCheckFailedError"
_URL = re.compile(r"[a-z][a-z0-9+]*://[^\s'\"]+")
_MAX_CAUSE = 600
_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Notice:
    """A failed step: the assets (or job) it makes, its job and run, and why it failed."""

    what: str
    job: str
    run_id: str
    cause: str

    @property
    def next_action(self) -> str:
        """What a person does about it."""
        return (
            f"mend the cause, then re-execute run {self.run_id} from its failure in Dagster, or "
            f"launch job {self.job} again; calls that were answered are not paid for again"
        )

    @property
    def text(self) -> str:
        """The whole notice in one line."""
        return f"{self.what} failed: {self.cause}. Next: {self.next_action}."


def cause_of(error: BaseException | None) -> str:
    """Why a step failed, in the project's own words, without credentials.

    Of a foreign exception only its kind is told: its message may quote a text or a secret.
    """
    if isinstance(error, dg.Failure):
        told = error.description or "it failed"
    elif type(error).__name__ == _CHECK_FAILED or _is_own(error):
        told = str(error)
    elif error is None:
        told = "the log of the run has the cause"
    else:
        told = f"{type(error).__name__}; the log of the run has the details"
    told = _URL.sub(lambda found: without_credentials(found.group()), " ".join(told.split()))
    return told if len(told) <= _MAX_CAUSE else told[: _MAX_CAUSE - 1] + "…"


def _is_own(error: BaseException | None) -> bool:
    return type(error).__module__.split(".")[0] in _OWN


class Notifier(dg.ConfigurableResource):
    """A webhook that takes JSON with a field `text`, as Slack, Mattermost and the like do."""

    webhook: str | None = None

    def send(self, notice: Notice) -> str | None:
        """Post a notice; returns what went wrong, or None. Without a webhook nothing is sent."""
        if not self.webhook:
            return None
        document = {**asdict(notice), "next_action": notice.next_action, "text": notice.text}
        try:
            answer = httpx.post(self.webhook, json=document, timeout=_TIMEOUT_S)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            return type(error).__name__
        return None if answer.is_success else f"HTTP {answer.status_code}"
