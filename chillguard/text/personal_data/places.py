"""Where a person is on the network or on the map: IP and MAC addresses, coordinates.

Postal addresses have a module of their own.
"""

import ipaddress
import re
from collections.abc import Iterator

from chillguard.text.personal_data import cues
from chillguard.text.personal_data.reading import Found, matches

_DOT = r"(?:\.|。|点|\[\.\]|\(\.\)| \. )"
_IPV4 = re.compile(
    rf"(?<![\w.])(?P<a>\d{{1,3}}){_DOT}(?P<b>\d{{1,3}}){_DOT}(?P<c>\d{{1,3}}){_DOT}(?P<d>\d{{1,3}})"
    rf"(?!\d|\.\d)",
    re.ASCII,
)
_IPV6 = re.compile(r"(?<![\w.])(?:[\da-f]{0,4}:){2,7}+[\da-f]{1,4}(?![\w:.])", re.I | re.ASCII)
_MAC = re.compile(
    r"(?<![\w-])(?<![\da-fA-F]{2}:)(?:[\da-f]{2}(?:[:-][\da-f]{2}){5}|[\da-f]{4}(?:\.[\da-f]{4}){2})(?![\w:-])",
    re.I | re.ASCII,
)
_ANGLE = r"[-+]?\d{1,3}\.\d{4,12}"
_PAIR = re.compile(
    rf"(?<![\w.])(?:[东西南北][经纬] ?:? ?)?(?P<one>{_ANGLE})(?P<degree>°)? ?(?P<side>[NSEW])?"
    rf"[ ,、;/]{{1,3}}(?:[东西南北][经纬] ?:? ?)?(?P<two>{_ANGLE})(?:° ?[NSEW]?)?(?![\w.])",
    re.ASCII,
)
_MINUTES = r"(?:[东西南北][经纬] ?)?\d{1,3}[°度] ?\d{1,2}[′'分] ?(?:\d{1,2}(?:\.\d{1,9})?[″\"秒])?"
_DEGREES = re.compile(
    rf"(?<![\w.]){_MINUTES} ?[NSEW]?[ ,、;/]{{0,3}}{_MINUTES}(?: ?[NSEW])?", re.ASCII
)
# A version seldom has two parts from here up, a public address nearly always has.
_LARGE_PART = 20
_SHORTEST_IPV6 = 9
# Without a word that announces them, only pairs within China are taken for coordinates.
_CHINA = ((73.0, 136.0), (3.0, 54.0))
_AROUND = 12


def network(plain: str) -> Iterator[Found]:
    """Public IP addresses, and addresses of network cards."""
    yield from matches(_MAC, plain, "<MAC>", lambda match: not _digits_only(match))
    yield from matches(_IPV4, plain, "<IP>", _is_public_ipv4)
    yield from matches(_IPV6, plain, "<IP>", _is_public_ipv6)


def coordinates(plain: str) -> Iterator[Found]:
    """Pairs of latitude and longitude, as precise as a house."""
    yield from matches(_PAIR, plain, "<GPS>", _is_a_place)
    yield from matches(_DEGREES, plain, "<GPS>")


def _digits_only(match: re.Match[str]) -> bool:
    """Times and dates look so too."""
    return not re.search("[A-Fa-f]", match.group()) and not _cue("card_of_network_cues", match)


def _is_public_ipv4(match: re.Match[str]) -> bool:
    parts = [int(match[part]) for part in "abcd"]
    address = ".".join(map(str, parts))
    if not _is_public(address) or address in cues.words()["public_servers"]:
        return False
    return sum(part >= _LARGE_PART for part in parts) > 1 or bool(_cue("network_cues", match))


def _is_public_ipv6(match: re.Match[str]) -> bool:
    """Written at some length: two colons stand in a time that is mistyped."""
    return len(match.group()) >= _SHORTEST_IPV6 and _is_public(match.group())


def _is_public(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False


def _is_a_place(match: re.Match[str]) -> bool:
    one, two = sorted((abs(float(match["one"])), abs(float(match["two"]))))
    if one > 90 or two > 180:
        return False
    (west, east), (south, north) = _CHINA
    announced = match["degree"] or match["side"] or _cue("map_cues", match)
    return bool(announced) or (west <= two <= east and south <= one <= north)


def _before(match: re.Match[str]) -> str:
    return match.string[max(0, match.start() - _AROUND) : match.start()]


def _cue(name: str, match: re.Match[str]) -> bool:
    after = match.string[match.end() : match.end() + _AROUND // 2]
    return bool(re.search(cues.any_of(name), _before(match) + match.group() + after, re.I))
