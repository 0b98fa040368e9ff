"""Which of the posts shown a prompt was made from, where the answer does not number it."""

from collections.abc import Sequence

from chillguard.text import matching

_SHINGLE = 2
_MIN_CONTAINED = 0.2


def matched(loose: Sequence[str], texts: Sequence[str]) -> dict[int, str]:
    """Prompts without a number by that of the post which holds most of their shingles.

    The best match comes first; a post gets one prompt, and a prompt that shares too little none.
    """
    sources = [matching.shingles(matching.match_text(text), _SHINGLE) for text in texts]
    scored = []
    for prompt in loose:
        own = matching.shingles(matching.match_text(prompt), _SHINGLE)
        scored += [
            (len(own & source) / len(own), number, prompt)
            for number, source in enumerate(sources, 1)
        ]
    found: dict[int, str] = {}
    for score, number, prompt in sorted(scored, key=lambda one: (-one[0], one[1], one[2])):
        if score >= _MIN_CONTAINED and number not in found and prompt not in found.values():
            found[number] = prompt
    return found
