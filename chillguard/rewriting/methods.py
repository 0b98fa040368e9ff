"""Rewriting methods as data (`data/rewriting_methods.yaml`), and which prompts each one fits.

Which of those that fit a prompt it gets is drawn in `chillguard.rewriting.rewrites`.
"""

import functools
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from chillguard import taxonomy


class Method(BaseModel):
    """One rewriting method: `instruction_zh` for a model, or `transform`, a model-free one.

    `surface` output keeps odd characters on purpose: its language is not detected, and it is
    neither translated nor guarded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name_zh: str
    name_en: str
    description_zh: str
    when_en: str
    labels: tuple[Literal["safe", "unsafe"], ...]
    instruction_zh: str | None = None
    macro: tuple[str, ...] | None = None
    transform: str | None = None
    surface: bool = False

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> "Method":
        if (self.instruction_zh is None) == (self.transform is None):
            raise ValueError(f"method {self.id} needs either instruction_zh or transform")
        return self

    def fits(self, label: str, macro: str | None, lang: str | None) -> bool:
        """Whether the method applies to prompts of this label, macro category and language."""
        of_category = self.macro is None or macro in self.macro
        return label in self.labels and of_category and (lang == "zh" or not self.surface)


@functools.cache
def methods() -> tuple[Method, ...]:
    """The methods that ship with the product."""
    entries = taxonomy.packaged("rewriting_methods.yaml")
    return tuple(Method.model_validate(entry) for entry in entries)


@functools.cache
def by_id() -> dict[str, Method]:
    """The methods by their ids."""
    return {method.id: method for method in methods()}


@functools.cache
def fitting(label: str, macro: str | None, lang: str | None) -> tuple[str, ...]:
    """Ids of the methods that fit prompts of this label, macro category and language."""
    return tuple(method.id for method in methods() if method.fits(label, macro, lang))


def surface_methods() -> frozenset[str]:
    """Ids of the methods whose output keeps odd characters on purpose."""
    return frozenset(method.id for method in methods() if method.surface)
