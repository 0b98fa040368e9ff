import json

import pytest
from pydantic import ValidationError

from chillguard.training.spec import MdpoConfig, SftConfig, TrainingSpec

JOB = {"kind": "sft", "model": "m", "output": "o", "stages": ["s.parquet"], "settings": {}}


def _spec(**changed):
    return TrainingSpec.model_validate({**JOB, **changed})


def test_the_papers_numbers_are_the_defaults():
    sft, preference = SftConfig(), MdpoConfig()
    assert (sft.learning_rate, sft.warmup_ratio, sft.epochs, sft.lora) == (1e-5, 0.1, 1.0, None)
    assert (preference.learning_rate, preference.batch_size, preference.beta) == (2e-7, 16, 0.1)
    assert (preference.momentum, preference.keep, preference.epochs) == (0.9, 0.75, 1.0)
    assert preference.warmup_ratio == 0.1


@pytest.mark.parametrize(("kind", "settings"), [("sft", SftConfig), ("mdpo", MdpoConfig)])
def test_settings_are_read_as_those_of_the_kind(kind, settings):
    spec = _spec(kind=kind)
    assert type(spec.settings) is settings
    assert TrainingSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": "dpo", "settings": SftConfig()}, "kind dpo takes a MdpoConfig"),
        ({"kind": "mdpo", "settings": {"packing": True}}, "packing"),
        ({"settings": {"log_every": 10, "save_every": 15}}, "save_every 15 is not a multiple"),
        ({"settings": {"beta": 0.1}}, "beta"),
        ({"stages": []}, "stages"),
        ({"kind": "ppo"}, "kind"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(changed, message):
    with pytest.raises(ValidationError, match=message):
        _spec(**changed)


def test_a_spec_is_plain_json():
    assert json.loads(_spec().model_dump_json())["settings"]["learning_rate"] == 1e-5
