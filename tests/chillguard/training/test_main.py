"""The command: a job that cannot be done is one sentence and status 2."""

import json
import sys

import pytest

from chillguard.training import __main__ as command

SPEC = {"kind": "dpo", "model": "m", "output": "o", "stages": ["none.parquet"], "settings": {}}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kind": "ppo"}, "kind: Input should be"),
        ({"stages": []}, "stages: Tuple should have at least 1 item"),
        ({"more": 1}, "more: Extra inputs are not permitted"),
        ({"settings": {"learning_rate": 0}}, "settings.learning_rate: Input should be greater"),
    ],
)
def test_a_spec_that_is_none_is_told_with_its_place(change, told, tmp_path, monkeypatch, capsys):
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(SPEC | change), "utf-8")
    monkeypatch.setattr(sys, "argv", ["training", str(path)])
    assert command.main() == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith(f"{path}: ")
    assert told in error
    assert error.count("\n") == 1


def test_a_job_that_cannot_be_done_is_told_and_reports_are_json_lines(
    tmp_path, monkeypatch, capsys
):
    def run(spec, tell):
        tell({"step": 1, "loss": 0.5})
        raise command.TrainingError("training file none.parquet does not exist")

    path = tmp_path / "spec.json"
    path.write_text(json.dumps(SPEC), "utf-8")
    monkeypatch.setattr(sys, "argv", ["training", str(path)])
    monkeypatch.setattr(command, "run", run)
    assert command.main() == 2
    out, error = capsys.readouterr()
    assert json.loads(out) == {"step": 1, "loss": 0.5}
    assert error == "training file none.parquet does not exist\n"
