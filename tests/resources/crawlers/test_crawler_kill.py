"""A crawl killed at any request goes on where it was: same posts, and hardly a page twice."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.resources.crawlers.crawling import COOKING, KINDS, TOKEN, TRAVEL, WEATHER, paged
from tests.resources.crawlers.fake_sites import items

pytestmark = pytest.mark.enable_socket
KEYWORDS = [WEATHER, COOKING, TRAVEL]
FOUND = {
    "天气": items(*range(1, 21)),
    "做饭": items(*range(31, 51), about="做饭"),
    "旅行": items(*range(61, 75), about="旅行"),
}
PAGES = 7 + 7 + 5
ROOT = Path(__file__).parents[3]
CRAWL = """
import json, sys
from resources.crawlers.crawler import NetworkCrawler
from resources.crawlers.store import PostStore

given = json.loads(sys.stdin.read())
store = PostStore(url=given["url"])
crawler = NetworkCrawler(source=given["source"], store=store, token=given["token"])
for _ in crawler.crawl(given["keywords"], [], lambda line: None):
    pass
"""


def start(corpus, source):
    """The crawl in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", CRAWL], stdin=subprocess.PIPE, cwd=ROOT, text=True
    )
    given = {
        "url": f"sqlite:///{corpus.path}",
        "source": source,
        "token": TOKEN,
        "keywords": KEYWORDS,
    }
    process.stdin.write(json.dumps(given))
    process.stdin.close()
    return process


def crawl_with_kills(corpus, serve, kind, kills, concurrency):
    """Crawl to the end, killed whenever the site has seen so many requests; the requests."""
    pages = paged(kind, FOUND)
    due = sorted(kills)
    running = []

    def script(ask):
        if due and len(site.asks) >= due[0]:
            due.pop(0)
            os.kill(running[-1].pid, signal.SIGKILL)
        return pages(ask)

    site = serve(script)
    source = kind.source(site, {"concurrency": concurrency})
    for _ in range(len(kills) + 1):
        running.append(start(corpus, source))
        if running[-1].wait(600) == 0:
            break
    assert [process.returncode for process in running] == [-signal.SIGKILL] * len(kills) + [0]
    return [(ask.path, json.dumps(ask.params, sort_keys=True)) for ask in site.asks]


def without_host(rows):
    """Rows whose addresses do not tell on which port the server was."""
    return [{**row, "url": row["url"] and row["url"].split("/", 3)[-1]} for row in rows]


@pytest.mark.parametrize(
    ("name", "kills", "concurrency"),
    [
        ("mastodon by hashtag", [1], 2),
        ("mastodon by hashtag", [5, 10, 15], 2),
        ("mastodon by search", [8], 1),
        ("bluesky", [2, 9], 1),
        ("x recent", [4], 1),
        ("searxng", [19], 2),
        ("weibo mobile", [6], 1),
        ("weibo official", [13], 1),
    ],
    ids=str,
)
def test_a_killed_crawl_ends_in_the_rows_of_an_unkilled_one(
    name, kills, concurrency, corpus, serve, tmp_path
):
    """At most the page that was on its way is asked twice: one for each query that was running."""
    kind = KINDS[name]
    asked = crawl_with_kills(corpus, serve, kind, kills, concurrency)
    twice = sum(count - 1 for count in Counter(asked).values())
    assert twice <= concurrency * len(kills)
    whole = type(corpus)(tmp_path / "whole" / "ledger.db")
    site = serve(paged(kind, FOUND))
    wanted = whole.crawl(kind.source(site), *KEYWORDS, token=TOKEN)
    assert set(asked) == {(ask.path, json.dumps(ask.params, sort_keys=True)) for ask in site.asks}
    assert without_host(corpus.rows()) == without_host(wanted)
    assert [row.finished for row in corpus.table("crawl_passes")] == [1]
    assert len(asked) <= len(site.asks) + concurrency * len(kills)
    assert len({row["id"] for row in corpus.rows()}) == len(corpus.rows()) == len(wanted)
    assert len(site.asks) >= PAGES
