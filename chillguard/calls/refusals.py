"""Refusals: answers in which a model declines, in Chinese or English, by a phrase list in data/."""

import functools
import re

from chillguard import taxonomy

# A refusal says so at once; further in, the same words may be part of a real answer.
_HEAD = 60


@functools.cache
def _phrases() -> re.Pattern[str]:
    phrases: list[str] = taxonomy.packaged("refusals.yaml")
    return re.compile("|".join(re.escape(phrase) for phrase in phrases), re.IGNORECASE)


def declines(text: str) -> bool:
    """Whether a text that was to be a user's prompt declines instead."""
    return _openings().match(text.strip()) is not None


@functools.cache
def _openings() -> re.Pattern[str]:
    return re.compile("|".join(taxonomy.packaged("declining.yaml")), re.IGNORECASE)


def is_refusal(text: str) -> bool:
    """Whether the beginning of an answer declines the request."""
    return _phrases().search(text[:_HEAD]) is not None
