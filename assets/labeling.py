"""The jury, final labels, review and jury quality (paper section 3.2)."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa

from assets.metadata import outputs, result, results, sections
from assets.pools import MODELS
from chillguard import taxonomy
from chillguard.labeling import anchors, docket, jury, quality, report, review, review_export
from chillguard.release import sides
from chillguard.rows import records
from chillguard.settings import Settings
from prompts import fingerprint
from resources.home.releases import Releases
from resources.home.review import Review
from resources.home.state import State
from resources.inputs.files import YamlFile
from resources.models.llm import LanguageModels

GROUP = "labeling"
_DECISIONS = dg.AssetKey("review_decisions")
_REJECTS = dg.AssetKey(["rejected_rows", "review_decisions"])


def _votes(jurors: Sequence[str]) -> dict[str, dg.AssetIn]:
    return {juror: dg.AssetIn(["jury_votes", juror]) for juror in jurors}


@dg.multi_asset(
    name="review_decisions",
    group_name=GROUP,
    outs=outputs({_DECISIONS: "decision of a reviewer", _REJECTS: "input row that is no decision"}),
    ins={"categories": dg.AssetIn("taxonomy"), "clean_prompts": dg.AssetIn("clean_prompts")},
    can_subset=True,
)
def review_decisions(
    context: dg.AssetExecutionContext,
    categories: pa.Table,
    clean_prompts: pa.Table,
    reviews: Review,
) -> Iterator[dg.MaterializeResult[pa.Table]]:
    """One row per decision of a reviewer: what it says, and whether it counts."""
    rejects: list[records.Reject] = []
    codes = taxonomy.from_rows(categories).codes
    decisions = review.decisions(reviews.parsed(), codes, reviews.reviewers, rejects)
    table = review.rows(decisions, clean_prompts)
    if rejects:
        context.log.warning(f"{len(rejects)} rows are no decisions: see rejected_rows")
    yield from results(context, {_DECISIONS: table, _REJECTS: records.rejected_rows(rejects)})


def jury_votes(juror: str) -> dg.AssetsDefinition:
    """The asset `jury_votes/<juror>`: a jury slot, replayed alone when its model changes."""

    @dg.asset(
        key=["jury_votes", juror],
        group_name=GROUP,
        ins={"categories": dg.AssetIn("taxonomy")},
        pool=MODELS,
        code_version=fingerprint(jury.VOTE),
    )
    def votes(
        context: dg.AssetExecutionContext,
        categories: pa.Table,
        clean_prompts: pa.Table,
        settings: dg.ResourceParam[Settings],
        llm: LanguageModels,
    ) -> dg.MaterializeResult[pa.Table]:
        """One row per (prompt, juror): safe, unsafe or abstain."""
        ask, tree = llm.asker(context), taxonomy.from_rows(categories)
        prompts = docket.to_judge(clean_prompts, settings.labeling.relabel_public)
        identity = llm.identity(juror)
        rows = jury.cast(juror, prompts, tree, settings.labeling, ask, identity)
        return result(rows, ask.usage)

    return votes


def labeled_prompts(jurors: Sequence[str]) -> dg.AssetsDefinition:
    """The asset `labeled_prompts` over all juror slots."""

    @dg.asset(
        group_name=GROUP,
        ins={
            "categories": dg.AssetIn("taxonomy"),
            "review_decisions": dg.AssetIn("review_decisions"),
            **_votes(jurors),
        },
        pool=MODELS,
        code_version=fingerprint(jury.VOTE) + fingerprint(jury.CATEGORIZE),
    )
    def labeled_prompts(
        context: dg.AssetExecutionContext,
        categories: pa.Table,
        clean_prompts: pa.Table,
        review_decisions: pa.Table,
        settings: dg.ResourceParam[Settings],
        llm: LanguageModels,
        **votes: pa.Table,
    ) -> dg.MaterializeResult[pa.Table]:
        """One row per clean prompt: final label and category, or why there is none."""
        ask, tree = llm.asker(context), taxonomy.from_rows(categories)
        prompts = docket.to_label(clean_prompts, settings.labeling.relabel_public)
        cast = jury.by_prompt(votes[juror] for juror in jurors)
        reviewed = review.applied(review_decisions)
        rulings = jury.rule(prompts, cast, tree, settings.labeling, ask, reviewed)
        return result(jury.rows(clean_prompts, rulings, tree), ask.usage)

    return labeled_prompts


def review_queue(jurors: Sequence[str]) -> dg.AssetsDefinition:
    """The asset `review_queue`; the export for reviewers is in `review/<digest>/`."""

    @dg.asset(
        group_name=GROUP,
        ins={
            "categories": dg.AssetIn("taxonomy"),
            "labeled_prompts": dg.AssetIn("labeled_prompts"),
            **_votes(jurors),
        },
    )
    def review_queue(
        categories: pa.Table,
        labeled_prompts: pa.Table,
        settings: dg.ResourceParam[Settings],
        reviews: Review,
        **votes: pa.Table,
    ) -> dg.MaterializeResult[pa.Table]:
        """One row per prompt that waits for a reviewer, the most informative first."""
        cast = {juror: votes[juror] for juror in jurors}
        panel = quality.Panel.of(labeled_prompts, cast)
        waiting = review.waiting(labeled_prompts, panel.p_unsafe())
        queue = review.queue(waiting, settings.review)
        folder = reviews.export(review_export.files(queue, taxonomy.from_rows(categories)))
        export = dg.MetadataValue.path(str(folder))
        return result(queue, waiting=len(waiting), export=export)

    return review_queue


def anchor_votes(jurors: Sequence[str]) -> dg.AssetsDefinition:
    """The asset `anchor_votes` over all juror slots, asked once per release."""

    @dg.asset(
        group_name=GROUP,
        ins={
            "categories": dg.AssetIn("taxonomy"),
            "train_set": dg.AssetIn("train_set"),
            "test_set": dg.AssetIn("test_set"),
        },
        pool=MODELS,
        code_version=fingerprint(jury.VOTE),
    )
    def anchor_votes(
        context: dg.AssetExecutionContext,
        categories: pa.Table,
        train_set: pa.Table,
        test_set: pa.Table,
        settings: dg.ResourceParam[Settings],
        anchor_file: YamlFile,
        releases: Releases,
        llm: LanguageModels,
    ) -> dg.MaterializeResult[pa.Table]:
        """One row per (anchor, juror): the vote on a text whose label is known."""
        ask, tree = llm.asker(context), taxonomy.from_rows(categories)
        fixed = anchors.parse(anchor_file.load(), tree, anchor_file.path)
        slots = {juror: llm.identity(juror) for juror in jurors}
        refresh = releases.number(sides.version(train_set, test_set))
        table = anchors.votes(fixed, tree, settings.labeling, ask, slots, refresh)
        return result(table, ask.usage, refresh=refresh)

    return anchor_votes


def jury_quality_asset(jurors: Sequence[str]) -> dg.AssetsDefinition:
    """The asset `jury_quality`; it changes no label."""

    @dg.asset(
        name="jury_quality",
        group_name=GROUP,
        ins={
            name: dg.AssetIn(name)
            for name in ("labeled_prompts", "anchor_votes", "review_decisions")
        }
        | _votes(jurors),
    )
    def measured(
        labeled_prompts: pa.Table,
        anchor_votes: pa.Table,
        review_decisions: pa.Table,
        settings: dg.ResourceParam[Settings],
        state: State,
        **votes: pa.Table,
    ) -> dg.MaterializeResult[pa.Table]:
        """One row per figure: agreement, independence, bias, abstentions, anchors, drift."""
        panel = quality.Panel.of(labeled_prompts, {juror: votes[juror] for juror in jurors})
        table = quality.table(
            panel,
            settings.labeling.quorum,
            anchor_votes,
            state.anchors_before(anchor_votes),
            review.waiting(labeled_prompts, panel.p_unsafe()),
            review_decisions,
        )
        shown = sections(report.sections(table), report.pictures(table))
        return result(table, **dict[str, Any](report.headline(table)), **shown)

    return measured
