import json
import sys

import pyarrow.parquet as pq
import pytest

from chillguard.training.label_format import LabelFormat
from chillguard.training.spec import SftConfig, TrainingSpec
from tests.chillguard.training.conftest import labelled, write

pytest.importorskip("trl", reason="needs the install group `train`: make .venv/train")
pytestmark = pytest.mark.train
FORM = LabelFormat("category", ("A1", "A2", "B1"))
ROWS = list(labelled(24))
TEXTS = [row["text"] for row in ROWS]
CHARACTERS = [row["text"] for row in labelled(96)]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    from tests.chillguard.training import tiny

    folder = tmp_path_factory.mktemp("base") / "model"
    return tiny.make(folder, CHARACTERS, spread=0.05, max_position_embeddings=64)


@pytest.fixture(scope="module")
def classifier(base, tmp_path_factory):
    """A classifier that has learnt the words of its labels, from other rows than it is asked."""
    from chillguard.training.run import run

    folder = tmp_path_factory.mktemp("classifier")
    settings = SftConfig(learning_rate=1e-2, epochs=12, batch_size=8, log_every=108, save_every=108)
    spec = TrainingSpec(
        kind="sft",
        model=base,
        output=str(folder / "out"),
        stages=(write(folder / "train.parquet", list(labelled(96))[24:]),),
        settings=settings,
    )
    return run(spec, lambda told: None).model


def _predict(*given, **options):
    from chillguard.evaluation.predict import predict

    return predict(*given, **options)


def test_what_was_learnt_is_predicted_in_the_order_of_the_texts(classifier):
    told = []
    found = _predict(classifier, TEXTS, FORM, batch_size=5, tell=lambda *at: told.append(at))
    assert [one.label for one in found] == [row["label"] for row in ROWS]
    assert [one.verdict.micro_category for one in found] == [r["micro_category"] for r in ROWS]
    assert all((one.verdict.p_unsafe > 0.5) == (one.label == "unsafe") for one in found)
    assert told == [(5, 24), (10, 24), (15, 24), (20, 24), (24, 24)]


def test_a_batch_says_the_same_as_one_text_at_a_time(classifier):
    together = _predict(classifier, TEXTS[:6], FORM, batch_size=6)
    apart = [one for text in TEXTS[:6] for one in _predict(classifier, [text], FORM)]
    assert [one.label for one in together] == [one.label for one in apart]
    assert [one.verdict.p_unsafe for one in together] == pytest.approx(
        [one.verdict.p_unsafe for one in apart], abs=1e-4
    )


def test_an_answer_that_cannot_be_read_is_an_error_and_never_safe(base):
    found = _predict(base, TEXTS[:4], FORM)
    assert [one.label for one in found] == [None] * 4
    assert all("neither safe" in one.error for one in found)
    # The same model, held to the format, can only answer in it.
    bound = _predict(base, TEXTS[:4], FORM, decoding="constrained")
    assert all(one.label in ("safe", "unsafe") and one.error is None for one in bound)


def test_a_text_that_does_not_fit_is_an_error_and_the_others_are_answered(classifier):
    found = _predict(classifier, [TEXTS[0], "花" * 100, TEXTS[1]], FORM)
    assert [one.label for one in found] == ["safe", None, "unsafe"]
    assert found[1].error.startswith("text of more than")


def test_no_texts_no_predictions(classifier):
    assert _predict(classifier, [], FORM) == []


def test_the_command_predicts_from_file_to_file(classifier, tmp_path, monkeypatch, capsys):
    from chillguard.evaluation import __main__ as command

    rows = [*ROWS[:3], {**ROWS[3], "text": "花" * 100}]
    job = {
        "model": classifier,
        "input": write(tmp_path / "in.parquet", rows),
        "output": str(tmp_path / "out.parquet"),
        "label_format": "category",
        "codes": FORM.codes,
    }
    path = tmp_path / "job.json"
    path.write_text(json.dumps(job), "utf-8")
    monkeypatch.setattr(sys, "argv", ["evaluation", str(path)])
    command.main()
    made = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["prompt_id"] for row in made] == [row["prompt_id"] for row in rows]
    assert [row["predicted_label"] for row in made] == ["safe", "unsafe", "safe", None]
    assert made[1]["predicted_category"] == "A1"
    assert made[3]["reason"].startswith("text of more than")
    assert json.loads(capsys.readouterr().out) == {"step": 3, "total_steps": 3}
