"""Jobs: what is materialised together, and what is done about calls that failed."""

import dagster as dg
from pydantic import Field

from pipelines.hooks import tell_of_failure
from resources.home.publishing import Publishing
from resources.models.llm import LanguageModels
from resources.takedown import Takedown

_PLAN = dg.AssetSelection.assets("refresh_plan")
_RELEASE = dg.AssetSelection.assets("dataset_card").upstream()
_CORPUS = dg.AssetSelection.groups("crawl", "embedding")


def _from(root: str) -> dg.AssetSelection:
    """A refresh from one input on: the input with its rejected rows, and its descendants."""
    read = dg.AssetSelection.assets(root, ["rejected_rows", root])
    return read | (dg.AssetSelection.assets(root).downstream() & _RELEASE)


refresh = dg.define_asset_job(
    "refresh",
    _RELEASE,
    description="The whole lineage, from taxonomy to release.",
)
real_prompts_refresh = dg.define_asset_job(
    "real_prompts_refresh",
    _from("real_prompts"),
    description="The real prompts and what depends on them, up to the release; nothing is crawled.",
)
public_prompts_refresh = dg.define_asset_job(
    "public_prompts_refresh",
    _from("public_prompts"),
    description="The public samples and what depends on them, up to the release.",
)
benchmarks_refresh = dg.define_asset_job(
    "benchmarks_refresh",
    _from("benchmark_prompts"),
    description="The evaluation sets and what is decontaminated by them, up to the release.",
)
reviews_refresh = dg.define_asset_job(
    "reviews_refresh",
    _from("review_decisions"),
    description="The decisions of reviewers and what they override, up to the release.",
)
prompts_refresh = dg.define_asset_job(
    "prompts_refresh",
    _RELEASE - _CORPUS,
    description="The lineage without crawl and index: asks anew what a changed template changed.",
)
corpus_refresh = dg.define_asset_job(
    "corpus_refresh",
    _CORPUS,
    description="New posts of all sources, and their vectors; asks no model role.",
)
training = dg.define_asset_job(
    "training",
    dg.AssetSelection.groups("training"),
    description="Co-training on the release that the approval file names, in full.",
)
plan = dg.define_asset_job(
    "plan", _PLAN, description="What a refresh would ask and cost; pays for nothing."
)


class Redrive(dg.Config):
    """Which quarantined calls to ask again: those of one asset key, or all."""

    asset: str | None = Field(None, description="an asset key, such as rewritten_prompts; or all")


@dg.op
def redrive(context: dg.OpExecutionContext, config: Redrive, llm: LanguageModels) -> None:
    """Let quarantined calls be asked again by the next run."""
    count = llm.ledger.redrive(config.asset)
    context.log.info(f"{count:,} quarantined calls will be asked again by the next run")


@dg.job(
    description="After a fix: the next refresh asks quarantined calls again.",
    hooks={tell_of_failure("redrive_quarantine")},
)
def redrive_quarantine() -> None:
    """One step; follow it with `refresh`."""
    redrive()


class Removal(dg.Config):
    """Which post to take down."""

    post: str = Field(description="its own id (or `source:own id`), its URL, or its post id")


@dg.op
def take_down(context: dg.OpExecutionContext, config: Removal, takedown: Takedown) -> None:
    """Remove a post, its point, the answers made from it, and the text of every derived row."""
    report = takedown.remove(config.post)
    context.log.info(f"takedown {config.post}: {report}")
    for sentence in report["to_do"]:
        context.log.warning(f"takedown {config.post}: to do: {sentence}")
    context.add_output_metadata(report)


@dg.job(
    description="Removes a post and what was made from it; the next refresh releases without it.",
    hooks={tell_of_failure("post_takedown")},
)
def post_takedown() -> None:
    """One step; follow it with `refresh`."""
    take_down()


class Publication(dg.Config):
    """Who allowed it, and which release."""

    approval: str = Field(description="path of the approval file (docs/how-to/publish.md)")
    version: str | None = Field(None, description="version of the release; the newest unless told")


@dg.op
def publish_release(
    context: dg.OpExecutionContext, config: Publication, publishing: Publishing
) -> None:
    """Write `public/<version>/`: ids only where terms bar redistribution."""
    folder = publishing.publish(config.approval, config.version)
    context.log.info(f"published {folder}")
    context.add_output_metadata({"folder": dg.MetadataValue.path(str(folder))})


@dg.job(
    description="Publishes a release that an approval file names; nothing is sent anywhere.",
    hooks={tell_of_failure("publish")},
)
def publish() -> None:
    """One step; it reads the release, never the lineage."""
    publish_release()


JOBS = (
    refresh,
    real_prompts_refresh,
    public_prompts_refresh,
    benchmarks_refresh,
    reviews_refresh,
    prompts_refresh,
    corpus_refresh,
    plan,
    redrive_quarantine,
    post_takedown,
    publish,
)
