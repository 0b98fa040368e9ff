"""The release (paper section 3.3): Train, Test and the dataset card."""

from collections.abc import Iterator, Sequence

import dagster as dg
import pyarrow as pa

from assets.metadata import outputs, paths, result, results
from chillguard import card, release, synthesis, taxonomy
from chillguard.settings import Settings
from resources.releases import Releases
from resources.state import State

GROUP = "release"
_PARTS = {
    dg.AssetKey("train_set"): "sample of Train",
    dg.AssetKey("test_set"): "sample of Test",
    dg.AssetKey("release_drops"): "labelled prompt that entered neither side",
}


@dg.multi_asset(
    name="split",
    group_name=GROUP,
    outs=outputs(_PARTS),
    ins={"labeled_prompts": dg.AssetIn("labeled_prompts")},
    can_subset=True,
)
def split_sets(
    context: dg.AssetExecutionContext,
    labeled_prompts: pa.Table,
    settings: dg.ResourceParam[Settings],
    state: State,
    releases: Releases,
) -> Iterator[dg.MaterializeResult[pa.Table]]:
    """Train and Test by family; sides given in earlier releases are kept."""
    parts = release.prepare(
        labeled_prompts,
        releases.released_ids(),
        state.splits(),
        settings.split,
        settings.cleaning,
        state.taken_down(),
    )
    tables = dict(zip(_PARTS, (parts.train, parts.test, parts.drops), strict=True))
    yield from results(context, tables)


def dataset_card(lineage: Sequence[dg.AssetKey]) -> dg.AssetsDefinition:
    """The asset `dataset_card`; `lineage` are the tables that its funnel adds up."""
    names = {"__".join(key.path): key for key in lineage}

    @dg.asset(
        group_name=GROUP,
        ins={
            "categories": dg.AssetIn("taxonomy"),
            **{name: dg.AssetIn(key) for name, key in names.items()},
        },
    )
    def dataset_card(
        categories: pa.Table,
        state: State,
        releases: Releases,
        provenance: dg.ResourceParam[card.Provenance],
        settings: dg.ResourceParam[Settings],
        **loaded: pa.Table,
    ) -> dg.MaterializeResult[pa.Table]:
        """One row per release: writes `release/<version>/` with Parquet, card and report."""
        tables = {key.to_user_string(): loaded[name] for name, key in names.items()}
        parts = release.Parts(tables["train_set"], tables["test_set"], tables["release_drops"])
        version = release.version(parts.train, parts.test)
        previous = releases.before(version)
        diff = release.difference(release.both(parts), releases.rows(previous))
        rows = card.card_rows(version, previous, parts, diff)
        known, both = taxonomy.from_rows(categories), release.both(parts)
        files = card.documents(rows.to_pylist()[0], tables, known, provenance)
        files["losses.parquet"] = card.losses(tables)
        extra = synthesis.steer(state.extra_queries(), both, known, settings.synthesis)
        state.save_extra_queries(extra, version)
        state.append_anchors(tables["anchor_votes"], version)
        state.append_splits(release.new_families(parts, state.splits()), version)
        folder = releases.write(version, {"train": parts.train, "test": parts.test}, files)
        return result(rows, **paths(folder, ("train.parquet", "test.parquet", *files)))

    return dataset_card
