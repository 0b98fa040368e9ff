"""Chinese postal addresses in text: a numbered place in a street, village or estate.

Names of provinces, cities and counties are those that python-stdnum ships for resident ids. An
address counts with one of them or a cue before it, or when it goes down to a building and a room.
"""

import functools
import re
from importlib import resources

from chillguard import taxonomy

_HAN = "\u4e00-\u9fff"
_NUMBER = r"(?:[\dA-Za-z]{1,5}|[一二三四五六七八九十百零两]{1,4})(?:[-－—之]\d{1,4}){0,3}"
_UNIT = rf"[ ,，]?[附]?{_NUMBER} ?(?:号楼|号院|号|弄|栋|幢|座|单元|层|楼|室|组|户|房)"
_STREET = "大道|路|街|巷|弄|道|胡同|村|庄|镇|乡|园|苑|小区|社区|公寓|大厦|城|里|坊|湾|府|宿舍|大院"
_PLACE = re.compile(rf"(?P<street>{_STREET})(?P<units>(?:{_UNIT}){{1,6}})(?: ?\d{{3,4}}(?!\d))?")
_FIRST = re.compile(rf"{_NUMBER} ?(?:号楼|号院|号|弄|组)")
_BUILDING = re.compile(rf"{_NUMBER} ?(?:号楼|号|栋|幢|座|单元)")
_ROOM = re.compile(rf"{_NUMBER} ?(?:单元|室|户|房)")
_WINDOW = 30
_INSIDE = re.compile(rf"[{_HAN}\dA-Za-z:： ]*\Z")
_LONGEST_NAME = 6


def replace(text: str, mark: str) -> str:
    """The text with every postal address replaced by `mark`."""
    parts, end = [], 0
    for found in _PLACE.finditer(text):
        start = _start(text[max(end, found.start() - _WINDOW) : found.start()], found)
        if start is not None:
            parts += [text[end : found.start() - start], mark]
            end = found.end()
    return "".join([*parts, text[end:]]) if parts else text


def _start(before: str, found: re.Match[str]) -> int | None:
    """How many characters before the match belong to the address; None if it is none."""
    inside = _INSIDE.search(before)
    window = inside.group() if inside else ""
    cut = [*_before().finditer(window)]
    named = window[cut[-1].end() :] if cut else window
    region = _regions().search(named)
    units = found["units"]
    if region and _FIRST.search(units):
        return len(named) - region.start()
    if not named:
        return None
    rooms = _ROOM.findall(units)
    if (cut and _FIRST.match(units.lstrip(" ,，附"))) or (rooms and _BUILDING.match(units)):
        return min(len(named), len(named) if cut else _LONGEST_NAME)
    return None


@functools.cache
def _before() -> re.Pattern[str]:
    cues = "|".join(taxonomy.packaged("personal_data.yaml")["before_addresses"])
    return re.compile(rf"(?:{cues})[:： ]*|[:：]")


@functools.cache
def _regions() -> re.Pattern[str]:
    table = resources.files("stdnum").joinpath("cn/loc.dat").read_text("utf-8")
    names = set(re.findall(rf'="(?:\[[^\]]*\])?([{_HAN}]{{2,}})"', table))
    short = {name[:-1] for name in names if name[-1] in "省市" and len(name) > 2}
    return re.compile("|".join(sorted(names | short, key=len, reverse=True)))
