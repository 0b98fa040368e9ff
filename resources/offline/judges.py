"""Stand-ins for the roles that judge: four jurors, the tie-breaker and the categorizer.

The jurors weigh the same kinds of lexical evidence differently, so they really disagree, tie and,
when their evidence cancels out, refuse.
"""

import functools
import re
from collections.abc import Mapping

from chillguard import identity, taxonomy
from chillguard.text import matching
from resources.offline import lexicon

_CATEGORY = re.compile(r"^- (\S+) (.+?)：(.*)$", re.MULTILINE)
_NOISE = 7


def vote(juror: str, user: str) -> str:
    """`safe`, `unsafe`, or a refusal when the juror's evidence cancels out."""
    text = matching.match_text(lexicon.fenced(user)[0]) + lexicon.fenced(user)[0]
    weights: Mapping[str, int] = lexicon.lexicon()["jurors"][juror]
    found = [kind for kind, words in _markers().items() if any(word in text for word in words)]
    score = sum(weights[kind] for kind in found) if found else weights["none"]
    if score == 0:
        return str(lexicon.lexicon()["refusal"])
    if abs(score) == 1 and identity.hash_order(juror, text)[0] % _NOISE == 0:
        score = -score
    return "unsafe" if score > 0 else "safe"


def categorize(system: str, user: str) -> str:
    """The category whose seed keywords, label and definition share most with the text."""
    text = matching.match_text(lexicon.fenced(user)[0])
    codes, evidence = _evidence(system)
    scores = dict.fromkeys(codes, 0.0)
    for gram in sorted(_grams(text)):
        for code, weight in evidence.get(gram, ()):
            scores[code] += weight
    return min(scores, key=lambda code: (-scores[code], identity.hash_order(text, code)))


@functools.cache
def _markers() -> Mapping[str, list[str]]:
    found: Mapping[str, list[str]] = lexicon.lexicon()["markers"]
    return found


@functools.cache
def _evidence(system: str) -> tuple[tuple[str, ...], dict[str, list[tuple[str, float]]]]:
    """Codes, and per character n-gram its weight by code: the fewer codes share it, the more."""
    seeds = taxonomy.packaged("seed_keywords.yaml")
    counts: dict[str, dict[str, int]] = {}
    listed = _CATEGORY.findall(system)
    for code, label, definition in listed:
        words = [(entry["zh"], 3) for entry in seeds.get(code, ())]
        for text, weight in (*words, (label, 2), (definition, 1)):
            for gram in _grams(matching.match_text(text)):
                by_code = counts.setdefault(gram, {})
                by_code[code] = max(by_code.get(code, 0), weight * len(gram) ** 2)
    evidence = {
        gram: [(code, weight / len(by_code) ** 2) for code, weight in by_code.items()]
        for gram, by_code in counts.items()
    }
    return tuple(code for code, _, _ in listed), evidence


def _grams(text: str) -> set[str]:
    return {text[i : i + n] for n in (2, 3, 4) for i in range(len(text) - n + 1)}
