import json
from pathlib import Path

import pytest

from chillguard.training.output import MARKER, Output, fingerprint, write_json
from chillguard.training.spec import SftConfig, TrainingSpec


@pytest.fixture
def job(tmp_path):
    model = tmp_path / "base"
    (model / "sub").mkdir(parents=True)
    (model / "config.json").write_text("{}", "utf-8")
    (model / "sub" / "weights").write_bytes(b"weights")
    stage = tmp_path / "train.parquet"
    stage.write_bytes(b"rows")
    return TrainingSpec(
        kind="sft",
        model=str(model),
        output=str(tmp_path / "out"),
        stages=(str(stage),),
        settings=SftConfig(),
    )


def _copied(job, folder):
    """The same content in other places."""
    (folder / "sub").mkdir(parents=True)
    for name in ("config.json", "sub/weights"):
        (folder / name).write_bytes((Path(job.model) / name).read_bytes())
    stage = folder.parent / "other.parquet"
    stage.write_bytes(Path(job.stages[0]).read_bytes())
    moved = {"model": str(folder), "stages": (str(stage),), "output": str(folder / "else")}
    return job.model_copy(update=moved)


def test_a_job_is_its_settings_and_the_content_of_its_inputs(job, tmp_path):
    assert fingerprint(_copied(job, tmp_path / "copy")) == fingerprint(job)


@pytest.mark.parametrize("what", ["rows", "weights", "settings", "release"])
def test_another_input_or_setting_is_another_job(job, what):
    before = fingerprint(job)
    if what == "rows":
        Path(job.stages[0]).write_bytes(b"other")
    elif what == "weights":
        (Path(job.model) / "sub" / "weights").write_bytes(b"changed")
    elif what == "settings":
        job = job.model_copy(update={"settings": SftConfig(seed=1)})
    else:
        job = job.model_copy(update={"release": "v2"})
    assert fingerprint(job) != before


def _checkpoint(output, step, marked=True):
    folder = output.stage(1) / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    if marked:
        output.mark(folder, MARKER, {"step": step})
    return folder


def test_the_last_complete_checkpoint_is_the_one_to_go_on_from(tmp_path):
    output = Output(tmp_path, "job")
    assert output.checkpoint(1) is None
    _checkpoint(output, 9)
    last = _checkpoint(output, 10)
    _checkpoint(output, 11, marked=False)
    output.clean()
    assert output.checkpoint(1) == last
    assert sorted(p.name for p in output.stage(1).iterdir()) == ["checkpoint-10", "checkpoint-9"]


def test_checkpoints_and_results_of_another_job_are_not_gone_on_with(tmp_path):
    other = Output(tmp_path, "other")
    _checkpoint(other, 9)
    other.mark(tmp_path, "result.json", {"metrics": {}, "history": []})
    output = Output(tmp_path, "job")
    assert other.finished() is not None
    assert output.finished() is None
    output.clean()
    assert output.checkpoint(1) is None
    assert not (tmp_path / "result.json").exists()


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "result.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text("utf-8")) == {"a": 1}
