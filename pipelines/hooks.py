"""What is told when a step fails: which assets, why, and what to do next."""

import dagster as dg

from resources.notifier import Notice, Notifier, cause_of


def tell_of_failure(what: str) -> dg.HookDefinition:
    """A hook for the step that makes `what`; it never fails a run, and tells no text or secret."""

    @dg.failure_hook(
        name=f"tell_of_failure_{''.join(c if c.isalnum() else '_' for c in what)}",
        required_resource_keys={"notifier"},
    )
    def tell(context: dg.HookContext) -> None:
        notifier: Notifier = context.resources.notifier
        notice = Notice(
            what=what,
            job=context.job_name,
            run_id=context.run_id,
            cause=cause_of(context.op_exception),
        )
        context.log.error(notice.text)
        trouble = notifier.send(notice)
        if trouble:
            context.log.warning(f"the webhook was not told: {trouble}")

    return tell


def watched(assets: dg.AssetsDefinition) -> dg.AssetsDefinition:
    """Assets, or checks of assets, whose failure is told whichever job runs them."""
    made = [key.to_user_string() for key in assets.keys]
    checked = [f"{key.name} of {key.asset_key.to_user_string()}" for key in assets.check_keys]
    return assets.with_hooks({tell_of_failure(", ".join(sorted(made or checked)))})
