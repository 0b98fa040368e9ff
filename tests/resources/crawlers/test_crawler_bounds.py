"""What bounds a crawl: pages, posts, requests and bytes, whatever a site answers."""

import gzip
import itertools
import json
import re
import resource
import threading
import time

import pytest

from resources.crawlers.crawler import NetworkCrawler
from tests.resources.crawlers import fake_sites
from tests.resources.crawlers.crawling import (
    COOKING,
    KINDS,
    TRAVEL,
    WEATHER,
    asked_about,
    paged,
)
from tests.resources.crawlers.fake_sites import Ask, Raw, Reply, items

pytestmark = pytest.mark.enable_socket
EVERY = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
TAG = KINDS["mastodon by hashtag"]


def with_cursor(answer, cursor):
    """An answer with this cursor, where the site gives one."""
    if isinstance(answer, dict) and "meta" in answer:
        answer["meta"]["next_token"] = cursor
    elif isinstance(answer, dict) and "posts" in answer:
        answer["cursor"] = cursor
    return answer


@EVERY
def test_the_same_page_for_ever_ends_by_patience(kind, corpus, serve):
    turn = itertools.count()
    found = items(1, 2, 3)

    def script(ask):
        start = Ask(ask.path, {"page": "1", "pageno": "1", "offset": "0", "q": ""}, {})
        return with_cursor(kind.answer(found, start, 3), f"c{next(turn)}")

    site = serve(script)
    corpus.crawl(kind.source(site), token=kind.token)
    assert len(site.asks) <= 4
    assert corpus.numbers() == [1, 2, 3]


def forever(kind):
    """A script with new posts on every page, for ever."""
    turn = itertools.count()

    def script(ask):
        top = 10_000 - 3 * next(turn)
        page = items(top, top - 1, top - 2)
        first = Ask(ask.path, {"page": "1", "pageno": "1", "offset": "0", "q": ""}, {})
        return with_cursor(kind.answer(page, first, 3), f"c{top}")

    return script


@EVERY
def test_new_posts_for_ever_end_by_the_number_of_pages(kind, corpus, serve):
    site = serve(forever(kind))
    corpus.crawl(kind.source(site, max_pages=7), token=kind.token)
    assert len(site.asks) == 7
    assert len(corpus.numbers()) == 21


@EVERY
@pytest.mark.parametrize(("wanted", "pages"), [(1, 1), (3, 1), (4, 2), (10, 4)])
def test_new_posts_for_ever_end_by_the_number_of_posts(kind, wanted, pages, corpus, serve):
    site = serve(forever(kind))
    corpus.crawl(kind.source(site, posts_per_query=wanted), token=kind.token)
    assert (len(corpus.numbers()), len(site.asks)) == (wanted, pages)


@pytest.mark.parametrize("name", ["bluesky", "x recent", "x archive"])
def test_empty_pages_with_ever_new_cursors_end_by_patience(name, corpus, serve):
    turn, kind = itertools.count(), KINDS[name]
    empty = {"posts": []} if name == "bluesky" else {"meta": {"result_count": 0}}
    site = serve(lambda ask: with_cursor(dict(empty), f"c{next(turn)}"))
    corpus.crawl(kind.source(site), token=kind.token)
    assert (len(site.asks), corpus.rows(), corpus.rejects) == (3, [], [])


def test_an_empty_page_among_full_ones_loses_none_of_them(corpus, serve):
    kind = KINDS["bluesky"]
    pages = [items(5, 6), [], items(3, 4), [], items(1, 2)]

    def script(ask):
        at = int(ask.params.get("cursor", 0))
        answer = {"posts": [fake_sites.bluesky_post(item) for item in pages[at]]}
        return answer | ({"cursor": str(at + 1)} if at + 1 < len(pages) else {})

    corpus.crawl(kind.source(serve(script)), token=kind.token)
    assert corpus.numbers() == [1, 2, 3, 4, 5, 6]


def test_caps_of_posts_hold_for_each_query_and_start_anew_with_each_pass(corpus, serve):
    found = {"天气": items(*range(1, 9)), "做饭": items(*range(11, 19), about="做饭")}
    site = serve(paged(TAG, found))
    source = TAG.source(site, posts_per_query=2)
    corpus.crawl(source, WEATHER, COOKING)
    assert corpus.numbers() == [7, 8, 17, 18]
    found["天气"] = items(*range(1, 12))
    corpus.crawl(source, WEATHER, COOKING)
    assert corpus.numbers() == [7, 8, 10, 11, 17, 18]


def body(size, declared=False):
    """An answer of so many bytes, in pieces."""

    def pieces():
        length = b"content-length: %d\r\n" % size if declared else b""
        yield b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + length + b"\r\n"
        piece = b" " * 100_000
        for _ in range(size // len(piece)):
            yield piece

    return Raw(pieces)


@pytest.mark.parametrize(
    ("kind", "declared"), [*((kind, False) for kind in KINDS.values()), (TAG, True)]
)
def test_an_answer_of_100_mb_is_refused_and_the_other_queries_go_on(kind, declared, corpus, serve):
    found = {"天气": items(1, 2), "旅行": items(3, about="旅行")}
    pages = paged(kind, found)
    site = serve(
        lambda ask: body(100_000_000, declared) if asked_about(ask) == "做饭" else pages(ask)
    )
    source = kind.source(site, {"max_body_bytes": 1_000_000})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    corpus.crawl(source, WEATHER, COOKING, TRAVEL, token=kind.token)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert corpus.numbers() == [1, 2, 3]
    (reject,) = corpus.rejects
    asked = NetworkCrawler(source=source, store=corpus.store).config.queries([COOKING])
    assert (reject.line, reject.column) == (2, f"query {asked[0].query_id}")
    assert "1,000,000 bytes" in reject.reason
    assert grown < 40_000


def test_a_small_answer_that_unpacks_to_a_large_one_is_refused(corpus, serve):
    packed = gzip.compress(b" " * 300_000_000, 6)
    assert len(packed) < 400_000
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    pages = paged(TAG, {})
    site = serve(lambda ask: Reply(200, packed, headers) if asked_about(ask) else pages(ask))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    other = {"keyword_id": "kw-other", "zh": "别的", "en": "other"}
    corpus.crawl(TAG.source(site, {"max_body_bytes": 1_000_000}), WEATHER, other)
    assert "1,000,000 bytes" in corpus.rejects[0].reason
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000


def test_a_packed_answer_is_read(corpus, serve):
    plain = paged(TAG, {"天气": items(1, 2)})
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    site = serve(lambda ask: Reply(200, gzip.compress(json.dumps(plain(ask)).encode()), headers))
    corpus.crawl(TAG.source(site))
    assert corpus.numbers() == [1, 2]


@pytest.mark.parametrize(("concurrency", "rate"), [(1, 1e9), (2, 1e9), (4, 1e9), (4, 1200)])
def test_requests_end_at_their_cap_and_the_next_run_goes_on(concurrency, rate, corpus, serve):
    found = {
        "天气": items(*range(1, 10)),
        "做饭": items(*range(11, 20), about="做饭"),
        "旅行": items(*range(21, 30), about="旅行"),
    }
    site = serve(paged(TAG, found))
    limits = {"concurrency": concurrency, "requests_per_minute": rate}
    source = TAG.source(site, limits, max_requests=5)
    seen = []
    for _ in range(4):
        site.asks.clear()
        corpus.crawl(source, WEATHER, COOKING, TRAVEL)
        seen.append(len(site.asks))
        if sum(seen) == 12:
            break
    assert seen == [5, 5, 2]
    assert corpus.numbers() == [n for n in range(1, 30) if n % 10]
    assert corpus.rejects == []


@pytest.mark.parametrize("cap", [3, 4])
def test_tries_again_count_as_requests(cap, corpus, serve):
    turn = itertools.count()
    pages = paged(TAG, {"天气": items(*range(1, 10))})
    site = serve(lambda ask: Reply(500) if next(turn) % 2 == 0 else pages(ask))
    corpus.crawl(TAG.source(site, max_requests=cap))
    assert len(site.asks) <= cap + 1


def test_no_more_requests_run_at_once_than_a_host_may_take(corpus, serve):
    state = {"now": 0, "peak": 0}
    lock = threading.Lock()
    pages = paged(TAG, {})

    def script(ask):
        with lock:
            state["now"] += 1
            state["peak"] = max(state["peak"], state["now"])
        site.closing.wait(0.02)
        with lock:
            state["now"] -= 1
        return pages(ask)

    site = serve(script)
    many = [{"keyword_id": f"k{n}", "zh": f"词{n}", "en": "word"} for n in range(12)]
    corpus.crawl(TAG.source(site, {"concurrency": 3}), *many)
    assert state["peak"] == 3


def test_requests_are_spaced_by_the_rate(corpus, serve):
    site = serve(paged(TAG, {"天气": items(*range(1, 10))}))
    began = time.monotonic()
    corpus.crawl(TAG.source(site, {"requests_per_minute": 1200}))
    assert len(site.asks) == 4
    assert time.monotonic() - began > 0.14


def test_progress_is_told_with_counts_and_without_texts(corpus, serve):
    site = serve(paged(TAG, {"天气": items(*range(1, 10))}))
    corpus.crawl(TAG.source(site))
    assert re.search(
        r"crawled_posts/here: 1 of 1 queries, 4 requests, 9 new posts", corpus.told[-1]
    )
    assert "天气" not in " ".join(corpus.told)
