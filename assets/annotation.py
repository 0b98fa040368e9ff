"""Real prompts and their annotation (paper section 3.1)."""

from collections.abc import Iterator

import dagster as dg
import pyarrow as pa

from assets.metadata import outputs, result, results
from assets.pools import MODELS
from chillguard import annotation, taxonomy
from chillguard.labeling import jury
from chillguard.rows import records
from chillguard.settings import Settings
from prompts import fingerprint
from resources.inputs.files import SourceFiles
from resources.models.llm import LanguageModels

GROUP = "annotation"
_REAL = dg.AssetKey("real_prompts")
_REJECTS = dg.AssetKey(["rejected_rows", "real_prompts"])


@dg.multi_asset(
    name="real_prompts",
    group_name=GROUP,
    outs=outputs({_REAL: "production prompt", _REJECTS: "input row that cannot be used"}),
    ins={"categories": dg.AssetIn("taxonomy")},
    can_subset=True,
)
def real_prompts(
    context: dg.AssetExecutionContext, categories: pa.Table, real_prompt_files: SourceFiles
) -> Iterator[dg.MaterializeResult[pa.Table]]:
    """One row per production prompt; personal data is replaced at read."""
    rejects: list[records.Reject] = []
    codes = taxonomy.from_rows(categories).codes
    rows = annotation.real_rows(real_prompt_files.records(codes, rejects, context.log.info))
    yield from results(context, {_REAL: rows, _REJECTS: records.rejected_rows(rejects)})


def annotated_prompts(jurors: list[str]) -> dg.AssetsDefinition:
    """The asset `annotated_prompts`, asking these juror slots."""

    @dg.asset(
        group_name=GROUP,
        ins={"categories": dg.AssetIn("taxonomy")},
        pool=MODELS,
        code_version=fingerprint(jury.VOTE) + fingerprint(jury.CATEGORIZE),
    )
    def annotated_prompts(
        context: dg.AssetExecutionContext,
        categories: pa.Table,
        real_prompts: pa.Table,
        settings: dg.ResourceParam[Settings],
        llm: LanguageModels,
    ) -> dg.MaterializeResult[pa.Table]:
        """One row per real prompt, with label and category where they could be had."""
        ask, tree = llm.asker(context), taxonomy.from_rows(categories)
        rows = annotation.annotate(real_prompts, jurors, tree, settings.labeling, ask)
        without = sum(not annotation.has_outcome(row) for row in rows.to_pylist())
        return result(rows, ask.usage, without_outcome=without)

    return annotated_prompts
