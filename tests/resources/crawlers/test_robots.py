import asyncio

import httpx
import pytest

from resources.crawlers.robots import Robots

RULES = b"User-agent: chillguard\nDisallow: /private\nCrawl-delay: 7\n\nUser-agent: *\nDisallow: /"


def _robots(answer):
    """The rules of hosts that all give this answer, and which files were asked for."""
    asked = []

    async def get(url):
        asked.append(url)
        return answer

    return Robots("chillguard", get), asked


def _allows(robots, *urls):
    async def ask():
        return [await robots.allows(url) for url in urls]

    return asyncio.run(ask())


def test_the_rules_of_the_own_name_count_and_are_read_once_a_host():
    robots, asked = _robots((httpx.Response(200), RULES))
    pages = ("https://a.test/x", "https://a.test/private/y", "http://b.test:81/x")
    assert _allows(robots, *pages) == [True, False, True]
    assert asyncio.run(robots.delay_s("https://a.test/z")) == 7
    assert asked == ["https://a.test/robots.txt", "http://b.test:81/robots.txt"]


@pytest.mark.parametrize(
    ("answer", "may"),
    [
        (None, False),
        ((httpx.Response(404), b"no such page"), True),
        ((httpx.Response(403), b"User-agent: *\nDisallow: /"), True),
        ((httpx.Response(500), b""), False),
        ((httpx.Response(302), b""), False),
        ((httpx.Response(200), b""), True),
        ((httpx.Response(200), b"\xff\xfe\x00 no rules"), True),
    ],
)
def test_rules_that_cannot_be_read_bar_all_and_rules_that_are_not_there_bar_nothing(answer, may):
    robots, _ = _robots(answer)
    assert _allows(robots, "https://a.test/x") == [may]
    assert asyncio.run(robots.delay_s("https://a.test/x")) == 0
