"""The compared form of a text: `match_text` and its character shingles.

Stored text keeps evasion characters; this form folds them away, and is used for comparison only.
"""

import functools
import re
import unicodedata
from typing import Any

from chillguard import identity

# Unicode counts the Hangul fillers among letters, though nothing is seen of them.
_INVISIBLE = re.compile(
    r"[\u00ad\u115f\u1160\u200b-\u200f\u202a-\u202e\u2060-\u2064\u3164\ufe00-\ufe0f\ufeff\uffa0]"
)
_NOT_WORD = re.compile(r"[\W_]+")


@functools.cache
def _to_simplified() -> Any:
    import opencc

    return opencc.OpenCC("t2s")


# Door and guards ask for the same text in a row. Few are kept: a text may be megabytes.
@functools.lru_cache(maxsize=64)
def match_text(text: str) -> str:
    """NFKC, lower case, simplified; spaces, punctuation, emoji and unseen characters gone.

    Folding a folded text changes nothing.
    """
    folded = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).lower()
    bare = _NOT_WORD.sub("", folded)
    simple = simplified(bare)
    # A rare character takes two steps.
    return simple if simple == bare else simplified(simple)


def simplified(text: str) -> str:
    """The text in simplified script."""
    return str(_to_simplified().convert(text))


def family_id(text: str) -> str:
    """Id of the family whose root is this text: one for all texts of the same compared form.

    A text of signs only has no compared form and stands for itself.
    """
    return identity.digest("family", match_text(text) or text)


def reading(match: str) -> str:
    """How a `match_text` is read, without tones: one for homophones and for what is in pinyin."""
    return "".join(map(_read, match))


@functools.lru_cache(maxsize=65536)
def _read(character: str) -> str:
    import pypinyin

    return "".join(pypinyin.lazy_pinyin(character))


def shingles(match: str, size: int) -> set[str]:
    """Character shingles of a `match_text`; a shorter text is its own single shingle."""
    return {match[i : i + size] for i in range(max(1, len(match) - size + 1))}


def jaccard(left: set[str], right: set[str]) -> float:
    """Share of common shingles, 0 to 1."""
    common = len(left & right)
    return common / (len(left) + len(right) - common)
