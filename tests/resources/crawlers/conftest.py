"""A corpus in a temporary folder, sites on the loopback, and tries without pauses."""

from contextlib import ExitStack

import httpx
import pytest

from resources.crawlers import http
from tests.resources.crawlers import fake_sites
from tests.resources.crawlers.crawling import Corpus


@pytest.fixture
def corpus(tmp_path):
    return Corpus(tmp_path / "corpus" / "ledger.db")


@pytest.fixture
def serve():
    """A function that starts a site; all of them end with the test."""
    with ExitStack() as sites:
        yield lambda script: sites.enter_context(fake_sites.serve(script))


@pytest.fixture(autouse=True, scope="session")
def _one_ssl_context():
    """Certificates are read once: every client would read them again."""
    context = httpx.create_ssl_context()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx, "create_ssl_context", lambda **_: context)
        yield


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """The waits that would have been, in seconds."""
    found = []
    whole = http._wait

    def none(state):
        found.append(whole(state))
        return 0.0

    monkeypatch.setattr(http, "_wait", none)
    return found
