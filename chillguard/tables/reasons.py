"""Why rows are dropped: every reason, the stages that give it, and what it means, in a sentence.

A reason that is not here can neither be written down by name nor stored: it is all that the column
`drop_reason` may hold.
"""

from enum import StrEnum
from typing import Self, TypedDict


class Reason(StrEnum):
    """A drop reason; `stages` give it, `sentence` says it to a reader."""

    stages: tuple[str, ...]
    sentence: str

    def __new__(cls, value: str, stages: str = "", sentence: str = "") -> Self:
        """A reason with the stages that give it, separated by spaces."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.stages, member.sentence = tuple(stages.split()), sentence
        return member

    SCREENED = (
        "screened",
        "crawl synthesis rewriting annotation public benchmarks translation training",
        "The dual-use screen stopped the text: it holds what nobody should store.",
    )
    TAKEDOWN = (
        "takedown",
        "takedown crawl release",
        "The post was removed on request, or the row was made from a removed post.",
    )
    DUPLICATE = (
        "duplicate",
        "crawl annotation public benchmarks cleaning release training",
        "Another kept row has the same text.",
    )
    NEAR_DUPLICATE = (
        "near_duplicate",
        "cleaning release training",
        "Another kept row has nearly the same text (Jaccard similarity over the threshold).",
    )
    TOO_SHORT = (
        "too_short",
        "crawl synthesis rewriting cleaning training",
        "The text has fewer characters than the stage asks for.",
    )
    TOO_LONG = (
        "too_long",
        "crawl synthesis rewriting annotation public benchmarks translation training cleaning",
        "The text has more characters than the stage allows.",
    )
    LANGUAGE = (
        "language",
        "crawl synthesis rewriting translation training",
        "The text is in a language that the stage does not take.",
    )
    IRRELEVANT = (
        "irrelevant",
        "annotation",
        "The production prompt asks nothing: links, digits or signs only.",
    )
    QUARANTINED = (
        "quarantined",
        "synthesis rewriting translation training",
        "The model gave no answer that could be read, however often it was asked.",
    )
    NO_SOURCE = (
        "no_source",
        "synthesis",
        "The answer holds no prompt for this one of the posts shown.",
    )
    NO_REWRITE = (
        "no_rewrite",
        "rewriting",
        "The answer holds no rewrite by this method.",
    )
    UNCHANGED = (
        "unchanged",
        "rewriting",
        "The rewrite is the text that it was made from.",
    )
    REFUSAL = (
        "refusal",
        "synthesis rewriting training",
        "The model declined instead of writing a user's prompt.",
    )
    META_TEXT = (
        "meta_text",
        "synthesis rewriting training",
        "The text talks about the task (`here is the prompt`) instead of being the prompt.",
    )
    SEVERAL_PROMPTS = (
        "several_prompts",
        "synthesis rewriting training",
        "The text is a list of prompts, where one was asked for.",
    )
    CATEGORY_LEAK = (
        "category_leak",
        "synthesis rewriting training",
        "The text names its category by the label of the taxonomy.",
    )
    COPY = (
        "copy",
        "rewriting training",
        "The rewrite is too close to the text that it was made from.",
    )
    NOT_RETAINED = (
        "not_retained",
        "translation",
        "The production prompt only seeds rewrites: the bound on real samples was reached.",
    )
    UNTRANSLATED = (
        "untranslated",
        "translation",
        "The translation is missing, or what came back is not Chinese.",
    )
    PLACEHOLDER_LOST = (
        "placeholder_lost",
        "translation",
        "The translation lost or added a placeholder of personal data.",
    )
    PERSONAL_DATA = (
        "personal_data",
        "cleaning training",
        "Personal data stands in the text in a spelling that the pass does not replace.",
    )
    MEANINGLESS = (
        "meaningless",
        "cleaning training",
        "The text says nothing: too few different letters, or keys in a row.",
    )
    UNRESOLVED = (
        "unresolved",
        "labeling training",
        "The jury has no majority, and the tie-breaker gave no verdict.",
    )
    UNCATEGORISED = (
        "uncategorised",
        "labeling",
        "The prompt is unsafe, and the categorizer named no category of the taxonomy.",
    )
    LABEL_FLIPPED = (
        "label_flipped",
        "training",
        "The jury labels the generated prompt otherwise than its seed.",
    )
    TERMS = (
        "terms",
        "release",
        "The terms of the source bar training.",
    )
    BALANCE = (
        "balance",
        "release",
        "The row is beyond the cap of its category, or of safe rows.",
    )
    LEAK = (
        "leak",
        "release training",
        "The row is a near-copy of a sample of Test or of a benchmark.",
    )
    MERGED = (
        "merged",
        "embedding",
        "Another source holds the same post, which is kept once.",
    )
    REJECTED = (
        "rejected",
        "crawl annotation public benchmarks review",
        "The input row could not be read; `rejected_rows` says why.",
    )


def reasons() -> list[tuple[str, str, str]]:
    """Every (reason, stage, sentence), in the order of the stages in the product."""
    return [(reason.value, stage, reason.sentence) for reason in Reason for stage in reason.stages]


class Drop(TypedDict):
    """What a dropped row says: why, and what that rests on (rule, twin, call); None if it is kept.

    Whoever drops a row gives a `Reason`; what was stored is read as plain text.
    """

    drop_reason: str | None
    drop_evidence: str | None


KEPT: Drop = {"drop_reason": None, "drop_evidence": None}


def dropped(reason: Reason, evidence: str | None) -> Drop:
    """The columns of a row that is dropped."""
    return {"drop_reason": reason, "drop_evidence": evidence}


def drop(row: Drop, reason: Reason, evidence: str | None) -> None:
    """Drop a row."""
    row["drop_reason"], row["drop_evidence"] = reason, evidence
