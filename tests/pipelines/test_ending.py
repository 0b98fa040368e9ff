"""How a run ends: why it failed, and what it left out."""

import logging

import dagster as dg
import pytest

from pipelines import ending
from pipelines.console import console
from pipelines.hooks import watched
from resources.notifier import Notifier


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def _run(instance, *assets, **more):
    made = [watched(asset) for asset in assets]
    return dg.materialize(
        made, instance=instance, resources={"notifier": Notifier()}, raise_on_error=False, **more
    )


def _failing(name, error):
    @dg.asset(name=name)
    def made():
        raise error

    return made


def test_the_cause_of_a_failed_run_is_one_sentence_that_names_its_step(instance):
    _run(instance, _failing("votes", dg.Failure("file x is damaged: bring it back")))
    run = ending.last_run(instance)
    assert ending.causes(instance, run.run_id) == ["votes failed: file x is damaged: bring it back"]


def test_one_cause_of_several_steps_is_told_once_and_steps_that_waited_are_not(instance):
    @dg.asset(deps=["one"])
    def behind():
        pass

    error = dg.Failure("file x is damaged")
    run = _run(instance, _failing("one", error), _failing("two", error), behind)
    [told] = ending.causes(instance, run.run_id)
    assert sorted(told.partition(" failed: ")[0].split(", ")) == ["one", "two"]
    assert "behind" not in told


def test_of_a_foreign_error_neither_text_nor_trace_is_told(instance):
    run = _run(instance, _failing("votes", ValueError("a secret text")))
    [told] = ending.causes(instance, run.run_id)
    assert told == "votes failed: ValueError; the log of the run has the details"


def _made(name, key=None, **facts):
    @dg.asset(key=key or name)
    def made():
        return dg.MaterializeResult(metadata=facts)

    return made


def test_what_a_run_left_out_is_counted_and_the_largest_are_named(instance):
    run = _run(
        instance,
        _made("real", ["rejected_rows", "real"], **{"dagster/row_count": 3}),
        _made("public", ["rejected_rows", "public"], **{"dagster/row_count": 1200}),
        _made("card", rejected=2),
        _made("votes", calls_paid=7, calls_quarantined=2, cost="unpriced"),
        _made("labels", calls_paid=5, calls_quarantined=0, cost=1.5),
    )
    rejected, unanswered, unpriced = ending.left_out(instance, run.run_id)
    assert rejected.startswith("rejected: 1,205 rows of input")
    assert rejected.endswith("(rejected_rows/public 1,200, rejected_rows/real 3, card 2)")
    assert unanswered.startswith("without an answer: 2 calls")
    assert unpriced.startswith("unpriced: 7 calls")
    assert unpriced.endswith("(votes 7)")


def test_a_run_that_left_nothing_out_says_so(instance):
    run = _run(instance, _made("votes", calls_paid=0, cost=0.0))
    assert list(ending.left_out(instance, run.run_id)) == [
        "rejected: none",
        "without an answer: none",
        "unpriced: none",
    ]
    assert ending.dropped([]) == "dropped: none"
    assert ending.dropped(["twin", "twin", "short"]).endswith("(twin 2, short 1)")


def test_assets_of_other_code_are_told_as_stale(instance):
    def defs(version):
        @dg.asset(code_version=version)
        def one():
            pass

        return dg.Definitions(assets=[one])

    _run(instance, *defs("1").assets)
    assert ending.stale(instance, defs("1")) == "stale: none"
    assert ending.stale(instance, defs("2")).startswith("stale: 1 assets")


def test_a_failed_step_is_one_line_on_the_terminal(capsys):
    @dg.op
    def work(context):
        context.log.info("two\nlines")
        raise ValueError("no")

    @dg.job(logger_defs={"console": console})
    def job():
        work()

    with dg.DagsterInstance.ephemeral() as made:
        # A run shows what its config names, as that of `make run` does.
        config = {"loggers": {"console": {"config": {"log_level": "INFO"}}}}
        job.execute_in_process(run_config=config, instance=made, raise_on_error=False)
    logging.getLogger("dagster").handlers.clear()
    out = capsys.readouterr().err
    assert "two\nlines" in out
    assert 'Execution of step "work" failed.' in out
    assert "Traceback" not in out
    assert "Stack Trace" not in out
