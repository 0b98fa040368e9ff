"""The model card; the folder around it is made in `test_run.py`, which trains."""

import pytest

from chillguard.training import export
from chillguard.training.spec import TrainingSpec


def _card(kind, model="org/base", metrics=None, **settings):
    spec = TrainingSpec(
        kind=kind, model=model, output="o", stages=("a", "b"), settings=settings, release="v7"
    )
    return export.card(spec, metrics or {"loss": 0.25})


@pytest.mark.parametrize("kind", ["sft", "mdpo", "dpo"])
def test_a_card_names_base_model_release_and_what_was_measured(kind):
    card = _card(kind)
    assert "org/base" in card
    assert "v7" in card
    assert "0.25" in card
    assert card.endswith("\n")


def test_a_base_model_of_this_machine_is_named_without_its_path(tmp_path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    card = _card("sft", str(folder))
    assert "tiny" in card
    assert str(tmp_path) not in card


def test_a_classifiers_card_shows_the_question_and_each_answer():
    card = _card("sft", label_format="category")
    assert "PROMPT" in card
    assert "CODE" in card
    assert "PROMPT" not in _card("mdpo")
