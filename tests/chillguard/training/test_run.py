import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from chillguard.training.data import TrainingError
from chillguard.training.spec import LoraConfig, MdpoConfig, SftConfig, TrainingSpec
from tests.chillguard.training.conftest import labelled, pairs, write

pytest.importorskip("trl", reason="needs the install group `train`: make .venv/train")
pytestmark = pytest.mark.train
FAST = {"log_every": 2, "save_every": 4, "learning_rate": 5e-3, "batch_size": 8}


def _spec(tiny_model, folder, *stages, kind="sft", settings=SftConfig, **changed):
    folder.mkdir(parents=True, exist_ok=True)
    given = stages or (list(labelled(40)),)
    files = [write(folder / f"{number}.parquet", rows) for number, rows in enumerate(given)]
    return TrainingSpec(
        kind=kind,
        model=tiny_model,
        output=str(folder / "out"),
        stages=tuple(files),
        settings=settings(**{**FAST, **changed}),
        release="0123456789ab",
    )


def _run(spec, report=lambda told: None):
    from chillguard.training.run import run

    return run(spec, report)


def _losses(result):
    return [step["loss"] for step in result.history]


class _Killed(Exception):
    pass


def _die_at(wanted):
    def report(told):
        if (told["stage"], told["step"]) == wanted:
            raise _Killed

    return report


@pytest.fixture(scope="module")
def trained(tiny_model, tmp_path_factory):
    """A curriculum of two stages of two epochs with adapters and dropout, never killed."""
    folder = tmp_path_factory.mktemp("trained")
    spec = _curriculum(tiny_model, folder)
    told = []
    return spec, _run(spec, told.append), told


def _curriculum(tiny_model, folder):
    rows = list(labelled(40))
    lora = LoraConfig(rank=4, dropout=0.2)
    return _spec(tiny_model, folder, rows[:24], rows[24:], lora=lora, epochs=2)


def test_stages_are_trained_in_order_and_told(trained):
    _, result, told = trained
    places = [(row["stage"], row["step"], row["total_steps"]) for row in told]
    assert places == [(1, 2, 6), (1, 4, 6), (1, 6, 6), (2, 2, 4), (2, 4, 4)]
    assert all(row["stages"] == 2 and row["tokens_per_s"] > 0 for row in told)
    assert told[2]["eta_s"] == 0
    assert (result.metrics["rows"], result.metrics["steps"]) == (40, 10)
    assert result.metrics["loss"] == result.history[-1]["loss"] < result.history[0]["loss"]
    assert [step["stage"] for step in result.history] == [1, 1, 1, 2, 2]


def test_a_curriculum_that_was_killed_twice_comes_to_the_same_end(trained, tiny_model, tmp_path):
    # Dropout makes it draw random numbers at every step: their state is part of it.
    spec = _curriculum(tiny_model, tmp_path)
    for place in ((1, 6), (2, 4)):
        with pytest.raises(_Killed):
            _run(spec, _die_at(place))
    told = []
    again = _run(spec, told.append)
    assert [(row["stage"], row["step"]) for row in told] == [(2, 2), (2, 4)]
    _, whole, _ = trained
    assert again.history == whole.history
    assert again.metrics == whole.metrics
    assert _weights(again) == _weights(whole)


def _weights(result):
    return (Path(result.model) / "model.safetensors").read_bytes()


def test_a_finished_job_returns_at_once_and_a_changed_one_is_done_anew(tiny_model, tmp_path):
    spec = _spec(tiny_model, tmp_path)
    first = _run(spec)
    told = []
    assert _run(spec, told.append) == first
    assert told == []
    changed = spec.model_copy(update={"settings": SftConfig(**FAST, seed=1)})
    assert _losses(_run(changed, told.append)) != _losses(first)
    assert told


def test_the_folder_of_a_model_holds_all_that_using_it_takes(trained):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    spec, result, _ = trained
    folder = Path(result.model)
    assert AutoModelForCausalLM.from_pretrained(folder).config.model_type == "qwen3"
    assert AutoTokenizer.from_pretrained(folder).chat_template
    served = json.loads((folder / "generation_config.json").read_text("utf-8"))
    assert served["do_sample"] is False
    card = (folder / "README.md").read_text("utf-8")
    for word in (
        "0123456789ab",
        "vllm serve",
        "`unsafe CODE`",
        f"| loss | {result.metrics['loss']}",
    ):
        assert word in card
    left = json.loads((Path(spec.output) / "result.json").read_text("utf-8"))
    assert (left["metrics"], left["history"]) == (result.metrics, result.history)
    assert not (Path(spec.output) / "checkpoints").exists()


def test_the_loss_is_on_the_answer_only(tiny_model, tmp_path):
    # An untrained model knows nothing: the mean loss of its answers is near that of a guess, and
    # does not move with the text, which has many more characters than the answer.
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    rows = list(labelled(2))[1:]
    result = _run(_spec(tiny_model, tmp_path, rows, log_every=1, save_every=1, batch_size=1))
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    from chillguard.training.label_format import LabelFormat

    turns = list(LabelFormat("category").messages(rows[0]["text"]))
    said = [*turns, {"role": "assistant", "content": "unsafe A1"}]
    whole = tokenizer.apply_chat_template(said, return_dict=True)["input_ids"]
    begun = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)
    labels = [-100] * len(begun["input_ids"]) + whole[len(begun["input_ids"]) :]
    with torch.no_grad():
        loss = model(input_ids=torch.tensor([whole]), labels=torch.tensor([labels])).loss
    assert _losses(result)[0] == pytest.approx(float(loss), abs=1e-5)


def test_packed_rows_do_not_see_each_other(tiny_model, tmp_path):
    same = {"batch_size": 1, "log_every": 1, "save_every": 1}
    rows = list(labelled(4))
    apart = _run(_spec(tiny_model, tmp_path / "apart", rows, **{**same, "batch_size": 4}))
    packed = _run(_spec(tiny_model, tmp_path / "packed", rows, packing=True, **same))
    assert len(packed.history) == 1
    assert _losses(packed)[0] == pytest.approx(_losses(apart)[0], abs=1e-5)


def test_a_row_that_is_too_long_is_left_out_and_counted(tiny_model, tmp_path):
    rows = list(labelled(17))
    rows[3] = {**rows[3], "text": "花" * 200}
    result = _run(_spec(tiny_model, tmp_path, rows, max_length=64))
    assert (result.metrics["rows"], result.metrics["rows_too_long"]) == (16, 1)


def _changed(rows, **values):
    return [{**rows[0], **values}, *rows[1:]]


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        (_changed([*labelled(4)], label="harmful"), {}, "row p000: label is 'harmful'"),
        (_changed([*labelled(4)], label="unsafe"), {}, "row p000: unsafe without micro_category"),
        (_changed([*labelled(4)], text=""), {}, "row p000: text is empty"),
        ([{"prompt_id": "p", "text": "t"}], {}, "lacks the column label"),
        ([*labelled(4)], {"max_length": 8}, "raise max_length"),
        ([*labelled(4)], {"micro_batch": 3}, "batch_size 8 cannot be made of 1 ranks of 3 rows"),
    ],
)
def test_input_that_cannot_be_used_is_told_in_one_sentence(
    tiny_model, tmp_path, rows, settings, message
):
    with pytest.raises(TrainingError, match=message):
        _run(_spec(tiny_model, tmp_path, rows, **settings))


def test_a_file_without_rows_is_told(tiny_model, tmp_path):
    import pyarrow.parquet as pq

    spec = _spec(tiny_model, tmp_path)
    pq.write_table(pq.read_table(spec.stages[0]).slice(0, 0), spec.stages[0])
    with pytest.raises(TrainingError, match="has no rows"):
        _run(spec)


def test_pairs_that_cannot_be_used_are_told(tiny_model, tmp_path):
    rows = _changed([*pairs(4)], chosen="同", rejected="同")
    spec = _spec(tiny_model, tmp_path, rows, kind="mdpo", settings=MdpoConfig)
    with pytest.raises(TrainingError, match="pair q000: chosen and rejected are the same text"):
        _run(spec)


def test_a_missing_model_or_file_is_told(tiny_model, tmp_path):
    spec = _spec(tiny_model, tmp_path)
    with pytest.raises(TrainingError, match="does not exist or has no config"):
        _run(spec.model_copy(update={"model": str(tmp_path / "none")}))
    with pytest.raises(TrainingError, match=r"none\.parquet does not exist"):
        _run(spec.model_copy(update={"stages": (str(tmp_path / "none.parquet"),)}))


def test_a_loss_that_is_no_number_stops_the_run(tiny_model, tmp_path):
    with pytest.raises(TrainingError, match="lower learning_rate"):
        _run(_spec(tiny_model, tmp_path, learning_rate=1e12))


def test_the_command_tells_a_bad_job_in_one_sentence(tmp_path):
    path = tmp_path / "spec.json"
    path.write_text('{"kind": "ppo"}', "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "chillguard.training", str(path)], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "kind" in done.stderr


@pytest.mark.parametrize("batch", [(8, None, 1), (8, None, 4), (8, 2, 2), (6, 1, 3)])
def test_the_global_batch_is_shared_out_whole(batch):
    from chillguard.training import stage

    size, micro_batch, ranks = batch
    each, accumulation = stage._shares(size, micro_batch, ranks)
    assert each * accumulation * ranks == size
    assert math.isclose(each, micro_batch or size / ranks)
