"""The documents of a release: dataset card, HTML report, funnel and loss ledger.

Everything here is text or bytes made from tables; writing them down is `resources.releases`.
"""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from chillguard import funnel, jury_report, plots, release, schema
from chillguard.taxonomy import Taxonomy
from prompts import render

CARD, REPORT = "release/card", "release/report.html"
_PREVIEW_ROWS = 12


@dataclass(frozen=True)
class Provenance:
    """What made a release: profile, models by role, and whether stand-ins were used."""

    profile: str
    models: Mapping[str, str]
    offline: bool


def card_rows(
    version: str, previous: str | None, parts: release.Parts, diff: release.Difference
) -> pa.Table:
    """The `dataset_card` table: one row, the release."""
    return schema.DATASET_CARD.build(
        [
            {
                "version": version,
                "previous_version": previous,
                "n_train": parts.train.num_rows,
                "n_test": parts.test.num_rows,
                "n_added": len(diff.added),
                "n_removed": len(diff.removed),
                "n_relabeled": len(diff.relabeled),
            }
        ]
    )


def documents(
    row: Mapping[str, Any],
    tables: Mapping[str, pa.Table],
    taxonomy: Taxonomy,
    provenance: Provenance,
) -> dict[str, Any]:
    """README.md and report.html of a release, by file name."""
    stages = funnel.stages(tables)
    released = pa.concat_tables([tables["train_set"], tables["test_set"]]).to_pylist()
    values = {
        "release": row,
        "provenance": provenance,
        "taxonomy": taxonomy,
        "composition": composition(released),
        "categories": categories(released, taxonomy),
        "funnel": [(s.asset, s.rows_in, s.kept, s.dropped, _reasons(s.drops)) for s in stages],
        "terms": terms(released),
        "jury": jury(tables),
        "quality": jury_report.sections(tables["jury_quality"]),
    }
    pictures = {
        "rows per stage": plots.funnel(
            [s.asset for s in stages], [s.kept for s in stages], [s.dropped for s in stages]
        ),
        "samples per category": category_bars(released, taxonomy),
        **jury_report.pictures(tables["jury_quality"]),
    }
    images = {name: base64.b64encode(png).decode("ascii") for name, png in pictures.items()}
    preview = [masked(sample) for sample in released[:_PREVIEW_ROWS]]
    shown = {**values, "images": images, "preview": preview}
    return {
        "README.md": (render(CARD, values)["body"] + "\n").encode("utf-8"),
        "report.html": render(REPORT, shown)["body"].encode("utf-8"),
    }


def losses(tables: Mapping[str, pa.Table]) -> pa.Table:
    """The loss ledger: every dropped row with its stage, reason and evidence."""
    parts = []
    for asset, table in tables.items():
        if "drop_reason" in table.column_names:
            key = "prompt_id" if "prompt_id" in table.column_names else "post_id"
            gone = table.filter(table["drop_reason"].is_valid())
            columns = [gone[name] for name in (key, "drop_reason", "drop_evidence")]
            asset_column = pa.array([asset] * gone.num_rows, pa.string())
            parts.append(pa.table([asset_column, *columns], names=_LOSS_COLUMNS))
    return pa.concat_tables(parts).sort_by([("asset", "ascending"), ("row_id", "ascending")])


def composition(released: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, int, int, int]]:
    """(split, origin, safe, unsafe, all) of every part of the release (paper, table 6)."""
    counts = Counter((row["split"], row["origin"], row["label"]) for row in released)
    lines = []
    for split in schema.SPLITS:
        for origin in schema.ORIGINS:
            safe, unsafe = (counts[split, origin, label] for label in schema.LABELS)
            if safe or unsafe:
                lines.append((split, origin, safe, unsafe, safe + unsafe))
    return lines


def categories(
    released: Sequence[Mapping[str, Any]], taxonomy: Taxonomy
) -> list[tuple[str, str, int, int]]:
    """(code, English label, train, test) per micro category, then safe."""
    counts = Counter((row["micro_category"] or "safe", row["split"]) for row in released)
    names = [(code, taxonomy.micro[code].label_en) for code in taxonomy.codes]
    return [
        (code, label, counts[code, "train"], counts[code, "test"])
        for code, label in [*names, ("safe", "Safe")]
    ]


def category_bars(released: Sequence[Mapping[str, Any]], taxonomy: Taxonomy) -> bytes:
    """Picture of samples per micro category, stacked by side."""
    lines = categories(released, taxonomy)[:-1]
    return plots.stacked(
        {code: {"train": train, "test": test} for code, _, train, test in lines},
        "unsafe samples per micro category",
    )


def terms(released: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, int]]:
    """(origin, rows, rows whose text may be published)."""
    rows = Counter(row["origin"] for row in released)
    free = Counter(row["origin"] for row in released if row["may_redistribute"])
    return [(origin, rows[origin], free[origin]) for origin in schema.ORIGINS if rows[origin]]


def jury(tables: Mapping[str, pa.Table]) -> list[tuple[str, str, int, int, int]]:
    """(juror, model, safe, unsafe, abstain) votes."""
    lines = []
    for asset, table in tables.items():
        if asset.startswith("jury_votes/") and table.num_rows:
            counts = Counter(table["verdict"].to_pylist())
            model = table["model"][0].as_py()
            slot = asset.removeprefix("jury_votes/")
            lines.append((slot, model, *(counts[verdict] for verdict in schema.VERDICTS)))
    return lines


def masked(row: Mapping[str, Any]) -> dict[str, Any]:
    """A preview of a row whose text shows its first two characters and its length only."""
    shown = {name: row.get(name) for name in ("label", "micro_category", "origin", "method")}
    return {"prompt_id": row["prompt_id"], **shown, "text": mask(row["text"] or "")}


def mask(text: str) -> str:
    """The first two characters of a text, and its length."""
    return f"{text[:2]}… ({len(text)} chars)"


def _reasons(drops: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in drops.items()) or "-"


_LOSS_COLUMNS = ["asset", "row_id", "drop_reason", "drop_evidence"]
