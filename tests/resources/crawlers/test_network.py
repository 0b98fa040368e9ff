"""Which addresses a crawler may connect to, and how limits of a crawl are told."""

import ipaddress

import pytest

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
