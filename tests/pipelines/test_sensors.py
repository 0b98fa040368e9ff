import dagster as dg
import pytest
import yaml

from pipelines import definitions, sensors
from pipelines import profile as profiles
from pipelines.jobs import real_prompts_refresh
from resources.inputs.files import content_digest


@pytest.fixture
def paths(tmp_path):
    found = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for path in found:
        path.write_text(path.name)
    return found


def _sensor(paths):
    return sensors.changed(sensors.Watch("real_prompt_files", paths, real_prompts_refresh.name))


def _tick(paths, cursor=None):
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance, cursor=cursor)
        return _sensor(paths)(context)


def test_the_first_tick_asks_for_a_run(paths):
    result = _tick(paths)
    [request] = result.run_requests
    assert result.cursor == f"1:{content_digest(paths)}"
    assert request.run_key == result.cursor
    assert request.tags["chillguard/real_prompt_files"] == content_digest(paths)


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


def test_a_file_that_is_dropped_into_a_watched_folder_asks_for_a_run(paths, tmp_path):
    first = _tick([tmp_path])
    draft = tmp_path / ".three.jsonl"
    draft.write_text("half")
    assert isinstance(_tick([tmp_path], first.cursor), dg.SkipReason)
    draft.rename(tmp_path / "three.jsonl")
    second = _tick([tmp_path], first.cursor)
    assert len(second.run_requests) == 1
    paths[0].unlink()
    assert len(_tick([tmp_path], second.cursor).run_requests) == 1


def test_an_empty_folder_asks_for_nothing(tmp_path):
    result = _tick([tmp_path])
    assert isinstance(result, dg.SkipReason)
    assert result.skip_message == f"folder {tmp_path} holds no file yet"


def test_a_sensor_looks_once_a_minute_runs_its_job_and_is_off_until_switched_on(paths):
    sensor = _sensor(paths)
    assert sensor.name == "real_prompt_files_changed"
    assert sensor.minimum_interval_seconds == 60
    assert sensor.job_name == "real_prompts_refresh"
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED


@pytest.fixture
def own(tmp_path):
    """A profile whose inputs are all files of its own."""
    for name in ("p.jsonl", "q.jsonl", "b.jsonl", "d.csv", "t.yaml", "s.yaml"):
        (tmp_path / name).write_text(name)
    document = {
        "extends": "offline",
        "taxonomy": "t.yaml",
        "seed_keywords": "s.yaml",
        "real_prompts": [{"name": "own", "path": "p.jsonl"}],
        "public_prompts": [{"name": "own", "path": "q.jsonl"}],
        "benchmarks": [{"name": "own", "path": "b.jsonl"}],
        "review_decisions": "d.csv",
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(document))
    return profiles.load(str(tmp_path / "own.yaml"))


def _digests(profile):
    found = {}
    for sensor in sensors.sensors(profile):
        with dg.DagsterInstance.ephemeral() as instance:
            found[sensor.name] = sensor(dg.build_sensor_context(instance=instance)).cursor
    return found


@pytest.mark.parametrize(
    ("changed", "starts"),
    [
        ("p.jsonl", {"real_prompt_files_changed": "real_prompts_refresh"}),
        ("q.jsonl", {"public_files_changed": "public_prompts_refresh"}),
        ("b.jsonl", {"benchmark_files_changed": "benchmarks_refresh"}),
        ("d.csv", {"review_decisions_changed": "reviews_refresh"}),
        ("t.yaml", {"taxonomy_and_keywords_changed": "refresh"}),
        ("s.yaml", {"taxonomy_and_keywords_changed": "refresh"}),
    ],
)
def test_a_changed_input_starts_one_job_and_no_other(own, tmp_path, changed, starts):
    before = _digests(own)
    (tmp_path / changed).write_text("new")
    after = _digests(own)
    jobs = {sensor.name: sensor.job_name for sensor in sensors.sensors(own)}
    assert {name: jobs[name] for name in after if after[name] != before[name]} == starts


def test_a_changed_template_asks_anew_without_a_crawl(own, tmp_path, monkeypatch):
    (tmp_path / "labeling").mkdir()
    template = tmp_path / "labeling" / "vote.jinja"
    template.write_text("one")
    monkeypatch.setattr(sensors, "TEMPLATES", tmp_path)
    before = _digests(own)
    template.write_text("two")
    after = _digests(own)
    assert {name for name in after if after[name] != before[name]} == {"templates_changed"}
    [sensor] = [one for one in sensors.sensors(own) if one.name == "templates_changed"]
    assert sensor.job_name == "prompts_refresh"


def test_what_ships_is_watched_where_it_lies():
    profile = profiles.load("offline")
    for watch in sensors.watches(profile):
        assert all(path.exists() for path in watch.paths), watch.name


def test_a_profile_without_public_files_has_no_sensor_on_them(own):
    bare = own.model_copy(update={"public_prompts": []})
    assert "public_files_changed" not in {sensor.name for sensor in sensors.sensors(bare)}


def test_every_sensor_is_in_the_code_location(own, tmp_path):
    defs = definitions.build(own, tmp_path / "home")
    dg.Definitions.validate_loadable(defs)
    assert {sensor.name for sensor in defs.sensors} == {
        sensor.name for sensor in sensors.sensors(own)
    }


class _Failing:
    """A sensor whose runs fail, in an instance that remembers them."""

    def __init__(self, instance, paths, text="no endpoint answers"):
        self.instance, self.paths, self.cursor = instance, paths, None

        @dg.op
        def fail():
            raise dg.Failure(text)

        @dg.job(name="real_prompts_refresh")
        def job():
            fail()

        self.job = job

    def tick(self):
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        result = _sensor(self.paths)(context)
        if isinstance(result, dg.SkipReason):
            return result.skip_message
        self.cursor = result.cursor
        [request] = result.run_requests
        tags = {**request.tags, "dagster/run_key": request.run_key}
        self.job.execute_in_process(instance=self.instance, tags=tags, raise_on_error=False)
        return request.run_key


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def test_a_run_that_failed_is_tried_again_a_few_times_under_keys_of_their_own(
    paths, instance, monkeypatch
):
    monkeypatch.setattr(sensors, "_TRY_AGAIN_AFTER_S", (0, 0, 0))
    desk = _Failing(instance, paths)
    keys = [desk.tick() for _ in range(4)]
    assert len(set(keys)) == 4
    assert instance.get_runs_count() == 4
    told = desk.tick()
    assert "after 4 tries: mend the cause, then launch real_prompts_refresh" in told
    paths[0].write_text("mended")
    assert desk.tick() not in keys
    assert instance.get_runs_count() == 5


def test_another_try_waits_first(paths, instance):
    desk = _Failing(instance, paths)
    desk.tick()
    assert desk.tick().endswith("failed: tried again in 5 min")
    assert instance.get_runs_count() == 1


def test_a_run_without_budget_is_not_tried_again(paths, instance, monkeypatch):
    monkeypatch.setattr(sensors, "_TRY_AGAIN_AFTER_S", (0, 0, 0))
    desk = _Failing(instance, paths, "the budget is used up (run: 5 of 5 calls)")
    desk.tick()
    assert "its budget is used up" in desk.tick()


def test_a_run_that_succeeded_after_a_failure_is_not_tried_again(paths, instance, monkeypatch):
    monkeypatch.setattr(sensors, "_TRY_AGAIN_AFTER_S", (0, 0, 0))
    desk = _Failing(instance, paths)
    desk.tick()

    @dg.op
    def work():
        pass

    @dg.job(name="real_prompts_refresh")
    def job():
        work()

    desk.job = job
    desk.tick()
    assert desk.tick() == "no file changed"
