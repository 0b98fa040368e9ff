import dagster as dg
import pytest

from pipelines.sensors import real_prompt_files_changed
from resources.files import content_digest


@pytest.fixture
def paths(tmp_path):
    found = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for path in found:
        path.write_text(path.name)
    return found


def _tick(paths, cursor=None):
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance, cursor=cursor)
        return real_prompt_files_changed(paths)(context)


def test_the_first_tick_asks_for_a_run(paths):
    result = _tick(paths)
    [request] = result.run_requests
    assert result.cursor == f"1:{content_digest(paths)}"
    assert request.run_key == result.cursor
    assert request.tags["chillguard/real_prompts"] == content_digest(paths)


def test_a_change_back_is_a_run_of_its_own(paths):
    before = paths[0].read_bytes()
    first = _tick(paths)
    paths[0].write_bytes(before + b"\n")
    second = _tick(paths, first.cursor)
    paths[0].write_bytes(before)
    third = _tick(paths, second.cursor)
    keys = [result.run_requests[0].run_key for result in (first, second, third)]
    assert len(set(keys)) == 3


def test_the_same_content_asks_for_nothing(paths):
    cursor = _tick(paths).cursor
    result = _tick(paths, cursor)
    assert isinstance(result, dg.SkipReason)
    assert result.skip_message == "no file changed"


def test_a_file_that_was_only_touched_asks_for_nothing(paths):
    cursor = _tick(paths).cursor
    paths[0].write_text(paths[0].read_text())
    assert isinstance(_tick(paths, cursor), dg.SkipReason)


@pytest.mark.parametrize("which", [0, 1])
def test_changed_content_asks_again_under_another_run_key(paths, which):
    first = _tick(paths)
    paths[which].write_text("more")
    second = _tick(paths, first.cursor)
    assert len(second.run_requests) == 1
    assert second.run_requests[0].run_key != first.run_requests[0].run_key


def test_a_missing_file_asks_for_nothing_and_is_named(paths):
    paths[1].unlink()
    result = _tick(paths)
    assert isinstance(result, dg.SkipReason)
    assert result.skip_message == f"file {paths[1]} does not exist"


def test_a_file_that_comes_later_asks_for_a_run(paths):
    content = paths[1].read_text()
    paths[1].unlink()
    assert isinstance(_tick(paths), dg.SkipReason)
    paths[1].write_text(content)
    assert len(_tick(paths).run_requests) == 1


def test_the_sensor_looks_once_a_minute_and_runs_its_job(paths):
    sensor = real_prompt_files_changed(paths)
    assert sensor.name == "real_prompt_files_changed"
    assert sensor.minimum_interval_seconds == 60
    assert sensor.job_name == "real_prompts_refresh"
