"""The jury and the final labels (paper section 3.2)."""

from collections.abc import Sequence

import dagster as dg
import pyarrow as pa

from assets.metadata import result
from chillguard import labeling, taxonomy
from chillguard.settings import Settings
from prompts import fingerprint
from resources.llm import LanguageModels

GROUP = "labeling"


def jury_votes(juror: str) -> dg.AssetsDefinition:
    """The asset `jury_votes/<juror>`: a jury slot, replayed alone when its model changes."""

    @dg.asset(
        key=["jury_votes", juror],
        group_name=GROUP,
        ins={"categories": dg.AssetIn("taxonomy")},
        code_version=fingerprint(labeling.VOTE),
    )
    def votes(
        context: dg.AssetExecutionContext,
        categories: pa.Table,
        clean_prompts: pa.Table,
        settings: dg.ResourceParam[Settings],
        llm: LanguageModels,
    ) -> dg.MaterializeResult[pa.Table]:
        """One row per (prompt, juror): safe, unsafe or abstain."""
        ask, known = llm.asker(context), taxonomy.from_rows(categories)
        prompts = labeling.to_judge(clean_prompts, settings.labeling)
        requests = labeling.vote_requests(prompts, known, settings.labeling)
        outcomes = ask(juror, requests, labeling.parse_vote)
        rows = labeling.vote_rows(outcomes, juror, llm.identity(juror))
        return result(rows, ask.usage)

    return votes


def labeled_prompts(jurors: Sequence[str]) -> dg.AssetsDefinition:
    """The asset `labeled_prompts` over all juror slots."""

    @dg.asset(
        group_name=GROUP,
        ins={
            "categories": dg.AssetIn("taxonomy"),
            **{juror: dg.AssetIn(["jury_votes", juror]) for juror in jurors},
        },
        code_version=fingerprint(labeling.VOTE) + fingerprint(labeling.CATEGORIZE),
    )
    def labeled_prompts(
        context: dg.AssetExecutionContext,
        categories: pa.Table,
        clean_prompts: pa.Table,
        settings: dg.ResourceParam[Settings],
        llm: LanguageModels,
        **votes: pa.Table,
    ) -> dg.MaterializeResult[pa.Table]:
        """One row per clean prompt: final label and category, or why there is none."""
        ask, known = llm.asker(context), taxonomy.from_rows(categories)
        prompts = labeling.to_label(clean_prompts, settings.labeling)
        cast = labeling.by_prompt(votes[juror] for juror in jurors)
        rulings = labeling.rule(prompts, cast, known, settings.labeling, ask)
        return result(labeling.rows(clean_prompts, rulings, known), ask.usage)

    return labeled_prompts
