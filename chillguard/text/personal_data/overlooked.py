"""Another look at a cleaned text, with other eyes than the pass that cleaned it.

It looks at the compared form, digits only, all that stands between them gone: what was spelt in a
way that the pass does not know is a plain number there. It knows few kinds, those that leave no
doubt, and shares no pattern with the pass.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from stdnum import luhn
from stdnum.cn import ric

from chillguard.text import matching

_NUMERALS = str.maketrans("零〇一幺二两三四五六七八九壹贰叁肆伍陆柒捌玖", "0011223456789123456789")
# Amounts, decimals, dates and times: their digits and those beside them are no one number.
_MEASURE = re.compile(
    r"\d{1,3}(?:[,，]\d{3})+(?!\d)|(?<![\d.])(?<!\d )(?:0|[1-9]\d{0,6})\.\d{1,2}(?![\d.])"
    r"|(?:19|20)\d{2}[-/.年]\d{1,2}(?:[-/.月]\d{1,2}日?)?|\d{1,2}[:：]\d{2}(?:[:：]\d{2})?",
)
_MOBILE = re.compile(r"(?<!\d)(?:0086|86)?1[3-9]\d{9}(?![\da-z])")
_RESIDENT_ID = re.compile(r"(?<!\d)\d{17}[\dx](?!\d)")
_UNIONPAY = re.compile(r"(?<!\d)62\d{14}(?:\d{3})?(?!\d)")
_MAIL = re.compile(r"[a-z0-9]@[a-z0-9-]{1,63}\.[a-z]{2,}", re.ASCII)


def kinds(text: str, placeholders: Sequence[str]) -> list[str]:
    """What still stands in a text that was cleaned, each kind once, sorted."""
    found: set[str] = set()
    for part in re.split("|".join(placeholders), text):
        found.update(_in_part(part))
    return sorted(found)


def _in_part(part: str) -> Iterator[str]:
    folded = unicodedata.normalize("NFKC", part)
    if _MAIL.search("".join(c for c in folded.lower() if not c.isspace() and c.isprintable())):
        yield "<EMAIL>"
    for stretch in _MEASURE.split(folded):
        digits = matching.match_text(stretch).translate(_NUMERALS)
        if _MOBILE.search(digits):
            yield "<PHONE>"
        if any(_is_resident_id(match.group()) for match in _RESIDENT_ID.finditer(digits)):
            yield "<ID_CARD>"
        if any(luhn.is_valid(match.group()) for match in _UNIONPAY.finditer(digits)):
            yield "<BANK_CARD>"


def _is_resident_id(digits: str) -> bool:
    return "1900" <= digits[6:10] <= "2099" and bool(ric.is_valid(digits.upper()))
