"""What each site is asked, and which rows its answers become."""

import pytest

from tests.resources.crawlers import fake_sites
from tests.resources.crawlers.crawling import (
    COOKING,
    KINDS,
    TOKEN,
    TRAVEL,
    WEATHER,
    asked_about,
    paged,
)
from tests.resources.crawlers.fake_sites import Item, items

pytestmark = pytest.mark.enable_socket
EVERY = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
TOLD_LANGUAGE = {"mastodon", "bluesky", "x"}


@EVERY
def test_several_pages_of_several_queries_become_rows(kind, corpus, serve):
    found = {"天气": items(*range(1, 8)), "做饭": items(*range(11, 15), about="做饭")}
    site = serve(paged(kind, found))
    rows = corpus.crawl(kind.source(site), WEATHER, COOKING, TRAVEL, token=kind.token)
    assert corpus.rejects == []
    wanted = {
        item.number: (item.text, item.iso, key)
        for key, posts in [("kw-weather", found["天气"]), ("kw-cooking", found["做饭"])]
        for item in posts
    }
    got = {
        int(row["url"].rpartition("/")[2]): (
            row["admitted"].text,
            row["posted_at"],
            row["keyword_id"],
        )
        for row in rows
    }
    assert got == wanted
    told = "zh" if kind.settings["kind"] in TOLD_LANGUAGE else None
    assert {row["lang"] for row in rows} == {told}
    assert len({row["id"] for row in rows}) == len(rows)


@EVERY
def test_an_empty_site_leaves_no_row_and_no_reject(kind, corpus, serve):
    site = serve(paged(kind, {}))
    assert corpus.crawl(kind.source(site), token=kind.token) == []
    assert (len(site.asks), corpus.rejects) == (1, [])


FIRST = {
    "mastodon by hashtag": ("/api/v1/timelines/tag/天气", {"limit": "40"}),
    "mastodon by search": (
        "/api/v2/search",
        {"q": "天气", "type": "statuses", "limit": "40", "offset": "0"},
    ),
    "bluesky": (
        "/xrpc/app.bsky.feed.searchPosts",
        {"q": "天气", "limit": "100", "lang": "zh", "sort": "latest"},
    ),
    "x recent": (
        "/2/tweets/search/recent",
        {
            "query": '"天气" lang:zh -is:retweet',
            "max_results": "100",
            "tweet.fields": "created_at,lang,note_tweet",
        },
    ),
    "x archive": (
        "/2/tweets/search/all",
        {
            "query": '"天气" lang:zh -is:retweet',
            "max_results": "500",
            "start_time": "2006-03-21T00:00:00Z",
            "tweet.fields": "created_at,lang,note_tweet",
        },
    ),
    "searxng": (
        "/search",
        {
            "q": "天气",
            "format": "json",
            "language": "zh-CN",
            "categories": "general",
            "pageno": "1",
        },
    ),
    "weibo mobile": (
        "/api/container/getIndex",
        {"containerid": "100103type=1&q=天气", "page_type": "searchall", "page": "1"},
    ),
    "weibo official": (
        "/2/search/statuses/limited.json",
        {"q": "天气", "page": "1", "count": "50"},
    ),
}
SECOND = {
    "mastodon by hashtag": {"max_id": "3"},
    "mastodon by search": {"offset": "40"},
    "bluesky": {"cursor": "2"},
    "x recent": {"next_token": "t2"},
    "x archive": {"next_token": "t2"},
    "searxng": {"pageno": "2"},
    "weibo mobile": {"page": "2"},
    "weibo official": {"page": "2"},
}


@pytest.mark.parametrize("name", KINDS)
def test_the_documented_parameters_are_sent_on_the_first_and_the_next_page(name, corpus, serve):
    kind = KINDS[name]
    site = serve(paged(kind, {"天气": items(1, 2, 3, 4)}, size=2))
    corpus.crawl(kind.source(site), token=kind.token)
    path, params = FIRST[name]
    first, second, *_ = site.asks
    assert (first.path, first.params) == (path, params)
    assert (second.path, second.params) == (path, params | SECOND[name])


SINCE = {
    "mastodon by hashtag": ("since_id", "4"),
    "bluesky": ("since", Item(4).iso),
    "x recent": ("since_id", "4"),
    "x archive": ("since_id", "4"),
}


@pytest.mark.parametrize("name", SINCE)
def test_the_second_pass_asks_from_the_newest_post_on(name, corpus, serve):
    kind = KINDS[name]
    site = serve(paged(kind, {"天气": items(1, 2, 3, 4)}))
    corpus.crawl(kind.source(site), token=kind.token)
    param, value = SINCE[name]
    assert [ask.params.get(param) for ask in site.asks] == [None] * len(site.asks)
    site.asks.clear()
    corpus.crawl(kind.source(site), token=kind.token)
    assert [ask.params.get(param) for ask in site.asks] == [value]


@pytest.mark.parametrize(
    ("name", "header", "value"),
    [
        ("mastodon by search", "authorization", f"Bearer {TOKEN}"),
        ("bluesky", "authorization", f"Bearer {TOKEN}"),
        ("x recent", "authorization", f"Bearer {TOKEN}"),
        ("weibo official", "authorization", f"OAuth2 {TOKEN}"),
        ("weibo mobile", "cookie", TOKEN),
    ],
)
def test_credentials_travel_in_the_header_of_the_source_alone(name, header, value, corpus, serve):
    kind = KINDS[name]
    site = serve(paged(kind, {"天气": items(1)}))
    corpus.crawl(kind.source(site), token=kind.token)
    assert {ask.headers[header] for ask in site.asks} == {value}
    assert TOKEN not in " ".join(f"{ask.path}{ask.params}" for ask in site.asks)
    assert {ask.headers["user-agent"] for ask in site.asks} == {"chillguard"}


@pytest.mark.parametrize("name", ["mastodon by hashtag", "bluesky", "searxng"])
def test_without_a_token_no_credentials_are_sent(name, corpus, serve):
    site = serve(paged(KINDS[name], {"天气": items(1)}))
    corpus.crawl(KINDS[name].source(site))
    assert not {"authorization", "cookie"} & {name for ask in site.asks for name in ask.headers}


@EVERY
def test_each_keyword_is_asked_in_each_language(kind, corpus, serve):
    site = serve(lambda ask: kind.answer(items(1), ask, 1))
    corpus.crawl(kind.source(site, languages=["zh", "en"]), token=kind.token)
    asked = {"en" if "weather" in str(ask) else asked_about(ask) for ask in site.asks}
    assert asked == {"en", "天气"}
    by_language = {"bluesky": ("lang", {"zh", "en"}), "searxng": ("language", {"zh-CN", "en"})}
    if told := by_language.get(kind.settings["kind"]):
        assert {ask.params[told[0]] for ask in site.asks} == told[1]
    if kind.settings["kind"] == "x":
        queries = {ask.params["query"] for ask in site.asks}
        assert queries == {
            f'"{q}" lang:{w} -is:retweet' for q, w in [("天气", "zh"), ("weather", "en")]
        }


def test_reblogs_of_mastodon_are_left_out_and_the_pages_after_them_still_read(corpus, serve):
    kind = KINDS["mastodon by hashtag"]
    own = items(*range(1, 7))

    def script(ask):
        page = fake_sites.mastodon_tag(own, ask, 2)
        return [one | {"reblog": one if int(one["id"]) in (6, 5, 3) else None} for one in page]

    corpus.crawl(kind.source(serve(script)))
    assert corpus.numbers() == [1, 2, 4]


@pytest.mark.parametrize(
    ("told", "kept"),
    [("zh-Hans-CN", "zh"), ("zh", "zh"), ("en-GB", "en"), (None, None), ("", None)],
)
@pytest.mark.parametrize("name", ["mastodon by hashtag", "bluesky", "x recent"])
def test_languages_are_kept_in_their_short_form(name, told, kept, corpus, serve):
    kind = KINDS[name]
    site = serve(paged(kind, {"天气": [Item(1, "今天天气很好", told)]}))
    (row,) = corpus.crawl(kind.source(site), token=kind.token)
    assert row["lang"] == kept


def test_groups_of_weibo_cards_are_looked_into_at_any_depth(corpus, serve):
    one, two, three = ({"card_type": 9, "mblog": fake_sites.mblog(i)} for i in items(1, 2, 3))
    nested = {"card_type": 11, "card_group": [two, {"card_type": 11, "card_group": [three]}]}
    cards = [{"card_type": 58}, {"card_type": 9}, one, nested, {"card_type": 11}]
    site = serve(
        lambda ask: {"ok": 1, "data": {"cards": cards if ask.params["page"] == "1" else []}}
    )
    corpus.crawl(KINDS["weibo mobile"].source(site), token=TOKEN)
    assert corpus.numbers() == [1, 2, 3]


HTML = "<p>今天<b>天气</b>很好。</p><p>带 &amp; 伞<br/>出门 <a href='https://example.org'>#旅行#</a></p>"


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("mastodon by hashtag", lambda item: [fake_sites.status(item, content=HTML)]),
        ("weibo official", lambda item: {"statuses": [fake_sites.mblog(item, text=HTML)]}),
        ("searxng", lambda item: {"results": [fake_sites.result(item, title="", content=HTML)]}),
    ],
)
def test_html_becomes_plain_text_with_its_line_breaks(name, more, corpus, serve):
    site = serve(lambda ask: more(items(1)[0]))
    kind = KINDS[name]
    (row,) = corpus.crawl(kind.source(site, max_pages=1), token=kind.token)
    assert row["admitted"].text == "今天天气很好。\n带 & 伞\n出门 #旅行#"
