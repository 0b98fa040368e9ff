"""The dual-use screen: two kinds of content that are never stored, by word lists in data/.

Runs at ingestion and after every generation; only a hash and a count are kept of what it stops.
A text is stopped when every group of a rule has at least one of its terms in the text.
"""

import functools

from pydantic import BaseModel, ConfigDict

from chillguard import matching, taxonomy


class ScreeningRule(BaseModel):
    """One rule of `data/screening.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    description: str
    all_of: tuple[tuple[str, ...], ...]

    def stops(self, text: str) -> bool:
        """Whether the rule stops a lower-case text."""
        return all(any(term in text for term in group) for group in self.all_of)


@functools.cache
def rules() -> tuple[ScreeningRule, ...]:
    """The rules that ship with the product."""
    return tuple(ScreeningRule.model_validate(rule) for rule in taxonomy.packaged("screening.yaml"))


@functools.cache
def _folded_rules() -> tuple[ScreeningRule, ...]:
    return tuple(
        rule.model_copy(
            update={
                "all_of": tuple(tuple(map(matching.match_text, group)) for group in rule.all_of)
            }
        )
        for rule in rules()
    )


def screen(text: str) -> str | None:
    """The id of the first rule that stops the text, as written or as compared; or None."""
    lowered, folded = text.lower(), matching.match_text(text)
    for rule, folded_rule in zip(rules(), _folded_rules(), strict=True):
        if rule.stops(lowered) or folded_rule.stops(folded):
            return rule.id
    return None
