"""Addresses that a crawler may connect to, charsets, times, and how limits of a crawl are told."""

import ipaddress
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.crawlers import network
from resources.crawlers.network import is_public
from tests.resources.crawlers.crawling import KINDS, TOKEN, WEATHER, paged
from tests.resources.crawlers.fake_sites import items

INNER = ["127.0.0.1", "10.0.0.7", "192.168.1.1", "169.254.169.254", "100.64.0.1"]


def _int(address):
    return int(ipaddress.IPv4Address(address))


WRAPPINGS = {
    "NAT64": lambda inner: ipaddress.IPv6Address((0x64FF9B << 96) | _int(inner)),
    "local NAT64": lambda inner: ipaddress.IPv6Address((0x64FF9B0001 << 80) | _int(inner)),
    "6to4": lambda inner: ipaddress.IPv6Address((0x2002 << 112) | (_int(inner) << 80) | 1),
    "Teredo": lambda inner: ipaddress.IPv6Address(
        (0x20010000 << 96) | (0x0808_0808 << 64) | (_int(inner) ^ 0xFFFFFFFF)
    ),
    "mapped": lambda inner: ipaddress.IPv6Address((0xFFFF << 32) | _int(inner)),
    "compatible": lambda inner: ipaddress.IPv6Address(_int(inner)),
}


@pytest.mark.parametrize("inner", [*INNER, "8.8.8.8"])
@pytest.mark.parametrize("wrapped", WRAPPINGS.values(), ids=WRAPPINGS)
def test_an_address_that_carries_another_is_not_public(wrapped, inner):
    assert not is_public(str(wrapped(inner)))


@pytest.mark.parametrize(
    "address",
    [*INNER, "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "ff0e::1", "224.0.0.1",
     "0.0.0.0", "255.255.255.255", "192.88.99.1"],
)  # fmt: skip
def test_an_inner_address_is_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111"])
def test_a_host_of_the_internet_is_public(address):
    assert is_public(address)


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"posts_per_query": 3}, "1 queries ended at `posts_per_query` (3)"),
        ({"max_pages": 1}, "or `max_pages` (1), and the source has more"),
        ({"max_requests": 1}, "`max_requests` (1) is used up: the next run goes on there"),
        ({}, None),
    ],
)
@pytest.mark.parametrize("name", ["x recent", "bluesky", "weibo mobile"])
def test_a_limit_that_kept_posts_away_is_told(name, more, told, corpus, serve):
    kind = KINDS[name]
    site = serve(paged(kind, {"天气": items(*range(1, 8))}))
    corpus.crawl(kind.source(site, **more), WEATHER, token=TOKEN)
    limits = [line for line in corpus.told if "queries," not in line]
    assert any(told in line for line in limits) if told else limits == []


def test_named_hosts_become_addresses_with_their_ports():
    assert network.addresses(["127.0.0.1:8080", "[::1]:9"]) == {("127.0.0.1", 8080), ("::1", 9)}
    assert network.addresses([]) == frozenset()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:", "127.0.0.1:http", ":x", ""])
def test_what_is_no_host_and_port_is_told_with_the_setting(host):
    with pytest.raises(ValueError, match=r"`limits\.private_hosts` has .* no host:port"):
        network.addresses([host])


@pytest.mark.parametrize(
    ("url", "is_one"),
    [
        ("https://example.org/a", True),
        ("http://[::1]/", True),
        ("ftp://example.org/", False),
        ("javascript:alert(1)", False),
        ("http://[::1", False),
        ("", False),
    ],
)
def test_only_addresses_of_the_web_are_asked(url, is_one):
    assert network.is_address(url) is is_one


@pytest.mark.parametrize("charset", ["gb18030", "utf-8", "big5"])
@pytest.mark.parametrize("in_header", [True, False])
def test_a_page_is_read_in_the_charset_of_its_header_or_of_its_head(charset, in_header):
    head = "" if in_header else f'<meta charset="{charset}">'
    body = f"{head}<p>中文</p>".encode(charset)
    assert network.decoded(charset if in_header else None, body).endswith("<p>中文</p>")


@given(st.none() | st.sampled_from(["utf-8", "no-such", "base64", "idna"]), st.binary(max_size=60))
def test_any_bytes_in_any_charset_become_text(charset, body):
    assert isinstance(network.decoded(charset, body), str)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:secret@example.org/a/b?token=secret#x", "https://example.org/a/b"),
        ("/only/a/path?token=secret", "/only/a/path"),
        ("http://[::1/secret", "an address that is none"),
    ],
)
def test_an_error_tells_neither_credentials_nor_query(url, shown):
    assert network.shown(url) == shown


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("30", 30),
        ("0", 0),
        ("1000000100", 100),
        ("999999999", 0),
        ("2001-09-09T01:47:40+00:00", 60),
        ("2001-09-09T01:46:00+00:00", 0),
        ("soon", None),
        ("", None),
        ("nan", 0),
    ],
)
def test_a_reset_is_seconds_unix_time_or_a_date(reset, seconds, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1_000_000_000.0)
    assert network.until(reset) == seconds
