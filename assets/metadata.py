"""What a person sees of a materialised table: counts, drops, pictures, masked previews, usage."""

import base64
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa

from chillguard import identity, plots
from chillguard.labeling import report
from chillguard.lineage.plan import StagePlan
from chillguard.release import card
from chillguard.rows import records
from chillguard.text import personal_data
from resources.models.progress import Usage

_PREVIEW_ROWS = 5
_SHOWN_STEPS = 50
_SHOWN_REJECTS = 50
_CURVES = ("loss", "beta", "alpha")
_PICTURED = {"label": "rows per label", "intended_label": "rows per intended label"}
_CATEGORIES = {"micro_category": "rows per category", "intended_category": "rows per intended one"}


def result(
    table: pa.Table, usage: Usage | None = None, key: dg.AssetKey | None = None, **more: Any
) -> dg.MaterializeResult[pa.Table]:
    """A materialisation of `table`, its data version the digest of its content."""
    metadata = {**counts(table), **pictures(table), **preview(table), **spent(usage), **more}
    return dg.MaterializeResult(
        value=table, asset_key=key, metadata=metadata, data_version=data_version(table)
    )


def outputs(rows: Mapping[dg.AssetKey, str]) -> dict[str, dg.AssetOut]:
    """Outputs of an asset function that makes several tables: key to what one row is."""
    return {
        key.to_python_identifier(): dg.AssetOut(
            key=key, description=f"One row per {text}.", is_required=False
        )
        for key, text in rows.items()
    }


def results(
    context: dg.AssetExecutionContext, tables: Mapping[dg.AssetKey, pa.Table]
) -> Iterator[dg.MaterializeResult[pa.Table]]:
    """A materialisation of each table that the run selected."""
    for key, table in tables.items():
        if key in context.selected_asset_keys:
            yield result(table, key=key)


def data_version(table: pa.Table) -> dg.DataVersion:
    """Digest of the rows: equal content, equal version."""
    return dg.DataVersion(identity.table_digest(table))


def paths(folder: Path, names: Iterable[str]) -> dict[str, Any]:
    """Links to files that were written."""
    return {name: dg.MetadataValue.path(str(folder / name)) for name in names}


def images(files: Mapping[str, bytes | pa.Table]) -> dict[str, Any]:
    """The pictures among the files of a release, under their names without the ending."""
    return {
        name.removesuffix(".png"): _image(content)
        for name, content in files.items()
        if name.endswith(".png") and isinstance(content, bytes)
    }


def counts(table: pa.Table) -> dict[str, Any]:
    """Rows, and where rows can be dropped: kept, dropped, and drops by reason."""
    found: dict[str, Any] = {"rows": table.num_rows}
    if "drop_reason" in table.column_names:
        reasons = Counter(table["drop_reason"].drop_null().to_pylist())
        found |= {"kept": table.num_rows - reasons.total(), "dropped": reasons.total()}
        found["drops_by_reason"] = _table(reasons, "reason")
        found |= door(table)
    if "standing" in table.column_names:
        found["by_standing"] = _table(Counter(table["standing"].to_pylist()), "standing")
    return found


def door(table: pa.Table) -> dict[str, Any]:
    """What was kept out, by source: rows with personal data replaced, rows that the screen stopped.

    The source of a prompt is its method.
    """
    names = set(table.column_names)
    source = next((name for name in ("source", "method") if name in names), None)
    if source is None or "text" not in names:
        return {}
    rows = table.select([source, "text", "drop_reason"]).to_pylist()
    replaced = Counter(
        f"{row[source]} | {mark}" for row in rows for mark in personal_data.replaced([row["text"]])
    )
    screened = Counter(row[source] for row in rows if row["drop_reason"] == "screened")
    return {
        "personal_data_replaced": _table(replaced, "source | kind", columns=2),
        "screened_by_source": _table(screened, "source"),
    }


def pictures(table: pa.Table) -> dict[str, Any]:
    """Bars of labels and categories, where the table has them."""
    found: dict[str, Any] = {}
    for titles in (_PICTURED, _CATEGORIES):
        name = next((name for name in titles if name in table.column_names), None)
        if name:
            tally = Counter(table[name].drop_null().to_pylist())
            png = plots.bars(dict(sorted(tally.items())), titles[name])
            found[titles[name].replace(" ", "_")] = _image(png)
    return found


def preview(table: pa.Table) -> dict[str, Any]:
    """The first rows, text masked."""
    if not {"prompt_id", "text"} <= set(table.column_names):
        return {}
    rows = [card.masked(row) for row in table.slice(0, _PREVIEW_ROWS).to_pylist()]
    if not rows:
        return {}
    lines = [" | ".join(str(value) for value in row.values()) for row in rows]
    head = " | ".join(rows[0])
    rule = "|".join("---" for _ in rows[0])
    return {"preview": dg.MetadataValue.md("\n".join([head, rule, *lines]))}


def spent(usage: Usage | None) -> dict[str, Any]:
    """Model calls of the asset: paid, answered from the ledger, quarantined, tokens, cost.

    And what was seen of the endpoints: how they bind a schema, fingerprints of a model that drifts.
    """
    if usage is None:
        return {}
    found: dict[str, Any] = {
        "calls_paid": usage.paid,
        "calls_from_ledger": usage.from_ledger,
        "calls_quarantined": usage.quarantined,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cost": "unpriced" if usage.paid and usage.unpriced == usage.paid else usage.cost,
    }
    tables = {
        "quarantined_by_reason": usage.reasons,
        "refusals_by_model": +usage.refusals,
        "errors_by_kind": usage.errors,
    }
    found |= {name: _table(tally, "reason") for name, tally in tables.items() if tally}
    if usage.bindings:
        found["schema_bound_by"] = dg.MetadataValue.json(usage.bindings)
    if usage.fingerprints:
        found["drift"] = dg.MetadataValue.json(usage.fingerprints)
    return found


def learned(
    metrics: Mapping[str, Any], history: Sequence[Mapping[str, Any]], model: Path
) -> dict[str, Any]:
    """A training job: metrics, every logged step as a table, curves, where the model is."""
    found: dict[str, Any] = {"model": dg.MetadataValue.path(str(model)), "metrics": dict(metrics)}
    names = list(dict.fromkeys(name for step in history for name in step))
    lines = [" | ".join(str(step.get(name, "")) for name in names) for step in _thinned(history)]
    head = [" | ".join(names), "|".join("---" for _ in names)]
    found["history"] = dg.MetadataValue.md("\n".join([*head, *lines]))
    for name in _CURVES:
        # By place: steps count anew in each stage of the curriculum.
        points = [(n, step[name]) for n, step in enumerate(history, 1) if name in step]
        if points:
            found[f"{name}_curve"] = _image(plots.curve(points, name))
    return found


def _thinned(history: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    return history[:: max(1, -(-len(history) // _SHOWN_STEPS))]


def plan_metadata(stages: Sequence[StagePlan]) -> dict[str, Any]:
    """The refresh plan as a table, and its totals."""
    head = "asset | role | model | new | in ledger | to follow | prompt tokens | completion tokens"
    lines = [f"{head} | cost | hours", "---|---|---|--:|--:|--:|--:|--:|--:|--:"]
    for s in stages:
        numbers = (s.new, s.known, s.follow_up, s.prompt_tokens, s.completion_tokens)
        cells = [s.asset, s.role, s.model, *(f"{number:,}" for number in numbers)]
        money = "unpriced" if s.cost is None else f"{s.cost:,.2f}"
        hours = "not measured" if s.hours is None else f"{s.hours:,.2f}"
        lines.append(" | ".join([*cells, money, hours]))
    return {
        "plan": dg.MetadataValue.md("\n".join(lines)),
        "new_calls": sum(s.new for s in stages),
        "calls_to_follow": sum(s.follow_up for s in stages),
        "calls_in_ledger": sum(s.known for s in stages),
        "cost": sum(s.cost or 0.0 for s in stages),
        "hours": sum(s.hours or 0.0 for s in stages),
    }


def rejected(rejects: Sequence[records.Reject]) -> dict[str, Any]:
    """Rows of a file beside the lineage that cannot be used, by line; nothing without any."""
    if not rejects:
        return {}
    lines = [f"{one.source} | {one.line} | {one.column} | {one.reason}" for one in rejects]
    head = ["source | line | column | reason", "---|--:|---|---"]
    return {
        "rejected": len(rejects),
        "rejected_rows": dg.MetadataValue.md("\n".join([*head, *lines[:_SHOWN_REJECTS]])),
    }


def sections(tables: Sequence[report.Section], images: Mapping[str, bytes]) -> dict[str, Any]:
    """Tables and pictures of jury quality, by title."""
    found: dict[str, Any] = {}
    for section in tables:
        lines = [" | ".join(section.head), "|".join("---" for _ in section.head)]
        lines += [" | ".join(str(cell) for cell in row) for row in section.rows]
        text = "\n".join([section.note, "", *lines])
        found[section.title.lower().replace(" ", "_")] = dg.MetadataValue.md(text)
    return found | {name.replace(" ", "_"): _image(png) for name, png in images.items()}


def _table(tally: Mapping[str, int], name: str, columns: int = 1) -> dg.MetadataValue[Any]:
    lines = [f"{key} | {count:,}" for key, count in sorted(tally.items())]
    rule = "---|" * columns + "---:"
    return dg.MetadataValue.md("\n".join([f"{name} | rows", rule, *lines]))


def _image(png: bytes) -> dg.MetadataValue[Any]:
    data = base64.b64encode(png).decode("ascii")
    return dg.MetadataValue.md(f"![bars](data:image/png;base64,{data})")
