"""A step that fails is told of by the names of its assets; one that succeeds is not."""

import dagster as dg
import pytest

from pipelines import hooks
from resources.notifier import Notifier


class Noting(Notifier):
    """Keeps notices instead of sending them; `trouble` is what a webhook would say."""

    trouble: str | None = None

    def send(self, notice):
        NOTICES.append(notice)
        return self.trouble


NOTICES = []


@pytest.fixture(autouse=True)
def notices():
    NOTICES.clear()
    return NOTICES


@dg.asset(key=["iteration_1", "classifier"])
def breaks():
    raise dg.Failure("no weights")


@dg.asset
def works():
    return 1


@dg.asset_check(asset="works")
def holds():
    raise LookupError("no such row")


def _run(*made, trouble=None):
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            [hooks.watched(one) for one in made],
            resources={"notifier": Noting(trouble=trouble)},
            instance=instance,
            raise_on_error=False,
        )


@pytest.mark.parametrize("trouble", [None, "HTTP 500"])
def test_a_failed_step_is_told_once_and_a_webhook_in_trouble_changes_nothing(notices, trouble):
    result = _run(works, breaks, trouble=trouble)
    assert not result.success
    [notice] = notices
    assert notice.what == "iteration_1/classifier"
    assert notice.run_id == result.run_id
    assert "no weights" in notice.cause


def test_a_failed_check_is_told_with_its_asset(notices):
    _run(works, holds)
    assert [notice.what for notice in notices] == ["holds of works"]


def test_a_run_without_a_failure_tells_nothing(notices):
    assert _run(works).success
    assert notices == []
