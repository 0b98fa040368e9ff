"""JSON of another shape than the documented: told clearly, or read as far as it goes."""

import contextlib

import dagster as dg
import pytest

from tests.resources.crawlers import fake_sites
from tests.resources.crawlers.crawling import KINDS, TOKEN
from tests.resources.crawlers.fake_sites import items

pytestmark = pytest.mark.enable_socket
EVERY = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
POST = {
    "mastodon by hashtag": fake_sites.status,
    "mastodon by search": fake_sites.status,
    "bluesky": fake_sites.bluesky_post,
    "x recent": fake_sites.tweet,
    "searxng": fake_sites.result,
    "weibo mobile": fake_sites.mblog,
    "weibo official": fake_sites.mblog,
}
WRAP = {
    "mastodon by hashtag": lambda posts: posts,
    "mastodon by search": lambda posts: {"statuses": posts},
    "bluesky": lambda posts: {"posts": posts},
    "x recent": lambda posts: {"data": posts, "meta": {"newest_id": "1"}},
    "searxng": lambda posts: {"results": posts},
    "weibo mobile": lambda posts: {
        "ok": 1,
        "data": {"cards": [{"card_type": 9, "mblog": post} for post in posts]},
    },
    "weibo official": lambda posts: {"statuses": posts},
}
KEY = {"bluesky": "uri", "searxng": "url"}


def crawl(name, corpus, serve, answer):
    """Rows of one page; a crawl that fails must fail with one message."""
    kind = KINDS[name]
    site = serve(lambda ask: answer)
    try:
        return corpus.crawl(kind.source(site, max_pages=1), token=TOKEN)
    except dg.Failure as failure:
        told = str(failure.description)
        assert "'here'" in told
        assert "enabled: false" in told
        assert site.host in told
        raise


@EVERY
@pytest.mark.parametrize("answer", [None, 7, "text", True, [None], [7], [[]], [{}]])
def test_a_document_of_another_kind_fails_clearly(kind, answer, corpus, serve):
    name = next(name for name, one in KINDS.items() if one is kind)
    with pytest.raises(dg.Failure):
        crawl(name, corpus, serve, answer)


@pytest.mark.parametrize("name", [name for name in POST if name != "mastodon by hashtag"])
@pytest.mark.parametrize("inside", [{"of": "another kind"}, "text", 7, True])
def test_something_else_in_the_place_of_the_list_fails_clearly(name, inside, corpus, serve):
    answer = WRAP[name]([])
    if name == "weibo mobile":
        answer = {"ok": 1, "data": {"cards": inside}}
    else:
        answer |= {key: inside for key in ("statuses", "posts", "data", "results") if key in answer}
    with pytest.raises(dg.Failure):
        crawl(name, corpus, serve, answer)


@pytest.mark.parametrize("data", [[1], "text", 7])
def test_weibo_data_of_another_kind_fails_clearly(data, corpus, serve):
    with pytest.raises(dg.Failure):
        crawl("weibo mobile", corpus, serve, {"ok": 1, "data": data})


@pytest.mark.parametrize("card", [None, 7, "text", [], {"card_type": 11, "card_group": 7}])
def test_weibo_cards_of_another_kind_fail_clearly(card, corpus, serve):
    answer = {"ok": 1, "data": {"cards": [card]}}
    with pytest.raises(dg.Failure):
        crawl("weibo mobile", corpus, serve, answer)


@pytest.mark.parametrize("name", POST)
@pytest.mark.parametrize("post", [None, 7, "text", [], {}])
def test_a_post_that_is_none_fails_clearly(name, post, corpus, serve):
    left_out = name == "weibo mobile" or (name == "searxng" and post == {})
    if left_out and not post:
        assert crawl(name, corpus, serve, WRAP[name]([post])) == []
        return
    with pytest.raises(dg.Failure):
        crawl(name, corpus, serve, WRAP[name]([post]))


@pytest.mark.parametrize("name", [name for name in POST if name != "searxng"])
def test_a_post_without_an_id_fails_clearly_and_leaves_no_row(name, corpus, serve):
    good, bad = (POST[name](item) for item in items(2, 1))
    del bad[KEY.get(name, "id")]
    with pytest.raises(dg.Failure):
        crawl(name, corpus, serve, WRAP[name]([good, bad]))
    assert corpus.rows() == []


OPTIONAL = {
    "mastodon by hashtag": ("content", "url", "created_at", "language", "reblog"),
    "mastodon by search": ("content", "url", "created_at", "language", "reblog"),
    "bluesky": ("record", "indexedAt"),
    "x recent": ("text", "created_at", "lang"),
    "searxng": ("title", "content", "publishedDate"),
    "weibo mobile": ("text", "created_at"),
    "weibo official": ("text", "created_at"),
}


@pytest.mark.parametrize(
    ("name", "field"), [(name, field) for name, fields in OPTIONAL.items() for field in fields]
)
@pytest.mark.parametrize("how", ["null", "absent"])
def test_a_null_or_absent_field_costs_that_field_alone(name, field, how, corpus, serve):
    good, poor = (POST[name](item) for item in items(2, 1))
    poor = {key: value for key, value in poor.items() if key != field}
    if how == "null":
        poor[field] = None
    rows = crawl(name, corpus, serve, WRAP[name]([good, poor]))
    there = {row["url"] and row["url"].rpartition("/")[2] for row in rows}
    without_text = name == "searxng" and field == "title"
    assert there == ({"2"} if without_text else {"1", "2"})


ODD = [7, True, ["x"], {}, {"a": 1}, "", "\ud800", "\x00", "0001-01-01T00:00:00+08:00"]


@pytest.mark.parametrize(
    ("name", "field"),
    [
        (name, field)
        for name in ("mastodon by hashtag", "bluesky", "x recent", "searxng", "weibo official")
        for field in OPTIONAL[name]
        if field != "reblog"
    ],
)
@pytest.mark.parametrize("value", ODD, ids=repr)
def test_a_field_of_another_kind_is_told_or_does_no_harm(name, field, value, corpus, serve):
    good, odd = (POST[name](item) for item in items(2, 1))
    try:
        rows = crawl(name, corpus, serve, WRAP[name]([good, odd | {field: value}]))
    except dg.Failure:
        return
    assert 1 <= len(rows) <= 2
    for row in rows:
        for column in ("id", "url", "posted_at", "lang"):
            assert row[column] is None or isinstance(row[column], str)
            assert "\x00" not in (row[column] or "")
        assert "\x00" not in (row["admitted"].text or "")


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field in ("text", "createdAt", "langs") for value in ODD],
    ids=repr,
)
def test_a_bluesky_record_of_another_kind_is_told_or_does_no_harm(field, value, corpus, serve):
    odd = fake_sites.bluesky_post(items(1)[0], **{field: value})
    try:
        (row,) = crawl("bluesky", corpus, serve, {"posts": [odd]})
    except dg.Failure:
        return
    assert row["lang"] is None or row["lang"].isprintable()


@pytest.mark.parametrize("name", [name for name in POST if name not in KEY])
@pytest.mark.parametrize("value", [7, "7"])
def test_an_id_is_text_whether_the_site_writes_a_number_or_not(name, value, corpus, serve):
    post = POST[name](items(1)[0]) | {"id": value}
    (row,) = crawl(name, corpus, serve, WRAP[name]([post]))
    assert row["id"] == "7"


@pytest.mark.parametrize("value", [None, [], {}, True])
@pytest.mark.parametrize("name", [name for name in POST if name != "searxng"])
def test_an_id_that_is_none_fails_clearly(name, value, corpus, serve):
    post = POST[name](items(1)[0]) | {KEY.get(name, "id"): value}
    with pytest.raises(dg.Failure):
        crawl(name, corpus, serve, WRAP[name]([post]))


@pytest.mark.parametrize("cursor", [7, [], ["x"], {}, {"a": 1}, True, ""])
@pytest.mark.parametrize("name", ["bluesky", "x recent"])
def test_a_cursor_of_another_kind_ends_the_query_or_fails_clearly(name, cursor, corpus, serve):
    kind, post = KINDS[name], POST[name](items(1)[0])
    meta = {"newest_id": "1", "next_token": cursor}
    answer = {"posts": [post], "cursor": cursor, "data": [post], "meta": meta}
    site = serve(lambda ask: answer)
    with contextlib.suppress(dg.Failure):
        corpus.crawl(kind.source(site), token=TOKEN)
    assert len(site.asks) <= 4


@pytest.mark.parametrize("mark", [7, [], {}, True])
def test_a_newest_mark_of_another_kind_is_told_or_does_no_harm(mark, corpus, serve):
    post = fake_sites.tweet(items(1)[0])
    answer = {"data": [post], "meta": {"newest_id": mark}}
    try:
        crawl("x recent", corpus, serve, answer)
        crawl("x recent", corpus, serve, answer)
    except dg.Failure:
        return


def test_ok_other_than_one_on_the_first_weibo_page_is_told(corpus, serve):
    with pytest.raises(dg.Failure, match="logged out"):
        crawl("weibo mobile", corpus, serve, {"ok": -100, "url": "https://login.example"})


STUBS = [
    "今天的天气真不错，我们一起去公园…全文",
    '今天的天气真不错，我们一起去公园...<a href="/status/1">全文</a>',
    "今天的天气真不错，我们一起去公园 全文",
    "此微博已被作者删除",
    '抱歉，此微博已被作者删除。查看帮助：<a href="x">网页链接</a>',
    "该微博因被多人投诉，根据《微博社区公约》，已被删除。",
    "抱歉，作者已设置仅展示半年内微博，此微博已不可见。",
    "由于用户设置，你无权查看此微博",
]
WHOLE = ["有人说此微博已被作者删除，你们看到了吗", "请看公告全文", "阅读全文的方法有三种"]


@pytest.mark.parametrize("name", ["weibo mobile", "weibo official"])
def test_a_stub_of_weibo_is_no_post_and_is_told(name, corpus, serve):
    written = [*STUBS, *WHOLE]
    posts = [
        fake_sites.mblog(i, text=t) for i, t in zip(items(*range(1, 12)), written, strict=True)
    ]
    rows = crawl(name, corpus, serve, WRAP[name](posts))
    assert sorted(row["admitted"].text for row in rows) == sorted(WHOLE)
    assert any(f"{len(STUBS)} entries were no whole posts" in line for line in corpus.told)


def test_a_long_weibo_that_comes_whole_is_kept(corpus, serve):
    (item,) = items(1)
    long = {"longTextContent": "今天的天气真不错，我们一起去公园散步。"}
    post = fake_sites.mblog(item, text="今天的天气…全文", longText=long)
    (row,) = crawl("weibo mobile", corpus, serve, WRAP["weibo mobile"]([post]))
    assert row["admitted"].text == long["longTextContent"]


def test_of_a_long_post_of_x_the_whole_text_is_kept(corpus, serve):
    (item,) = items(1)
    post = fake_sites.tweet(item, text="今天的天气…", note_tweet={"text": "今天的天气真不错呀"})
    (row,) = crawl("x recent", corpus, serve, WRAP["x recent"]([post]))
    assert row["admitted"].text == "今天的天气真不错呀"
