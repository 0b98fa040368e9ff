"""Chinese postal addresses in text: a numbered place in a street, village or estate.

Names of provinces, cities and counties are those that python-stdnum ships for resident ids. An
address counts with one of them or a cue before it, or when it goes down to a building and a room.
Text is expected in simplified script and plain width, as `personal_data` reads it.
"""

import functools
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

import ahocorasick

from chillguard import taxonomy

# People who hide an address put spaces into it.
GAP = re.compile("(?<=[\u4e00-\u9fff0-9A-Za-z-]) {1,2}(?=[\u4e00-\u9fff0-9A-Za-z-])")
_GAPPED = re.compile("[\u4e00-\u9fff] [\u4e00-\u9fff0-9]|[0-9] [\u4e00-\u9fff-]")
_HAN = "\u4e00-\u9fff"
_NUMBER = r"(?:[\dA-Za-z]{1,5}|[〇一二三四五六七八九十百零两]{1,5})(?:[-之]\d{1,4}){0,3}"
_KIND = "号楼|号院|号(?![线口店台机桥])|弄|栋|幢|座|单元|层|楼|室|组|户|房"
_UNIT = rf"[ ,]?[附]?{_NUMBER} ?(?:{_KIND})(?:之{_NUMBER})?"
_DIGIT = r"[\d〇零一二三四五六七八九]"
_TRIPLE = rf"{_DIGIT}{{1,3}}-{_DIGIT}{{1,2}}-{_DIGIT}{{3,4}}(?!{_DIGIT})"
_LAST = rf" ?(?:{_TRIPLE}|{_DIGIT}{{3,4}}(?!{_DIGIT}))"
_STREET = "大道|路|街|巷|弄|道|胡同|村|庄|镇|乡|城|里|坊|湾|广场"
_STREET += "|园|苑|小区|社区|公寓|大厦|府|宿舍|大院|庭|公馆|雅居"
_SECTION = r"(?:[一二三四五六七八九\d][段期区])?"
_PLACE = re.compile(
    rf"(?P<street>{_STREET}){_SECTION}(?P<units>(?:{_UNIT}){{1,6}}|[ ]?{_TRIPLE})(?P<last>{_LAST})?"
)
_FIRST = re.compile(rf"{_NUMBER} ?(?:号楼|号院|号|弄|组|座|栋|幢)|{_TRIPLE}")
_BUILDING = re.compile(rf"[ ,]?(?:{_NUMBER} ?(?:号楼|号|栋|幢|座|单元)|{_TRIPLE})")
_ROOM = re.compile(rf"{_NUMBER} ?(?:单元|室|户|房)|{_TRIPLE}")
_WINDOW = 30
_INSIDE = re.compile(rf"[{_HAN}\dA-Za-z: ]*\Z")
_LONGEST_NAME = 6


def find(text: str) -> Iterator[tuple[int, int, str]]:
    """Where every postal address begins and ends, and its mark."""
    end = 0
    for match in _PLACE.finditer(text):
        length = _length_before(text[max(end, match.start() - _WINDOW) : match.start()], match)
        if length is not None:
            end = match.end()
            yield match.start() - length, end, "<ADDRESS>"


def is_gapped(text: str) -> bool:
    """Whether there are spaces where Chinese has none."""
    return bool(_GAPPED.search(text))


def _length_before(before: str, match: re.Match[str]) -> int | None:
    """How many characters before the match belong to the address; None if it is none."""
    inside = _INSIDE.search(before)
    window = inside.group() if inside else ""
    cut = [*_before().finditer(window)]
    named = window[cut[-1].end() :] if cut else window
    units = match["units"]
    region = _first_region(named)
    if region is not None and _FIRST.search(units):
        return len(named) - region
    if not named.strip():
        return None
    has_room = bool(_ROOM.search(units)) or bool(match["last"])
    if (cut and _FIRST.match(units.lstrip(" ,附"))) or (has_room and _BUILDING.match(units)):
        return min(len(named), len(named) if cut else _LONGEST_NAME)
    return None


@functools.cache
def _before() -> re.Pattern[str]:
    cues = "|".join(taxonomy.packaged("personal_data.yaml")["before_addresses"])
    return re.compile(rf"(?:{cues})[: ]*|:")


def _first_region(text: str) -> int | None:
    """Where the first name of a province, city or county begins."""
    starts = [end - size + 1 for end, size in _regions().iter(text)]
    return min(starts, default=None)


@functools.cache
def _regions() -> Any:
    table = resources.files("stdnum").joinpath("cn/loc.dat").read_text("utf-8")
    names = set(re.findall(rf'="(?:\[[^\]]*\])?([{_HAN}]{{2,}})"', table))
    names |= {name[:-1] for name in names if name[-1] in "省市" and len(name) > 2}
    names |= set(taxonomy.packaged("personal_data.yaml")["more_regions"])
    finder = ahocorasick.Automaton()
    for name in names:
        finder.add_word(name, len(name))
    finder.make_automaton()
    return finder
