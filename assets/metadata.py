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
from chillguard.release import card
from chillguard.rows import records
from chillguard.tables.reasons import Reason
from chillguard.text import personal_data
from resources.models.planner import StagePlan
from resources.models.progress import Usage

Cell = str | int | float | bool | None
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
    metadata: dict[str, Any] = {"rows": table.num_rows}
    if "drop_reason" in table.column_names:
        reasons = Counter(table["drop_reason"].drop_null().to_pylist())
        metadata |= {"kept": table.num_rows - reasons.total(), "dropped": reasons.total()}
        metadata["drops_by_reason"] = _tally(reasons, "reason")
        metadata |= door(table)
    if "standing" in table.column_names:
        metadata["by_standing"] = _tally(Counter(table["standing"].to_pylist()), "standing")
    return metadata


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
        (row[source], mark) for row in rows for mark in personal_data.replaced([row["text"]])
    )
    screened = Counter(row[source] for row in rows if row["drop_reason"] == Reason.SCREENED)
    return {
        "personal_data_replaced": _table(
            ("source", "kind", "rows"), [(*key, count) for key, count in sorted(replaced.items())]
        ),
        "screened_by_source": _tally(screened, "source"),
    }


def pictures(table: pa.Table) -> dict[str, Any]:
    """Bars of labels and categories, where the table has them."""
    metadata: dict[str, Any] = {}
    for titles in (_PICTURED, _CATEGORIES):
        name = next((name for name in titles if name in table.column_names), None)
        if name:
            tally = Counter(table[name].drop_null().to_pylist())
            png = plots.bars(dict(sorted(tally.items())), titles[name])
            metadata[titles[name].replace(" ", "_")] = _image(png)
    return metadata


def preview(table: pa.Table) -> dict[str, Any]:
    """The first rows, text masked."""
    if not {"prompt_id", "text"} <= set(table.column_names):
        return {}
    rows = [card.masked(row) for row in table.slice(0, _PREVIEW_ROWS).to_pylist()]
    if not rows:
        return {}
    return {"preview": _table(list(rows[0]), [list(row.values()) for row in rows])}


def spent(usage: Usage | None) -> dict[str, Any]:
    """Model calls of the asset: paid, answered from the ledger, quarantined, tokens, cost.

    And what was seen of the endpoints: how they bind a schema, fingerprints of a model that drifts.
    """
    if usage is None:
        return {}
    metadata: dict[str, Any] = {
        "calls_paid": usage.paid,
        "calls_from_ledger": usage.from_ledger,
        "calls_quarantined": usage.quarantined,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cost": "unpriced" if usage.paid and usage.unpriced == usage.paid else usage.cost,
    }
    seldom = {
        "calls_with_estimated_tokens": usage.tokens_estimated,
        "thinking_characters": usage.thinking,
    }
    metadata |= {name: count for name, count in seldom.items() if count}
    tables = {
        "quarantined_by_reason": usage.reasons,
        "refusals_by_model": +usage.refusals,
        "errors_by_kind": usage.errors,
    }
    metadata |= {name: _tally(tally, "reason") for name, tally in tables.items() if tally}
    if usage.bindings:
        metadata["schema_bound_by"] = dg.MetadataValue.json(usage.bindings)
    if usage.fingerprints:
        metadata["drift"] = dg.MetadataValue.json(usage.fingerprints)
    return metadata


def learned(
    metrics: Mapping[str, Any], history: Sequence[Mapping[str, Any]], model: Path
) -> dict[str, Any]:
    """A training job: metrics, every logged step as a table, curves, where the model is."""
    metadata: dict[str, Any] = {
        "model": dg.MetadataValue.path(str(model)),
        "metrics": dict(metrics),
    }
    names = list(dict.fromkeys(name for step in history for name in step))
    metadata["history"] = _table(
        names, [[step.get(name) for name in names] for step in _thinned(history)]
    )
    for name in _CURVES:
        # By place: steps count anew in each stage of the curriculum.
        points = [(n, step[name]) for n, step in enumerate(history, 1) if name in step]
        if points:
            metadata[f"{name}_curve"] = _image(plots.curve(points, name))
    return metadata


def _thinned(history: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    return history[:: max(1, -(-len(history) // _SHOWN_STEPS))]


def plan_metadata(stages: Sequence[StagePlan]) -> dict[str, Any]:
    """The refresh plan as a table, and its totals.

    A span is what is sure and what may come at most.
    """
    head = (
        *("asset", "role", "model", "at least", "at most", "in ledger"),
        *("prompt tokens", "completion tokens", "cost", "cost at most", "hours", "hours at most"),
        "not foreseen",
    )
    lines = [
        (
            *(s.asset, s.role, s.model, *s.calls, s.known),
            *(_span(s.prompt_tokens), _span(s.completion_tokens)),
            *(*(s.cost or (None, None)), *(s.hours or (None, None)), s.unsure or None),
        )
        for s in stages
    ]
    asked = [s for s in stages if s.calls[1]]
    cost, hours = ([s.cost for s in asked if s.cost], [s.hours for s in asked if s.hours])
    return {
        "plan": _table(head, lines),
        "new_calls": sum(s.calls[0] for s in stages),
        "new_calls_at_most": sum(s.calls[1] for s in stages),
        "calls_in_ledger": sum(s.known for s in stages),
        "cost": "unpriced" if asked and not cost else sum(low for low, _ in cost),
        "cost_at_most": "unpriced" if asked and not cost else sum(high for _, high in cost),
        "hours": sum(low for low, _ in hours),
        "hours_at_most": sum(high for _, high in hours),
    }


def plan_text(stages: Sequence[StagePlan]) -> str:
    """The refresh plan as lines of a log: what each role is asked, and what is not foreseen."""
    lines = [
        f"{s.asset}: {s.role}: {_span(s.calls)} new calls, {s.known:,} in the ledger, "
        f"{'cost ' + str(_span(s.cost, '.2f')) if s.cost else 'unpriced'}"
        + (f" (not foreseen: {s.unsure})" if s.unsure else "")
        for s in stages
    ]
    total = _span((sum(s.calls[0] for s in stages), sum(s.calls[1] for s in stages)))
    return "\n".join([*lines, f"in all: {total} new calls"])


def _span(pair: tuple[float, float] | None, form: str = "") -> str | None:
    if pair is None:
        return None
    low, high = (f"{number:,{form}}" for number in pair)
    return low if low == high else f"{low} – {high}"


def rejected(rejects: Sequence[records.Reject]) -> dict[str, Any]:
    """Rows of a file beside the lineage that cannot be used, by line; nothing without any."""
    if not rejects:
        return {}
    lines = [(one.source, one.line, one.column, one.reason) for one in rejects[:_SHOWN_REJECTS]]
    head = ("source", "line", "column", "reason")
    return {"rejected": len(rejects), "rejected_rows": _table(head, lines)}


def sections(tables: Sequence[report.Section], images: Mapping[str, bytes]) -> dict[str, Any]:
    """Tables and pictures of jury quality, by title."""
    metadata: dict[str, Any] = {}
    for section in tables:
        title = section.title.lower().replace(" ", "_")
        metadata[title] = _table(section.head, section.rows)
        metadata[f"{title}_note"] = section.note
    return metadata | {name.replace(" ", "_"): _image(png) for name, png in images.items()}


def _tally(tally: Mapping[str, int], name: str) -> dg.TableMetadataValue:
    return _table((name, "rows"), sorted(tally.items()))


def _table(head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> dg.TableMetadataValue:
    """A table that the UI sorts; an empty one keeps its head."""
    lines = [dict(zip(head, row, strict=True)) for row in rows]
    columns = []
    for name in head:
        value = next((line[name] for line in lines if line[name] is not None), None)
        kind = dg.TableMetadataValue.infer_column_type(value)
        columns.append(dg.TableColumn(name, kind))
    return dg.MetadataValue.table([dg.TableRecord(line) for line in lines], dg.TableSchema(columns))


def _image(png: bytes) -> dg.MetadataValue[Any]:
    data = base64.b64encode(png).decode("ascii")
    return dg.MetadataValue.md(f"![bars](data:image/png;base64,{data})")
