"""The risk taxonomy (paper section 2): macro and micro categories, read from one YAML file.

Any number of macro and micro categories works; no code names a category.
"""

import functools
from collections.abc import Mapping
from importlib import resources
from typing import Any

import pyarrow as pa
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from chillguard.tables import lineage
from chillguard.tables.rows import Category


class TaxonomyError(ValueError):
    """A taxonomy or keyword file that cannot be used; the message says which entry and why."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    label_zh: str
    label_en: str
    definition_zh: str
    clause: str | None = None


class MicroCategory(_Entry):
    """A micro category: the grain at which unsafe rows are labelled."""


class MacroCategory(_Entry):
    """A macro category; `preamble_zh` is context that all its micro categories need."""

    preamble_zh: str | None = None
    micro: tuple[MicroCategory, ...]


class Taxonomy(BaseModel):
    """A whole taxonomy, in the order of its file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str
    macro: tuple[MacroCategory, ...]

    @model_validator(mode="after")
    def _codes_are_unique(self) -> "Taxonomy":
        codes = [m.code for m in self.macro] + [c.code for m in self.macro for c in m.micro]
        twice = sorted({code for code in codes if codes.count(code) > 1})
        if twice:
            raise ValueError(f"category code {twice[0]!r} stands more than once")
        if not any(m.micro for m in self.macro):
            raise ValueError("there is no micro category")
        return self

    @functools.cached_property
    def codes(self) -> tuple[str, ...]:
        """Micro category codes, in order."""
        return tuple(c.code for m in self.macro for c in m.micro)

    @functools.cached_property
    def micro(self) -> Mapping[str, MicroCategory]:
        """Micro category by code."""
        return {c.code: c for m in self.macro for c in m.micro}

    @functools.cached_property
    def macro_of(self) -> Mapping[str, MacroCategory]:
        """Macro category by micro code."""
        return {c.code: m for m in self.macro for c in m.micro}

    @functools.cached_property
    def labels(self) -> tuple[tuple[str, str], ...]:
        """Every label, Chinese and English, with the code of its category; micro ones first."""
        known = (*self.micro.values(), *self.macro)
        return tuple((label, one.code) for one in known for label in (one.label_zh, one.label_en))


def packaged(name: str) -> Any:
    """The parsed content of a YAML file that ships in `chillguard/data/`."""
    return yaml.safe_load(resources.files("chillguard").joinpath("data", name).read_text("utf-8"))


def parse(document: Any, where: str) -> Taxonomy:
    """A taxonomy from a parsed YAML document; `where` names the file in errors."""
    try:
        return Taxonomy.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise TaxonomyError(f"taxonomy file {where}: {place}: {first['msg']}") from None


def rows(taxonomy: Taxonomy) -> pa.Table:
    """The `taxonomy` table: one row per macro and per micro category."""
    found: list[Category] = []
    for macro in taxonomy.macro:
        for level, entry in [("macro", macro), *(("micro", c) for c in macro.micro)]:
            found.append(
                {
                    "code": entry.code,
                    "clause": entry.clause,
                    "label_zh": entry.label_zh,
                    "label_en": entry.label_en,
                    "definition_zh": entry.definition_zh,
                    "level": level,
                    "macro_category": macro.code,
                    "preamble_zh": macro.preamble_zh,
                    "taxonomy": taxonomy.name,
                    "version": taxonomy.version,
                }
            )
    return lineage.TAXONOMY.build(found)


def from_rows(table: pa.Table) -> Taxonomy:
    """The taxonomy that the `taxonomy` table holds; categories in order of code."""
    found = lineage.TAXONOMY.rows(table)
    fields = _Entry.model_fields
    entries = {row["code"]: {n: v for n, v in row.items() if n in fields} for row in found}
    macro = [
        {
            **entries[row["code"]],
            "preamble_zh": row["preamble_zh"],
            "micro": [
                entries[other["code"]]
                for other in found
                if other["level"] == "micro" and other["macro_category"] == row["code"]
            ],
        }
        for row in found
        if row["level"] == "macro"
    ]
    named = {"name": found[0]["taxonomy"], "version": found[0]["version"]}
    return Taxonomy.model_validate({**named, "macro": macro})
