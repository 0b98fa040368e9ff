"""The documents of a release: dataset card, HTML report, funnel and loss ledger.

Everything here is text or bytes made from tables; writing them down is `resources.home.releases`.
What the numbers of the card are is `chillguard.release.composition`.
"""

import base64
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from chillguard import plots
from chillguard import tables as kinds
from chillguard.labeling import report
from chillguard.release import audit, changes, composition, funnel, sides
from chillguard.tables import lineage
from chillguard.tables.reasons import Reason
from chillguard.tables.rows import Release, Sample
from chillguard.taxonomy import Taxonomy
from prompts import render

CARD, REPORT = "release/card", "release/report.html"
PUBLIC_CARD = "public_card.md"
_PREVIEW_ROWS = 12
_SIDES = ("train_set", "test_set")
_FILES = {
    "rows per stage": "funnel.png",
    "samples per category": "categories.png",
    "error correlation of jurors": "jurors.png",
    "intended and final category": "intended_and_final.png",
}


@dataclass(frozen=True)
class Provenance:
    """What made a release: profile, models by role, whether stand-ins were used, and sources.

    `sources` has a line (asset, source, licence, may_redistribute, may_train) per input.
    """

    profile: str
    models: Mapping[str, str]
    offline: bool
    sources: Sequence[tuple[str, str, str | None, bool, bool]] = ()


def card_rows(
    version: str, previous: str | None, parts: sides.Parts, changed: pa.Table
) -> pa.Table:
    """The `dataset_card` table: one row, the release; `changed` is `changes.difference`."""
    counts = changes.counts(changed)
    return lineage.DATASET_CARD.build(
        [
            {
                "version": version,
                "previous_version": previous,
                "n_train": parts.train.num_rows,
                "n_test": parts.test.num_rows,
                "n_added": counts["added"],
                "n_removed": counts["removed"],
                "n_relabeled": changes.relabeled(changed),
            }
        ]
    )


def sealed(changed: pa.Table) -> dict[str, bytes | pa.Table]:
    """Files beside the two sides that never change, by name: their schema and what changed."""
    columns = json.dumps(lineage.TRAIN_SET.described(), ensure_ascii=False, indent=2)
    return {"schema.json": (columns + "\n").encode("utf-8"), "changes.parquet": changed}


def documents(
    row: Release,
    tables: Mapping[str, pa.Table],
    taxonomy: Taxonomy,
    provenance: Provenance,
    changed: pa.Table | None = None,
    audited: audit.Report | None = None,
) -> dict[str, bytes | pa.Table]:
    """Cards, report, lost rows and pictures of a release, by file name."""
    stages = funnel.stages(tables)
    released = [row for side in _SIDES for row in lineage.TRAIN_SET.rows(tables[side])]
    changed = changes.CHANGES.build([]) if changed is None else changed
    values = {
        "release": row,
        "provenance": provenance,
        "taxonomy": taxonomy,
        "composition": composition.sources(released),
        "categories": composition.categories(released, taxonomy),
        "gaps": composition.gaps(released, tables, taxonomy),
        "funnel": [(s.asset, s.rows_in, s.kept, s.dropped, _reasons(s.drops)) for s in stages],
        "terms": composition.terms(released),
        "jury": jury(tables),
        "quality": report.sections(tables["jury_quality"]),
        "changed_categories": changes.by_category(changed, taxonomy),
    }
    of_card = {
        "size": composition.size(len(released)),
        "test_share": composition.share_of_test(released),
        "changes": changes.counts(changed),
        "audit": audited,
    }
    pictures = _pictures(stages, released, taxonomy, tables["jury_quality"])
    shown = {**values, "images": _inline(pictures), "preview": _preview(released)}
    return {
        "README.md": _page(CARD, {**values, **of_card, "public": False}),
        PUBLIC_CARD: _page(CARD, {**values, **of_card, "public": True}),
        "report.html": render(REPORT, shown)["body"].encode("utf-8"),
        "losses.parquet": losses(tables),
        **{_FILES[name]: png for name, png in pictures.items()},
    }


def _pictures(
    stages: Sequence[funnel.Stage],
    released: Sequence[Sample],
    taxonomy: Taxonomy,
    quality: pa.Table,
) -> dict[str, bytes]:
    """Pictures by title."""
    names, kept = [stage.asset for stage in stages], [stage.kept for stage in stages]
    return {
        "rows per stage": plots.funnel(names, kept, [stage.dropped for stage in stages]),
        "samples per category": category_bars(released, taxonomy),
        **report.pictures(quality),
    }


def _page(template: str, values: Mapping[str, object]) -> bytes:
    return (render(template, values)["body"] + "\n").encode("utf-8")


def _inline(pictures: Mapping[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(png).decode("ascii") for name, png in pictures.items()}


def _preview(released: Sequence[Sample]) -> list[dict[str, str | None]]:
    return [masked(sample) for sample in released[:_PREVIEW_ROWS]]


def losses(tables: Mapping[str, pa.Table]) -> pa.Table:
    """The loss ledger: every row that a stage lost, with reason and evidence; as the funnel counts.

    Input rows that could not be read are named by source, line and column.
    """
    parts = [_LOSSES.empty_table()]
    for asset, table in tables.items():
        if asset.startswith("rejected_rows/"):
            parts.append(_rejected(asset.removeprefix("rejected_rows/"), table))
        elif "drop_reason" in table.column_names:
            key = "prompt_id" if "prompt_id" in table.column_names else "post_id"
            gone = table.filter(table["drop_reason"].is_valid())
            columns = [gone[name] for name in (key, "drop_reason", "drop_evidence")]
            parts.append(_lost(asset, *columns))
    parts.append(_merged(tables))
    return pa.concat_tables(parts).sort_by([("asset", "ascending"), ("row_id", "ascending")])


def _lost(asset: str, *columns: Any) -> pa.Table:
    return pa.table([pa.array([asset] * len(columns[0]), pa.string()), *columns], schema=_LOSSES)


def _rejected(asset: str, table: pa.Table) -> pa.Table:
    rows = lineage.REJECTED_ROWS.rows(table)
    ids = [f"{row['source']}:{row['line']}:{row['column']}" for row in rows]
    return _lost(asset, ids, [Reason.REJECTED] * len(ids), [row["reason"] for row in rows])


def _merged(tables: Mapping[str, pa.Table]) -> pa.Table:
    """Posts whose text another source holds too: all but one of each are merged into that one."""
    first: dict[str, str] = {}
    ids, evidence = [], []
    for asset, table in tables.items():
        if asset.startswith("crawled_posts/"):
            for row in lineage.CRAWLED_POSTS.rows(table.filter(table["drop_reason"].is_null())):
                kept = first.setdefault(row["post_id"], asset)
                if kept != asset:
                    ids.append(row["post_id"])
                    evidence.append(f"{asset} holds the text of {kept}")
    return _lost("post_index", ids, [Reason.MERGED] * len(ids), evidence)


def category_bars(released: Sequence[Sample], taxonomy: Taxonomy) -> bytes:
    """Picture of samples per micro category, stacked by side."""
    lines = composition.categories(released, taxonomy)[:-1]
    return plots.stacked(
        {code: {"train": train, "test": test} for code, _, train, test, _ in lines},
        "unsafe samples per micro category",
    )


def jury(tables: Mapping[str, pa.Table]) -> list[tuple[str, str, int, int, int]]:
    """(juror, model, safe, unsafe, abstain) votes."""
    lines = []
    for asset, table in tables.items():
        if asset.startswith("jury_votes/") and table.num_rows:
            counts = Counter(table["verdict"].to_pylist())
            model = table["model"][0].as_py()
            slot = asset.removeprefix("jury_votes/")
            lines.append((slot, model, *(counts[verdict] for verdict in lineage.VERDICTS)))
    return lines


def masked(row: Mapping[str, object]) -> dict[str, str | None]:
    """A preview of a row: a text shows its first two characters and its length only."""
    facts = ("prompt_id", "label", "micro_category", "origin", "method")
    shown = {name: row.get(name) for name in facts}
    shown |= {name: text for name, text in row.items() if name in kinds.where("holds_text")}
    return {
        name: None if value is None else str(value) if name in facts else mask(str(value))
        for name, value in shown.items()
    }


def mask(text: str) -> str:
    """The first two characters of a text, and its length."""
    return f"{text[:2]}… ({len(text)} chars)"


def _reasons(drops: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in drops.items()) or "-"


_LOSSES = pa.schema(
    [(name, pa.string()) for name in ("asset", "row_id", "drop_reason", "drop_evidence")]
)
