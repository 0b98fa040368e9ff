"""Public samples and the union of all origins in Chinese (paper sections 3.2 and 3.3)."""

from collections.abc import Iterator

import dagster as dg
import pyarrow as pa

from assets.metadata import outputs, result, results
from assets.pools import MODELS
from chillguard import annotation, translation
from chillguard.rewriting import methods
from chillguard.rows import records
from chillguard.settings import Settings
from prompts import fingerprint
from resources.inputs.files import SourceFiles
from resources.models.llm import LanguageModels
from resources.translation import Translator

GROUP = "translation"
_PUBLIC = dg.AssetKey("public_prompts")
_REJECTS = dg.AssetKey(["rejected_rows", "public_prompts"])


@dg.multi_asset(
    name="public_prompts",
    group_name=GROUP,
    outs=outputs(
        {_PUBLIC: "external sample, Train only", _REJECTS: "input row that cannot be used"}
    ),
    can_subset=True,
)
def public_prompts(
    context: dg.AssetExecutionContext, public_files: SourceFiles
) -> Iterator[dg.MaterializeResult[pa.Table]]:
    """One row per external sample, its own label kept as `source_label`."""
    rejects: list[records.Reject] = []
    rows = annotation.public_rows(public_files.records((), rejects, context.log.info))
    yield from results(context, {_PUBLIC: rows, _REJECTS: records.rejected_rows(rejects)})


@dg.asset(group_name=GROUP, pool=MODELS, code_version=fingerprint(translation.TEMPLATE))
def candidate_prompts(
    context: dg.AssetExecutionContext,
    synthesized_prompts: pa.Table,
    annotated_prompts: pa.Table,
    rewritten_prompts: pa.Table,
    public_prompts: pa.Table,
    settings: dg.ResourceParam[Settings],
    translator: dg.ResourceParam[Translator],
    llm: LanguageModels,
) -> dg.MaterializeResult[pa.Table]:
    """One row per prompt of any origin, English text translated to Chinese."""
    ask = llm.asker(context)
    tables = (synthesized_prompts, annotated_prompts, rewritten_prompts, public_prompts)
    local = translator.local(context.log.info)
    surface = methods.surface_methods()
    rows = translation.candidates(tables, settings.translation, ask, local, surface)
    originals = rows["translated_from"]
    return result(rows, ask.usage, translated=len(originals) - originals.null_count)
