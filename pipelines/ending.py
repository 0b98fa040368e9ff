"""How the last run ended: why it failed, or what it left out; told in a few lines.

Reads Dagster's log of the run. What it made lies in the home (`pipelines.summary`).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

# The form of a notice (`resources.notifier`).
_FAILED, _NEXT = " failed: ", ". Next: "
_SHOWN = 4


def last_run(instance: dg.DagsterInstance) -> dg.DagsterRun | None:
    """The newest run of the home, whatever became of it."""
    return next(iter(instance.get_runs(limit=1)), None)


def causes(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """Why the steps of a run failed, one sentence for each cause, the first failure first."""
    entries = instance.all_logs(run_id)
    # What the failure hook tells is in the project's own words, and quotes neither text nor secret.
    notices = [entry.user_message for entry in entries if not entry.dagster_event]
    steps = dict[str, list[str]]()
    for step, failed, why in (notice.partition(_FAILED) for notice in notices):
        if failed and _NEXT in why:
            steps.setdefault(why.partition(_NEXT)[0], []).append(step)
    sentences = [f"{', '.join(names)}{_FAILED}{cause}" for cause, names in steps.items()]
    events = (entry.dagster_event for entry in entries if entry.dagster_event)
    failures = [event.message for event in events if event and event.is_failure and event.message]
    return sentences or [message.splitlines()[0] for message in failures]


def left_out(instance: dg.DagsterInstance, run_id: str) -> Iterator[str]:
    """What a run rejected, what it could not have answered, and what it paid without a price."""
    made = list(_materialized(instance, run_id))
    rejected = {name: count for name, facts in made if (count := _rejected(name, facts))}
    unanswered = _sums(made, "calls_quarantined")
    unpriced = Counter(
        {name: facts["calls_paid"] for name, facts in made if facts.get("cost") == "unpriced"}
    )
    yield _line("rejected", rejected, "rows of input that cannot be used: see rejected_rows")
    yield _line("without an answer", unanswered, "calls, by asset: see `calls_quarantined`")
    yield _line("unpriced", unpriced, "calls: no budget of money counts them")


def dropped(reasons: Iterable[str]) -> str:
    """Rows that a stage dropped, by reason."""
    return _line("dropped", Counter(reasons), "rows on the way: see losses.parquet")


def stale(instance: dg.DagsterInstance, defs: dg.Definitions) -> str:
    """Assets that were made by other code or of other inputs than there are now."""
    graph = defs.resolve_asset_graph()
    # Dagster's context outside of its web server; nothing in it is for tests alone.
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    keys = sorted(graph.materializable_asset_keys)
    found = {
        key.to_user_string(): 1
        for key in keys
        if key.path[0] != "refresh_plan" and resolver.get_status(key) is StaleStatus.STALE
    }
    return _line("stale", found, "assets: run again to make them anew")


def _materialized(
    instance: dg.DagsterInstance, run_id: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
        made = entry.asset_materialization
        if made:
            facts = {name: value.value for name, value in made.metadata.items()}
            yield made.asset_key.to_user_string(), facts


def _rejected(name: str, facts: Mapping[str, Any]) -> int:
    if name.startswith("rejected_rows/"):
        return int(facts.get("dagster/row_count", 0))
    return int(facts.get("rejected", 0))


def _sums(made: Iterable[tuple[str, Mapping[str, Any]]], fact: str) -> dict[str, int]:
    return {name: count for name, facts in made if (count := int(facts.get(fact, 0)))}


def _line(what: str, counts: Mapping[str, int], meaning: str) -> str:
    """`what: 12 (most 7, other 5) meaning`; the largest are named."""
    if not counts:
        return f"{what}: none"
    largest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{name} {count:,}" for name, count in largest[:_SHOWN]]
    more = ["…"] if len(largest) > _SHOWN else []
    return f"{what}: {sum(counts.values()):,} {meaning} ({', '.join([*shown, *more])})"
