"""Jobs: what is materialised together, and what is done about calls that failed."""

import dagster as dg

from resources.llm import LanguageModels
from resources.publishing import Publishing
from resources.takedown import Takedown

_PLAN = dg.AssetSelection.assets("refresh_plan")
# Training runs only when it is asked for.
_TRAINING = dg.AssetSelection.groups("training")
refresh = dg.define_asset_job(
    "refresh",
    dg.AssetSelection.all() - _PLAN - _TRAINING,
    description="The whole lineage, from taxonomy to release.",
)
real_prompts_refresh = dg.define_asset_job(
    "real_prompts_refresh",
    dg.AssetSelection.assets("real_prompts").downstream() - _TRAINING,
    description="Everything that depends on the real prompts; run by the sensor on their files.",
)
plan = dg.define_asset_job(
    "plan", _PLAN, description="What a refresh would ask and cost; pays for nothing."
)


class Redrive(dg.Config):
    """Which quarantined calls to ask again: those of one asset key, or all."""

    asset: str | None = None


@dg.op
def redrive(context: dg.OpExecutionContext, config: Redrive, llm: LanguageModels) -> None:
    """Let quarantined calls be asked again by the next run."""
    count = llm.ledger.redrive(config.asset)
    context.log.info(f"{count:,} quarantined calls will be asked again by the next run")


@dg.job(description="After a fix: the next refresh asks quarantined calls again.")
def redrive_quarantine() -> None:
    """One step; follow it with `refresh`."""
    redrive()


class Removal(dg.Config):
    """Which post to take down: its own id (or `source:own id`), its URL, or its post id."""

    post: str


@dg.op
def take_down(context: dg.OpExecutionContext, config: Removal, takedown: Takedown) -> None:
    """Remove a post, its point, the answers made from it, and the text of every derived row."""
    report = takedown.remove(config.post)
    context.log.info(f"takedown {config.post}: {report}")
    context.add_output_metadata(report)


@dg.job(
    description="Removes a post and what was made from it; the next refresh releases without it."
)
def post_takedown() -> None:
    """One step; follow it with `refresh`."""
    take_down()


class Publication(dg.Config):
    """The approval file (person, date, version), and which release; the newest unless told."""

    approval: str
    version: str | None = None


@dg.op
def publish_release(
    context: dg.OpExecutionContext, config: Publication, publishing: Publishing
) -> None:
    """Write `public/<version>/`: ids only where terms bar redistribution."""
    folder = publishing.publish(config.approval, config.version)
    context.log.info(f"published {folder}")
    context.add_output_metadata({"folder": dg.MetadataValue.path(str(folder))})


@dg.job(description="Publishes a release that an approval file names; nothing is sent anywhere.")
def publish() -> None:
    """One step; it reads the release, never the lineage."""
    publish_release()


JOBS = (refresh, real_prompts_refresh, plan, redrive_quarantine, post_takedown, publish)
