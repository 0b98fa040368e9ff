"""Asset checks: a schema check per table, the integrity of a release, and the profile's bounds.

All of them block what comes after, so no release is written over a breach; only the share of Train
lost to leak pairs merely warns.
"""

from collections.abc import Iterator, Sequence

import dagster as dg
import pyarrow as pa

from chillguard import taxonomy
from chillguard.release import funnel, integrity, roots
from chillguard.settings import Settings
from chillguard.tables import table_of
from chillguard.training import generation
from resources.home import frozen
from resources.home.releases import Releases
from resources.home.state import State
from resources.training.jobs import Training

_SHOWN = 20
_TRAIN = dg.AssetKey("train_set")
_TEST = {"test": dg.AssetIn("test_set")}
_CANDIDATES = {"candidates": dg.AssetIn("candidate_prompts")}


def _passed_if_none(
    problems: Sequence[str], severity: dg.AssetCheckSeverity
) -> dg.AssetCheckResult:
    shown = "\n".join(f"- {problem}" for problem in problems[:_SHOWN])
    return dg.AssetCheckResult(
        passed=not problems,
        severity=severity,
        description=f"{len(problems)} problems; first: {problems[0]}" if problems else None,
        metadata={"problems": len(problems), "first_problems": dg.MetadataValue.md(shown or "-")},
    )


def _blocking(problems: Sequence[str]) -> dg.AssetCheckResult:
    return _passed_if_none(problems, dg.AssetCheckSeverity.ERROR)


def schema_check(key: dg.AssetKey) -> dg.AssetChecksDefinition:
    """The check of one table against its schema."""

    @dg.asset_check(asset=key, name="schema", blocking=True)
    def schema_holds(table: pa.Table) -> dg.AssetCheckResult:
        """Columns, types, nulls, allowed values, key unique and sorted."""
        return _blocking(table_of(key.path).problems(table))

    return schema_holds


def votes_check(key: dg.AssetKey) -> dg.AssetChecksDefinition:
    """The check of one juror's votes: a juror that never votes is no juror."""

    @dg.asset_check(asset=key, name="juror_votes", blocking=True)
    def juror_votes(table: pa.Table, settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
        """The juror does not abstain on nearly all prompts."""
        return _blocking(integrity.abstaining(table, settings.bounds))

    return juror_votes


def funnel_check(lineage: Sequence[dg.AssetKey]) -> dg.AssetChecksDefinition:
    """The check that rows in = kept + dropped, from sources to release."""
    names = {"__".join(key.path): key for key in lineage}
    fed_by = [key for key in lineage if key != _TRAIN]

    @dg.multi_asset_check(
        specs=[
            dg.AssetCheckSpec("funnel_adds_up", asset=_TRAIN, blocking=True, additional_deps=fed_by)
        ],
        ins={name: dg.AssetIn(key) for name, key in names.items()},
        description="No row of any stage appears from nowhere or vanishes.",
    )
    def funnel_adds_up(**loaded: pa.Table) -> Iterator[dg.AssetCheckResult]:
        tables = {key.to_user_string(): loaded[name] for name, key in names.items()}
        yield _blocking(funnel.problems(tables))

    return funnel_adds_up


@dg.asset_check(
    asset="train_set",
    name="no_leak",
    blocking=True,
    additional_ins={**_TEST, **_CANDIDATES, "posts": dg.AssetIn("post_index")},
)
def no_leak(
    train: pa.Table,
    test: pa.Table,
    candidates: pa.Table,
    posts: pa.Table,
    settings: dg.ResourceParam[Settings],
) -> dg.AssetCheckResult:
    """No text, no family, no root of one and no near-duplicate stands on both sides."""
    root_texts = roots.texts(candidates, posts)
    return _blocking(integrity.leaks(train, test, settings.cleaning, root_texts))


@dg.asset_check(asset="train_set", name="no_personal_data", blocking=True, additional_ins=_TEST)
def no_personal_data(train: pa.Table, test: pa.Table) -> dg.AssetCheckResult:
    """A second pass finds no personal data."""
    return _blocking(integrity.personal((train, test)))


@dg.asset_check(
    asset="train_set",
    name="frozen_sides",
    blocking=True,
    additional_ins={**_TEST, **_CANDIDATES},
)
def frozen_sides(
    context: dg.AssetCheckExecutionContext,
    train: pa.Table,
    test: pa.Table,
    candidates: pa.Table,
    state: State,
    releases: Releases,
) -> dg.AssetCheckResult:
    """No family and no text changed sides since an earlier release; public rows are in Train."""
    before = frozen.earlier(state, releases, candidates, context.log.warning)
    return _blocking(integrity.moved(train, test, before.frozen, before.texts))


@dg.asset_check(
    asset="train_set",
    name="no_benchmark_row",
    blocking=True,
    additional_ins={"benchmarks": dg.AssetIn("benchmark_prompts")},
)
def no_benchmark_row(
    train: pa.Table, benchmarks: pa.Table, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    """Train holds no prompt that a guardrail is measured on, nor a near-duplicate of one."""
    return _blocking(integrity.contaminated(train, benchmarks, settings.cleaning))


@dg.asset_check(asset="train_set", name="terms_obeyed", blocking=True, additional_ins=_TEST)
def terms_obeyed(train: pa.Table, test: pa.Table) -> dg.AssetCheckResult:
    """No row comes from a text that may not be trained on."""
    return _blocking(integrity.barred((train, test)))


@dg.asset_check(
    asset="train_set",
    name="coverage",
    blocking=True,
    additional_ins={**_TEST, "categories": dg.AssetIn("taxonomy")},
)
def coverage(
    train: pa.Table, test: pa.Table, categories: pa.Table, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    """Every micro category has as many rows as the profile asks for."""
    codes = taxonomy.from_rows(categories).codes
    return _blocking(integrity.uncovered((train, test), codes, settings.bounds))


@dg.asset_check(asset="train_set", name="balance", blocking=True, additional_ins=_TEST)
def balance(
    train: pa.Table, test: pa.Table, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    """The share of safe rows is within the profile's bounds."""
    return _blocking(integrity.unbalanced((train, test), settings.bounds))


@dg.asset_check(asset="train_set", name="agreement", blocking=True, additional_ins=_TEST)
def agreement(
    train: pa.Table, test: pa.Table, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    """The jury agrees as much as the profile asks for."""
    return _blocking(integrity.disagreeing((train, test), settings.bounds))


@dg.asset_check(
    asset="train_set",
    name="leak_share",
    additional_ins={"drops": dg.AssetIn("release_drops")},
)
def leak_share(
    train: pa.Table, drops: pa.Table, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    """Leak pairs cost Train only a small share."""
    share = integrity.leak_share(train, drops)
    most = settings.bounds.max_leak_share
    problems = [f"{share:.1%} of Train lost to leak pairs, more than {most:.1%}"]
    return _passed_if_none(problems if share > most else [], dg.AssetCheckSeverity.WARN)


def generation_checks(keys: Sequence[dg.AssetKey]) -> list[dg.AssetChecksDefinition]:
    """Two blocking checks of each table of generated prompts among `keys`."""
    wanted = [key for key in keys if key.path[-1] == "generated_prompts"]
    return [check for key in wanted for check in (_no_test_leak(key), _every_seed(key))]


def _no_test_leak(key: dg.AssetKey) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=key, name="no_test_leak", blocking=True)
    def no_test_leak(
        generated: pa.Table, training: Training, settings: dg.ResourceParam[Settings]
    ) -> dg.AssetCheckResult:
        """No kept row has a text, family or near-duplicate in Test."""
        kept = generated.filter(generated["drop_reason"].is_null())
        return _blocking(integrity.leaks(kept, training.approved().test, settings.cleaning))

    return no_test_leak


def _every_seed(key: dg.AssetKey) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=key, name="every_seed_accounted_for", blocking=True)
    def every_seed_accounted_for(
        generated: pa.Table, training: Training, settings: dg.ResourceParam[Settings]
    ) -> dg.AssetCheckResult:
        """Every drawn sample of Train has all its rewrites, kept or dropped."""
        config = settings.training.generation
        return _blocking(generation.problems(generated, training.approved().train, config))

    return every_seed_accounted_for


RELEASE_CHECKS: tuple[dg.AssetChecksDefinition, ...] = (
    no_leak,
    no_benchmark_row,
    no_personal_data,
    frozen_sides,
    terms_obeyed,
    coverage,
    balance,
    agreement,
    leak_share,
)
