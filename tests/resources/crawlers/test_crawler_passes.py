"""From pass to pass: what a later crawl asks again, and what it brings."""

import sqlite3

import dagster as dg
import pytest

from chillguard import identity
from chillguard.text import screening
from resources import database
from tests.resources.crawlers import fake_sites
from tests.resources.crawlers.crawling import COOKING, KINDS, WEATHER, asked_about, paged
from tests.resources.crawlers.fake_sites import Item, Reply, items

pytestmark = pytest.mark.enable_socket
EVERY = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
TAG = KINDS["mastodon by hashtag"]


def of(asks, keyword):
    return [ask for ask in asks if asked_about(ask) == keyword]


@EVERY
def test_a_second_pass_without_news_asks_each_query_for_one_page(kind, corpus, serve):
    found = {"天气": items(*range(1, 10)), "做饭": items(*range(11, 20), about="做饭")}
    site = serve(paged(kind, found))
    rows = corpus.crawl(kind.source(site), WEATHER, COOKING, token=kind.token)
    for _ in range(2):
        site.asks.clear()
        assert corpus.crawl(kind.source(site), WEATHER, COOKING, token=kind.token) == rows
        assert len(of(site.asks, "天气")) == len(of(site.asks, "做饭")) == 1


@EVERY
def test_a_second_pass_brings_the_new_post_alone(kind, corpus, serve):
    found = {"天气": items(*range(1, 10))}
    site = serve(paged(kind, found))
    before = corpus.crawl(kind.source(site), token=kind.token)
    found["天气"] = items(*range(1, 11))
    site.asks.clear()
    after = corpus.crawl(kind.source(site), token=kind.token)
    (new,) = [row for row in after if row not in before]
    assert new["url"].endswith("10")
    assert len(after) == len(before) + 1
    assert len(site.asks) <= 2


@EVERY
def test_a_new_keyword_of_the_second_pass_is_crawled_in_full(kind, corpus, serve):
    found = {"天气": items(*range(1, 10)), "做饭": items(*range(11, 20), about="做饭")}
    site = serve(paged(kind, found))
    corpus.crawl(kind.source(site), WEATHER, token=kind.token)
    corpus.crawl(kind.source(site), WEATHER, COOKING, token=kind.token)
    assert corpus.numbers() == [*range(1, 10), *range(11, 20)]


@EVERY
def test_a_new_keyword_is_crawled_past_posts_that_another_one_brought(kind, corpus, serve):
    shared = items(*range(21, 28), about="天气和做饭")
    found = {"天气": shared, "做饭": [*shared, *items(*range(11, 20), about="做饭")]}
    site = serve(paged(kind, found))
    corpus.crawl(kind.source(site), WEATHER, token=kind.token)
    corpus.crawl(kind.source(site), WEATHER, COOKING, token=kind.token)
    assert corpus.numbers() == [*range(11, 20), *range(21, 28)]


@EVERY
def test_a_query_rejected_half_way_is_asked_in_full_by_the_next_pass(kind, corpus, serve):
    found = {"天气": items(*range(1, 10)), "做饭": items(*range(11, 20), about="做饭")}
    pages = paged(kind, found)

    def script(ask):
        third = len(of(site.asks, "做饭")) == 3 and asked_about(ask) == "做饭"
        return Reply(400) if third else pages(ask)

    site = serve(script)
    corpus.crawl(kind.source(site), WEATHER, COOKING, token=kind.token)
    assert len(corpus.rejects) == 1
    site.script = pages
    corpus.crawl(kind.source(site), WEATHER, COOKING, token=kind.token)
    assert corpus.numbers() == [*range(1, 10), *range(11, 20)]


@EVERY
def test_a_post_that_two_keywords_find_is_kept_once_with_the_first(kind, corpus, serve):
    same = items(1, 2, about="天气和做饭")
    site = serve(paged(kind, {"天气": same, "做饭": same}))
    one = kind.source(site, {"concurrency": 1})
    rows = corpus.crawl(one, WEATHER, COOKING, token=kind.token)
    assert [row["keyword_id"] for row in rows] == ["kw-weather", "kw-weather"]


def test_a_post_dated_in_the_future_does_not_hide_the_later_ones(corpus, serve):
    kind = KINDS["bluesky"]
    found = items(1, 2)
    odd = fake_sites.bluesky_post(Item(3, "写错日期的天气"), createdAt="2999-01-01T00:00:00Z")

    def script(ask):
        since = ask.params.get("since", "")
        posts = [fake_sites.bluesky_post(item) for item in found if item.iso >= since]
        return {"posts": [odd, *posts]}

    site = serve(script)
    corpus.crawl(kind.source(site), token=kind.token)
    found = items(1, 2, 5)
    corpus.crawl(kind.source(site), token=kind.token)
    assert corpus.numbers() == [1, 2, 3, 5]


def test_an_older_post_under_a_number_of_fewer_digits_is_no_newer_mark(corpus, serve):
    site = serve(paged(TAG, {"天气": items(8, 9, 10, 11)}, size=2))
    corpus.crawl(TAG.source(site))
    site.asks.clear()
    corpus.crawl(TAG.source(site))
    assert [ask.params["since_id"] for ask in site.asks] == ["11"]


def test_sources_of_one_database_know_nothing_of_each_other(corpus, serve):
    found = {"天气": items(1, 2, 3)}
    site = serve(paged(TAG, found))
    corpus.crawl(TAG.source(site))
    rows = corpus.crawl(TAG.source(site) | {"name": "there"})
    assert len(rows) == 3
    assert rows == corpus.rows("here")


PRIVATE = ["nobody@example.org", "13800138000", "+86 138 0013 8000", "@nobody_at_all"]


@EVERY
def test_personal_data_of_a_post_is_never_on_the_disk(kind, corpus, serve):
    found = [Item(n, f"今天天气很好,联系 {one} 一起去。") for n, one in enumerate(PRIVATE, 1)]
    site = serve(paged(kind, {"天气": found[::-1]}))
    rows = corpus.crawl(kind.source(site), token=kind.token)
    assert ["联系 <" in row["admitted"].text for row in rows] == [True] * len(PRIVATE)
    stored = corpus.bytes_on_disk()
    assert [private for private in PRIVATE if private.encode() in stored] == []


@EVERY
def test_a_screened_text_leaves_its_hash_alone(kind, corpus, serve, monkeypatch):
    secret = "这里写着一个被拦下的句子"
    monkeypatch.setattr(screening, "screen", lambda text: "rule-x" if secret in text else None)
    found = [*items(2), Item(1, f"天气:{secret}。")]
    site = serve(paged(kind, {"天气": found}))
    rows = corpus.crawl(kind.source(site), token=kind.token)
    (stopped,) = [row["admitted"] for row in rows if row["admitted"].text is None]
    assert (stopped.drop_reason, stopped.drop_evidence) == ("screened", "rule rule-x")
    assert len(stopped.text_hash) == 32
    assert secret.encode() not in corpus.bytes_on_disk()


def test_a_post_that_was_taken_down_does_not_come_again(corpus, serve):
    site = serve(paged(KINDS["searxng"], {"天气": items(1, 2)}))
    source = KINDS["searxng"].source(site)
    first, _ = corpus.crawl(source)
    corpus.store.take_down({"here": [first["id"]]})
    again = {row["id"]: row["admitted"] for row in corpus.crawl(source)}
    assert (again[first["id"]].text, again[first["id"]].drop_reason) == (None, "takedown")


@pytest.mark.parametrize("by", ["url", "own id", "text"])
def test_what_was_taken_down_is_not_stored_when_it_comes_in_another_way(by, corpus, serve):
    two, one = items(1, 2)
    key = identity.post_id(one.text)
    marks = {"url": "https://x.com/i/status/1", "own id": "here:1", "text": key}
    site = serve(paged(KINDS["x recent"], {"天气": [two, one]}))
    rows = corpus.crawl(KINDS["x recent"].source(site), token="t", taken_down={marks[by]})
    found = {row["id"]: (row["admitted"].text, row["admitted"].drop_reason) for row in rows}
    assert found == {"1": (None, "takedown"), "2": (two.text, None)}
    assert one.text.encode() not in corpus.bytes_on_disk()


def test_a_failing_disk_leaves_page_and_cursor_together(corpus, serve, monkeypatch):
    found = {"天气": items(*range(1, 10))}
    site = serve(paged(TAG, found))
    whole = database.replace
    state = {"left": 3}

    def fails(connection, table, row):
        if table.name == "crawl_cursors":
            state["left"] -= 1
            if not state["left"]:
                raise sqlite3.OperationalError("disk I/O error")
        whole(connection, table, row)

    monkeypatch.setattr(database, "replace", fails)
    with pytest.raises((sqlite3.OperationalError, dg.Failure)):
        corpus.crawl(TAG.source(site))
    assert corpus.numbers() == [4, 5, 6, 7, 8, 9]
    corpus.crawl(TAG.source(site))
    assert corpus.numbers() == list(range(1, 10))
