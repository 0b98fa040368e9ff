"""The release (paper section 3.3): benchmarks to keep out, Train, Test and the dataset card."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa

from assets.metadata import images, outputs, paths, rejected, result, results
from chillguard import taxonomy
from chillguard.cleaning import earlier
from chillguard.release import audit, card, changes, decontamination, roots, sides
from chillguard.rows import records
from chillguard.settings import Settings
from chillguard.synthesis import steering
from prompts import fingerprint
from resources.home import frozen
from resources.home.audit import AuditSheet
from resources.home.releases import Releases
from resources.home.state import State
from resources.inputs.files import SourceFiles

GROUP = "release"
_SIDES = ("train.parquet", "test.parquet")
_PARTS = {
    dg.AssetKey("train_set"): "sample of Train",
    dg.AssetKey("test_set"): "sample of Test",
    dg.AssetKey("release_drops"): "labelled prompt that entered neither side",
}


_SPLIT_FROM = ("labeled_prompts", "benchmark_prompts", "candidate_prompts", "post_index")
_BENCHMARKS = dg.AssetKey("benchmark_prompts")
_REJECTS = dg.AssetKey(["rejected_rows", "benchmark_prompts"])


@dg.multi_asset(
    name="benchmark_prompts",
    group_name=GROUP,
    outs=outputs(
        {_BENCHMARKS: "prompt of an evaluation set", _REJECTS: "input row that cannot be used"}
    ),
    can_subset=True,
)
def benchmark_prompts(
    context: dg.AssetExecutionContext, benchmark_files: SourceFiles
) -> Iterator[dg.MaterializeResult[pa.Table]]:
    """One row per prompt of an evaluation set, which Train must not hold."""
    rejects: list[records.Reject] = []
    rows = decontamination.benchmark_rows(benchmark_files.records((), rejects, context.log.info))
    yield from results(context, {_BENCHMARKS: rows, _REJECTS: records.rejected_rows(rejects)})


@dg.multi_asset(
    name="split",
    group_name=GROUP,
    outs=outputs(_PARTS),
    ins={name: dg.AssetIn(name) for name in _SPLIT_FROM},
    can_subset=True,
)
def split_sets(
    context: dg.AssetExecutionContext,
    labeled_prompts: pa.Table,
    benchmark_prompts: pa.Table,
    candidate_prompts: pa.Table,
    post_index: pa.Table,
    settings: dg.ResourceParam[Settings],
    state: State,
    releases: Releases,
) -> Iterator[dg.MaterializeResult[pa.Table]]:
    """Train and Test by family; sides given in earlier releases are kept."""
    parts = sides.prepare(
        labeled_prompts,
        frozen.earlier(state, releases, candidate_prompts, context.log.warning),
        settings.split,
        settings.cleaning,
        roots.texts(candidate_prompts, post_index),
        state.taken_down(),
        benchmark_prompts,
    )
    tables = dict(zip(_PARTS, (parts.train, parts.test, parts.drops), strict=True))
    yield from results(context, tables)


def _audited(
    sheet: AuditSheet, codes: Collection[str], test: pa.Table
) -> tuple[audit.Report | None, dict[str, Any]]:
    """What people found, and metadata of the rows of their sheet that cannot be used."""
    rejects: list[records.Reject] = []
    report = audit.report(audit.decisions(sheet.rows(), codes, rejects), test)
    return report, rejected(rejects)


def dataset_card(lineage: Sequence[dg.AssetKey]) -> dg.AssetsDefinition:
    """The asset `dataset_card`; `lineage` are the tables that its funnel adds up."""
    names = {"__".join(key.path): key for key in lineage}
    inputs = {name: dg.AssetIn(key) for name, key in names.items()}

    @dg.asset(
        group_name=GROUP,
        ins={"categories": dg.AssetIn("taxonomy"), **inputs},
        code_version=fingerprint(card.CARD) + fingerprint(card.REPORT),
    )
    def dataset_card(
        categories: pa.Table,
        state: State,
        releases: Releases,
        audit_sheet: AuditSheet,
        provenance: dg.ResourceParam[card.Provenance],
        settings: dg.ResourceParam[Settings],
        **loaded: pa.Table,
    ) -> dg.MaterializeResult[pa.Table]:
        """One row per release: writes `release/<version>/` with data, card, report and changes."""
        tables = {key.to_user_string(): loaded[name] for name, key in names.items()}
        parts = sides.Parts(tables["train_set"], tables["test_set"], tables["release_drops"])
        tree, both = taxonomy.from_rows(categories), sides.both(parts)
        audited, left_out = _audited(audit_sheet, tree.codes, parts.test)
        version = sides.version(parts.train, parts.test)
        previous = releases.before(version)
        changed = changes.difference(both, releases.rows(previous))
        rows = card.card_rows(version, previous, parts, changed)
        files = card.documents(rows.to_pylist()[0], tables, tree, provenance, changed, audited)
        files |= {audit.SHEET: audit.sheet(audit.sample(parts.test, settings.audit.sample))}
        extra = steering.steer(state.extra_queries(), both, tree, settings.synthesis)
        state.save_extra_queries(extra, version)
        state.append_signatures(earlier.table(both, settings.cleaning.shingles), version)
        state.append_anchors(tables["anchor_votes"], version)
        state.append_splits(sides.new_families(parts, state.splits()), version)
        parquet = {"train": parts.train, "test": parts.test}
        folder = releases.write(version, parquet, card.sealed(changed), files)
        return result(rows, **images(files), **paths(folder, (*_SIDES, *files)), **left_out)

    return dataset_card
