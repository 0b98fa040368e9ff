"""Benign twins: safe prompts on purpose, in the vocabulary of unsafe ones. Their kinds are data."""

import functools

from pydantic import BaseModel, ConfigDict

from chillguard import taxonomy

TEMPLATE = "synthesis/twin"


class TwinKind(BaseModel):
    """One kind of benign twin: why somebody harmless asks in such words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name_zh: str
    instruction_zh: str


@functools.cache
def twin_kinds() -> tuple[TwinKind, ...]:
    """The kinds of benign twins that ship with the product."""
    found = taxonomy.packaged("benign_twins.yaml")
    return tuple(TwinKind.model_validate(entry) for entry in found)
