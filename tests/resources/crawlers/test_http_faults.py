"""Answers that are none: who is to blame is told, and what was brought stays."""

import time

import dagster as dg
import pytest

from tests.resources.crawlers.crawling import (
    COOKING,
    KINDS,
    TOKEN,
    TRAVEL,
    WEATHER,
    asked_about,
    paged,
)
from tests.resources.crawlers.fake_sites import Raw, Reply, items

pytestmark = pytest.mark.enable_socket
EVERY = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
TAG = KINDS["mastodon by hashtag"]
FOUND = {"天气": items(*range(1, 8))}


def after(count, answer, kind=TAG, found=FOUND):
    """A script: pages of posts, and from request `count` + 1 on what `answer(nth)` gives."""
    seen = []

    def script(ask):
        seen.append(ask)
        nth = len(seen) - count
        given = answer(nth) if nth > 0 else None
        return paged(kind, found)(ask) if given is None else given

    return script


def fails(corpus, source, *words, token=TOKEN):
    """The crawl fails with one message that names source, way out, and these words."""
    with pytest.raises(dg.Failure) as caught:
        corpus.crawl(source, token=token)
    told = str(caught.value.description)
    for word in ("'here'", "enabled: false", *words):
        assert word in told
    assert TOKEN not in told
    assert "\n" not in told
    return told


@EVERY
@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_told_at_once_and_what_was_brought_stays(
    kind, status, corpus, serve
):
    site = serve(after(1, lambda _: Reply(status, "no"), kind))
    fails(corpus, kind.source(site), site.host, f"HTTP {status}", "not authorised")
    assert len(site.asks) == 2
    assert corpus.numbers() == [5, 6, 7]


@EVERY
def test_a_token_never_stands_in_the_database(kind, corpus, serve):
    site = serve(after(2, lambda _: Reply(401, f"bad token {TOKEN}"), kind))
    fails(corpus, kind.source(site))
    assert TOKEN.encode() not in corpus.bytes_on_disk()


@EVERY
def test_the_crawl_goes_on_where_it_failed_once_the_cause_is_mended(kind, corpus, serve):
    site = serve(after(2, lambda _: Reply(403, "no"), kind))
    fails(corpus, kind.source(site))
    site.script, before = paged(kind, FOUND), len(site.asks)
    corpus.crawl(kind.source(site), token=TOKEN)
    assert corpus.numbers() == [1, 2, 3, 4, 5, 6, 7]
    assert site.asks[before].params == site.asks[before - 1].params


@pytest.mark.parametrize("name", ["x recent", "x archive", "weibo mobile", "weibo official"])
def test_missing_credentials_are_told_in_one_sentence_before_anything_is_asked(name, corpus, serve):
    site = serve(lambda ask: {})
    variable = "WEIBO_TOKEN" if "weibo" in name else "X_BEARER_TOKEN"
    told = fails(corpus, KINDS[name].source(site), variable, token=None)
    assert told.count(". ") == 0
    assert site.asks == []


def test_quora_is_refused_with_the_way_out(corpus):
    source = {"name": "here", "kind": "quora", "enabled": True}
    fails(corpus, source, "Quora", "`files`", token=None)


@pytest.mark.parametrize(
    ("headers", "waited"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"x-rate-limit-reset": "1000030"}, 30.0),
        ({"x-rate-limit-reset": "999000"}, 0.0),
        ({"retry-after": "Mon, 12 Jan 1970 13:47:00 GMT"}, 20.0),
        ({"retry-after": "7", "x-rate-limit-reset": "1000030"}, 7.0),
        ({"x-ratelimit-reset": "1970-01-12T13:47:10.000Z"}, 30.0),
        ({"ratelimit-reset": "1000030"}, 30.0),
        ({"ratelimit-reset": "30"}, 30.0),
        ({"retry-after": "soon"}, 1.0),
        ({}, 1.0),
    ],
)
def test_too_many_requests_are_waited_for_as_long_as_the_source_says(
    headers, waited, corpus, serve, waits, monkeypatch
):
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    site = serve(after(1, lambda nth: Reply(429, "", headers) if nth == 1 else None))
    corpus.crawl(TAG.source(site))
    assert corpus.numbers() == [1, 2, 3, 4, 5, 6, 7]
    assert waits == [pytest.approx(waited, abs=1.0)]


RESET = {
    "x": {"x-rate-limit-reset": "1000030"},
    "mastodon": {"x-ratelimit-reset": "1970-01-12T13:47:10.000Z"},
    "bluesky": {"ratelimit-reset": "1000030"},
}


@EVERY
def test_every_source_waits_for_the_reset_that_it_names_and_loses_no_page(
    kind, corpus, serve, waits, monkeypatch
):
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    headers = RESET.get(kind.settings["kind"], {"retry-after": "30"})
    site = serve(after(1, lambda nth: Reply(429, "", headers) if nth == 1 else None, kind))
    corpus.crawl(kind.source(site), token=kind.token)
    assert corpus.numbers() == [1, 2, 3, 4, 5, 6, 7]
    assert waits == [pytest.approx(30.0, abs=1.0)]


@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_beyond_the_longest_fails_at_once_and_keeps_what_was_brought(
    status, corpus, serve, waits
):
    site = serve(after(1, lambda _: Reply(status, "", {"retry-after": "7200"})))
    fails(corpus, TAG.source(site), site.host, f"HTTP {status}", "7,200 s", "again")
    assert (len(site.asks), waits) == (2, [])
    assert corpus.numbers() == [5, 6, 7]


@pytest.mark.parametrize(
    ("kind", "status"),
    [*((kind, 500) for kind in KINDS.values()), *((TAG, n) for n in (408, 425, 502, 503, 504))],
)
def test_a_passing_fault_is_asked_again(kind, status, corpus, serve):
    site = serve(after(1, lambda nth: Reply(status, "busy") if nth == 1 else None, kind))
    corpus.crawl(kind.source(site), token=kind.token)
    assert corpus.numbers() == [1, 2, 3, 4, 5, 6, 7]


def test_a_lasting_fault_fails_after_the_attempts(corpus, serve, waits):
    site = serve(after(1, lambda _: Reply(500, "down")))
    fails(corpus, TAG.source(site), site.host, "HTTP 500")
    assert (len(site.asks), waits[:2]) == (4, [1.0, 2.0])
    assert corpus.numbers() == [5, 6, 7]


def hang(site_of):
    """Nothing at all, until the site closes."""

    def pieces():
        site_of().closing.wait(10)
        yield b""

    return Raw(pieces)


def trickle(site_of):
    """A body that goes on for ever, a byte at a time."""

    def pieces():
        yield b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n["
        while not site_of().closing.wait(0.05):
            yield b" "

    return Raw(pieces)


@pytest.mark.parametrize("how", [hang, trickle])
def test_a_site_that_never_ends_an_answer_is_given_up(how, corpus, serve):
    site = serve(after(1, lambda _: how(lambda: site)))
    source = TAG.source(site, {"timeout_s": 0.3, "attempts": 2})
    began = time.monotonic()
    fails(corpus, source, site.host, "0.3 s")
    assert time.monotonic() - began < 5
    assert corpus.numbers() == [5, 6, 7]


GARBAGE = {
    "another protocol": b"SSH-2.0-nobody\r\n",
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\ncontent-le",
    "half a body": b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[",
    "a broken chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    "no status": b"HTTP/1.1 what\r\n\r\n",
    "broken compression": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n[]",
    "an endless header": b"HTTP/1.1 200 OK\r\nx: " + b"a" * 100_000 + b"\r\n\r\n[]",
}


@pytest.mark.parametrize("sent", GARBAGE.values(), ids=GARBAGE)
def test_what_is_not_http_fails_clearly_after_the_attempts(sent, corpus, serve):
    site = serve(after(1, lambda _: Raw(lambda: iter([sent]))))
    fails(corpus, TAG.source(site), site.host)
    assert corpus.numbers() == [5, 6, 7]


def test_a_site_that_is_not_there_fails_clearly(corpus, serve):
    site = serve(lambda ask: [])
    source = TAG.source(site) | {"url": "http://127.0.0.1:9"}
    source["limits"]["private_hosts"] = ["127.0.0.1:9"]
    fails(corpus, source, "127.0.0.1:9")


@EVERY
def test_a_page_in_place_of_json_is_told(kind, corpus, serve):
    site = serve(after(1, lambda _: Reply(200, "<html>log in</html>"), kind))
    fails(corpus, kind.source(site), site.host, "text/html", "instead of JSON")
    assert corpus.numbers() == [5, 6, 7]


@pytest.mark.parametrize("body", ["", "{", "[" * 100_000, "1" * 5000, b"\xff\xfe\x00", "nonsense"])
def test_broken_json_is_told(body, corpus, serve):
    site = serve(after(1, lambda _: Reply(200, body)))
    fails(corpus, TAG.source(site), site.host, "instead of JSON")


@EVERY
def test_a_query_that_a_site_rejects_stops_no_other(kind, corpus, serve):
    found = {"做饭": items(1, 2, about="做饭")}
    pages = paged(kind, found)
    site = serve(lambda ask: Reply(400, "") if asked_about(ask) == "天气" else pages(ask))
    corpus.crawl(kind.source(site), WEATHER, COOKING, token=kind.token)
    assert corpus.numbers() == [1, 2]
    (reject,) = corpus.rejects
    assert (reject.source, reject.line) == ("here", 1)
    assert "HTTP 400" in reject.reason


@EVERY
def test_a_site_that_rejects_every_query_fails(kind, corpus, serve):
    site = serve(lambda ask: Reply(400, ""))
    with pytest.raises(dg.Failure, match="HTTP 400"):
        corpus.crawl(kind.source(site), WEATHER, COOKING, token=kind.token)


@EVERY
@pytest.mark.parametrize("to", ["127.0.0.1", "169.254.169.254"])
def test_a_redirect_of_an_api_answer_is_refused(kind, to, corpus, serve):
    other = serve(lambda ask: [])
    there = f"{to}:{other.port}"
    away = Reply(302, "", {"location": f"http://{there}/elsewhere?a=b"})
    site = serve(after(1, lambda _: away, kind))
    fails(corpus, kind.source(site), site.host, "redirects to", f"{there}/elsewhere")
    assert (other.asks, len(site.asks), corpus.numbers()) == ([], 2, [5, 6, 7])


@pytest.mark.parametrize("location", ["http://[", "//[x", "", "http://a b/", "javascript:1"])
def test_a_redirect_to_nowhere_fails_clearly(location, corpus, serve):
    site = serve(lambda ask: Reply(302, "", {"location": location}))
    fails(corpus, TAG.source(site), site.host)


@pytest.mark.parametrize("host", ["127.0.0.1", "search", "search:port", "no-such-host.invalid:80"])
def test_a_private_host_that_cannot_be_read_fails_clearly(host, corpus, serve):
    site = serve(lambda ask: [])
    fails(corpus, TAG.source(site, {"private_hosts": [host]}), host)


@pytest.mark.parametrize("token", [f"{TOKEN}\n", f"{TOKEN}天"])
def test_a_token_that_no_header_can_carry_fails_clearly(token, corpus, serve):
    site = serve(lambda ask: [])
    fails(corpus, TAG.source(site), token=token)


@EVERY
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_private_address_that_nobody_named_is_refused_with_the_mend(kind, name, corpus, serve):
    site = serve(lambda ask: [])
    source = kind.source(site, {"private_hosts": []}) | {"url": f"http://{name}:{site.port}"}
    told = fails(corpus, source, "private address")
    assert "limits.private_hosts" in told
    assert site.asks == []


@EVERY
@pytest.mark.parametrize("status", [402, 405, 410, 418, 432, 451])
def test_a_refusal_of_whoever_asks_ends_the_crawl_and_leaves_the_pass_open(
    kind, status, corpus, serve
):
    site = serve(after(1, lambda _: Reply(status, "no"), kind, {"天气": items(*range(1, 3))}))
    told = fails_on(corpus, kind.source(site), WEATHER, COOKING, TRAVEL)
    assert f"HTTP {status}" in told
    assert told.count("HTTP") == 1
    assert len(site.asks) == 2
    assert [row.finished for row in corpus.table("crawl_passes")] == [0]


def fails_on(corpus, source, *keywords):
    with pytest.raises(dg.Failure) as caught:
        corpus.crawl(source, *keywords, token=TOKEN)
    return str(caught.value.description)


@pytest.mark.parametrize("name", ["ExpiredToken", "InvalidToken", "AuthMissing"])
def test_a_token_that_ran_out_is_no_fault_of_the_query(name, corpus, serve):
    kind = KINDS["bluesky"]
    site = serve(lambda ask: Reply(400, f'{{"error": "{name}", "message": "x"}}'))
    told = fails_on(corpus, kind.source(site), WEATHER, COOKING)
    assert "not authorised" in told
    assert len(site.asks) == 1
