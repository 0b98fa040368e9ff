import json
import math
import shutil
import subprocess
import sys

import pytest

from chillguard.training import mdpo
from chillguard.training.spec import MdpoConfig, TrainingSpec
from tests.chillguard.training.conftest import pairs, write

pytest.importorskip("trl", reason="needs the install group `train`: make .venv/train")
pytestmark = pytest.mark.train
STEPS = {"log_every": 1, "save_every": 2, "learning_rate": 5e-3, "batch_size": 4}


def _spec(tiny_model, folder, rows, kind="mdpo", **settings):
    folder.mkdir(parents=True, exist_ok=True)
    return TrainingSpec(
        kind=kind,
        model=tiny_model,
        output=str(folder / "out"),
        stages=(write(folder / "pairs.parquet", rows),),
        settings=MdpoConfig(**{**STEPS, **settings}),
    )


def _run(spec, report=lambda told: None):
    from chillguard.training.run import run

    return run(spec, report)


def _losses(result):
    return [step["loss"] for step in result.history]


def test_step_one_is_plain_dpo_at_ln_2(tiny_model, tmp_path):
    told = []
    _run(_spec(tiny_model, tmp_path, pairs(16), batch_size=16), told.append)
    assert told[0]["alpha"] == 1.0
    assert told[0]["beta"] == 0.1
    assert told[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert told[0]["kept_fraction"] == 0.75
    assert {"gap_mean", "running_mean", "tokens_per_s", "eta_s", "total_steps"} <= set(told[0])


def test_with_beta_constant_it_is_the_dpo_of_the_library(tiny_model, tmp_path, monkeypatch):
    plain = _run(_spec(tiny_model, tmp_path / "dpo", pairs(80), kind="dpo", save_every=20))
    ours = _run(_spec(tiny_model, tmp_path / "mdpo", pairs(80), save_every=20))
    responds = mdpo.respond

    def constant(*given):
        return type(found := responds(*given))(**{**vars(found), "beta": 0.1})

    monkeypatch.setattr(mdpo, "respond", constant)
    forced = _run(_spec(tiny_model, tmp_path / "forced", pairs(80), save_every=20))
    assert len(_losses(plain)) == 20
    assert _losses(forced) == pytest.approx(_losses(plain), abs=1e-6)
    # And it is not so by itself: beta moves, and the losses with it.
    assert _losses(ours) != pytest.approx(_losses(plain), abs=1e-4)
    assert max(abs(step["beta"] - 0.1) for step in ours.history) > 1e-3


def test_a_short_last_batch_and_accumulation_work(tiny_model, tmp_path):
    short = _run(_spec(tiny_model, tmp_path / "short", pairs(9)))
    assert len(short.history) == 3
    assert [step["kept_fraction"] for step in short.history] == [0.75, 0.75, 1.0]
    small = _run(_spec(tiny_model, tmp_path / "small", pairs(9), micro_batch=2))
    assert len(small.history) == 3
    assert all(math.isfinite(loss) for loss in _losses(small))


class _Killed(Exception):
    pass


def test_a_killed_run_goes_on_as_if_it_had_not_been_killed(tiny_model, tmp_path):
    whole = _run(_spec(tiny_model, tmp_path / "whole", pairs(32)))
    spec = _spec(tiny_model, tmp_path / "killed", pairs(32))

    def die(told):
        if told["step"] == 5:
            raise _Killed

    with pytest.raises(_Killed):
        _run(spec, die)
    stage = tmp_path / "killed" / "out" / "checkpoints" / "stage_1"
    assert sorted(path.name for path in stage.iterdir() if path.is_dir()) == [
        "checkpoint-2",
        "checkpoint-4",
    ]
    # A checkpoint that was being written when the process died: newest, and not complete.
    shutil.copytree(stage / "checkpoint-4", stage / "checkpoint-6")
    (stage / "checkpoint-6" / "complete.json").unlink()
    told = []
    again = _run(spec, told.append)
    assert told[0]["step"] == 5
    assert again.history == whole.history
    assert again.metrics == whole.metrics
    weights = [
        (tmp_path / name / "out" / "model" / "model.safetensors").read_bytes()
        for name in ("whole", "killed")
    ]
    assert weights[0] == weights[1]


def test_two_processes_say_the_same_as_one(tiny_model, tmp_path):
    one = _run(_spec(tiny_model, tmp_path / "one", pairs(32), batch_size=8))
    spec = _spec(tiny_model, tmp_path / "two", pairs(32), batch_size=8)
    path = tmp_path / "spec.json"
    path.write_text(spec.model_dump_json(), "utf-8")
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *launch, "-m", "chillguard.training", str(path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [row["step"] for row in told] == [1, 2, 3, 4]
    for name in ("loss", "alpha", "running_mean", "gap_mean", "kept_fraction"):
        ours = [row[name] for row in told]
        assert ours == pytest.approx([step[name] for step in one.history], abs=1e-5), name
    assert (tmp_path / "two" / "out" / "result.json").is_file()
