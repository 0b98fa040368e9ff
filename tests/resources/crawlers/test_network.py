import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.crawlers import network


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
