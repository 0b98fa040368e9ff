"""Pages behind search results: which are fetched, which never, and what a changed one brings."""

import time

import pytest

from tests.resources.crawlers import fake_sites
from tests.resources.crawlers.crawling import KINDS, TOKEN
from tests.resources.crawlers.fake_sites import Raw, Reply, items

pytestmark = pytest.mark.enable_socket
BODY = "今天天气很好,我们去公园走了很久,路上看见许多人在放风筝。" * 4
SNIPPET = items(1)[0].text


def page(text=BODY, **headers):
    """A page of text, as a site gives it."""
    html = f"<html><body><nav>首页</nav><article><h1>天气</h1><p>{text}</p></article></body></html>"
    return Reply(200, html, {name.replace("_", "-"): value for name, value in headers.items()})


def search(*urls):
    """A script of an instance that finds these addresses for every query."""
    (item,) = items(1)
    found = {"results": [fake_sites.result(item, url=url) for url in urls]}
    return lambda ask: found if ask.params["pageno"] == "1" else {"results": []}


def crawl(corpus, instance, *sites, **limits):
    """Texts by address after a crawl that may ask the instance and these sites."""
    hosts = [instance.host, *(site.host for site in sites)]
    source = KINDS["searxng"].source(
        instance, {"private_hosts": hosts, "attempts": 2, **limits}, fetch_pages=True
    )
    return {row["url"]: row["admitted"].text for row in corpus.crawl(source)}


def robots(answer, then=None):
    """A script of a site with this robots.txt."""
    return lambda ask: answer if ask.path == "/robots.txt" else (then or page())


def test_the_page_stands_for_its_result_without_navigation(corpus, serve):
    site = serve(robots(Reply(404)))
    texts = crawl(corpus, serve(search(f"{site.url}/one")), site)
    (text,) = texts.values()
    assert BODY[:20] in text
    assert "首页" not in text
    assert site.paths == ["/robots.txt", "/one"]


@pytest.mark.parametrize(
    ("answer", "fetched"),
    [
        (Reply(200, "User-agent: *\nDisallow: /one"), False),
        (Reply(200, "User-agent: chillguard\nDisallow: /"), False),
        (Reply(200, "User-agent: *\nDisallow: /two"), True),
        (Reply(200, ""), True),
        (Reply(404), True),
        (Reply(403), True),
        (Reply(500), False),
        (Reply(503, "", {"retry-after": "99999"}), False),
        (Reply(304), False),
        (Reply(200, b"\xff\xfe\x00Disallow"), True),
    ],
)
def test_robots_txt_decides_whether_a_page_is_fetched(answer, fetched, corpus, serve):
    site = serve(robots(answer))
    (text,) = crawl(corpus, serve(search(f"{site.url}/one")), site).values()
    assert ("/one" in site.paths) == fetched
    assert (text == SNIPPET) == (not fetched)


def test_robots_txt_is_read_once_for_a_site(corpus, serve):
    site = serve(robots(Reply(200, "")))
    crawl(corpus, serve(search(f"{site.url}/one", f"{site.url}/two")), site)
    assert site.paths == ["/robots.txt", "/one", "/two"]


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "127.1", "0x7f000001", "2130706433"])
@pytest.mark.parametrize("by", ["result", "redirect", "robots"])
def test_a_private_address_is_never_connected_to(name, by, corpus, serve):
    inner = serve(lambda ask: page("内部的页面。" * 20))
    there = f"http://{name}:{inner.port}/secret"
    away = Reply(302, "", {"location": there})
    site = serve(robots(away if by == "robots" else Reply(404), page() if by == "robots" else away))
    first = there if by == "result" else f"{site.url}/one"
    (text,) = crawl(corpus, serve(search(first)), site).values()
    assert inner.asks == []
    assert text == SNIPPET


@pytest.mark.parametrize(
    "where",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]:80/",
        "http://[::ffff:127.0.0.1]:80/",
        "http://0.0.0.0:80/",
        "http://10.0.0.1/",
        "file:///etc/hostname",
        "ftp://127.0.0.1/",
        "javascript:1",
        "http://[broken",
        "http://127.0.0.1:99999/",
        "http://a..b/",
        "http://a b/",
        "//127.0.0.1/",
        "relative",
        "http://",
    ],
)
@pytest.mark.parametrize("by", ["result", "redirect"])
def test_an_address_that_leads_nowhere_public_leaves_the_snippet(where, by, corpus, serve):
    away = Reply(302, "", {"location": where})
    site = serve(lambda ask: away if ask.path == "/one" else Reply(404))
    first = where if by == "result" else f"{site.url}/one"
    good = serve(robots(Reply(404)))
    texts = crawl(corpus, serve(search(first, f"{good.url}/good")), site, good)
    assert texts[first] == SNIPPET
    assert BODY[:20] in texts[f"{good.url}/good"]


def endless():
    """A page without an end."""
    yield b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n"
    for _ in range(100):
        yield b"<p>x</p>" * 10_000


NO_PAGE = {
    "missing": Reply(404, "no"),
    "gone wrong": Reply(500, "no"),
    "not modified though never read": Reply(304),
    "a picture": Reply(200, b"\x89PNG", {"content-type": "image/png"}),
    "no HTTP": Raw(lambda: iter([b"SSH-2.0-nobody\r\n"])),
    "broken compression": Reply(200, b"no", {"content-encoding": "gzip"}),
    "endless": Raw(endless),
    "a charset that is none of text": Reply(200, "x", {"content-type": "text/html; charset=hex"}),
    "a charset that fails": Reply(200, "x", {"content-type": "text/html; charset=undefined"}),
    "an unknown charset": Reply(200, "", {"content-type": "text/html; charset=nobody"}),
    "a broken charset": Reply(200, "x.-", {"content-type": "text/html; charset=punycode"}),
    "nothing": Reply(200, ""),
    "a redirect in a ring": Reply(302, "", {"location": "/one"}),
    "a redirect without a place": Reply(302, ""),
    "many requests": Reply(429, "", {"retry-after": "99999"}),
    "a login": Reply(401, "no"),
}


@pytest.mark.parametrize("answer", NO_PAGE.values(), ids=NO_PAGE)
def test_a_page_that_is_none_leaves_the_snippet_and_the_crawl_goes_on(answer, corpus, serve):
    bad = serve(robots(Reply(404), answer))
    good = serve(robots(Reply(404)))
    texts = crawl(
        corpus,
        serve(search(f"{bad.url}/one", f"{good.url}/good")),
        bad,
        good,
        max_body_bytes=500_000,
    )
    assert texts.get(f"{bad.url}/one") == SNIPPET
    assert BODY[:20] in texts[f"{good.url}/good"]


@pytest.mark.parametrize(
    ("charset", "told"),
    [
        *((charset, "header") for charset in ("gbk", "gb18030", "big5", "utf-8", "utf-16")),
        *((charset, "meta") for charset in ("gbk", "gb18030", "big5", "utf-8")),
    ],
)
def test_a_page_is_read_in_the_charset_that_it_names(charset, told, corpus, serve):
    text = "公園的天氣很好" * 20 if charset == "big5" else BODY
    meta = f'<meta charset="{charset}">' if told == "meta" else ""
    html = f"<html><head>{meta}</head><body><article><p>{text}</p></article></body></html>"
    kind = "text/html" + (f"; charset={charset}" if told == "header" else "")
    site = serve(robots(Reply(404), Reply(200, html.encode(charset), {"content-type": kind})))
    (found,) = crawl(corpus, serve(search(f"{site.url}/one")), site).values()
    assert text[:20] in found


@pytest.mark.parametrize(
    ("name", "value", "asked"),
    [
        ("etag", '"v1"', "if-none-match"),
        ("last_modified", "Sat, 21 Nov 2026 09:00:00 GMT", "if-modified-since"),
    ],
)
def test_an_unchanged_page_adds_nothing_and_a_changed_one_adds_a_post(
    name, value, asked, corpus, serve
):
    def script(ask):
        if ask.path == "/robots.txt":
            return Reply(404)
        return Reply(304) if ask.headers.get(asked) == value else page(**{name: value})

    site = serve(script)
    instance = serve(search(f"{site.url}/one"))
    crawl(corpus, instance, site)
    assert len(corpus.rows()) == 1
    crawl(corpus, instance, site)
    assert site.asks[-1].headers[asked] == value
    assert len(corpus.rows()) == 1
    site.script = robots(Reply(404), page("后来下雨了。" * 20, **{name: value + "2"}))
    crawl(corpus, instance, site)
    assert len(corpus.rows()) == 2
    crawl(corpus, instance, site)
    assert site.asks[-1].headers[asked] == value + "2"
    assert len(corpus.rows()) == 2


def test_a_page_that_cannot_be_read_for_once_adds_no_second_post(corpus, serve):
    site = serve(robots(Reply(404)))
    instance = serve(search(f"{site.url}/one"))
    crawl(corpus, instance, site)
    site.script = robots(Reply(404), Reply(500))
    crawl(corpus, instance, site)
    assert len(corpus.rows()) == 1


def test_unchanged_pages_end_the_second_pass_after_one_page_of_results(corpus, serve):
    site = serve(
        lambda ask: (
            Reply(404)
            if ask.path == "/robots.txt"
            else Reply(304)
            if "if-none-match" in ask.headers
            else page(etag='"1"')
        )
    )
    (item,) = items(1)
    instance = serve(
        lambda ask: {"results": [fake_sites.result(item, url=f"{site.url}/{ask.params['pageno']}")]}
    )
    source = KINDS["searxng"].source(
        instance, {"private_hosts": [instance.host, site.host]}, fetch_pages=True, max_pages=4
    )
    corpus.crawl(source)
    instance.asks.clear()
    corpus.crawl(source)
    assert len(instance.asks) == 1


def test_a_followed_redirect_is_asked_without_a_body(corpus, serve):
    away = Reply(302, "", {"location": "/two"})
    site = serve(lambda ask: {"/one": away, "/two": page()}.get(ask.path, Reply(404)))
    (text,) = crawl(corpus, serve(search(f"{site.url}/one")), site).values()
    assert BODY[:20] in text
    assert site.paths == ["/robots.txt", "/one", "/two"]
    assert not any("transfer-encoding" in ask.headers for ask in site.asks)


def test_a_redirect_to_a_host_whose_robots_txt_bars_the_page_is_not_followed(corpus, serve):
    other = serve(robots(Reply(200, "User-agent: *\nDisallow: /two")))
    away = Reply(302, "", {"location": f"{other.url}/two"})
    site = serve(robots(Reply(404), away))
    (text,) = crawl(corpus, serve(search(f"{site.url}/one")), site, other).values()
    assert text == SNIPPET
    assert other.paths == ["/robots.txt"]


def test_redirects_end_at_their_number(corpus, serve):
    hops = iter(range(99))
    site = serve(
        lambda ask: (
            Reply(404)
            if ask.path == "/robots.txt"
            else Reply(302, "", {"location": f"/{next(hops)}"})
        )
    )
    (text,) = crawl(corpus, serve(search(f"{site.url}/one")), site, max_redirects=2).values()
    assert text == SNIPPET
    assert len(site.paths) == 1 + 3


@pytest.mark.parametrize(("delay", "read"), [("0.5", 2), ("86400", 0), ("soon", 2)])
def test_pages_come_no_faster_than_robots_txt_asks(delay, read, corpus, serve):
    site = serve(robots(Reply(200, f"User-agent: *\nCrawl-delay: {delay}")))
    began = time.monotonic()
    texts = crawl(corpus, serve(search(f"{site.url}/one", f"{site.url}/two")), site)
    assert delay != "0.5" or time.monotonic() - began > 0.49
    assert len(site.paths) == 1 + read
    assert [text == SNIPPET for text in texts.values()] == [not read] * 2


def test_headers_of_the_api_never_go_to_a_page(corpus, serve):
    site = serve(robots(Reply(404)))
    instance = serve(search(f"{site.url}/one"))
    source = KINDS["searxng"].source(
        instance, {"private_hosts": [instance.host, site.host]}, fetch_pages=True
    )
    corpus.crawl(source, token=TOKEN)
    assert {ask.headers.get("authorization") for ask in site.asks} == {None}
    assert {ask.headers.get("authorization") for ask in instance.asks} == {f"Bearer {TOKEN}"}
