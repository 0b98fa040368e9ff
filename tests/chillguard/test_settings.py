import pydantic
import pytest

from chillguard import settings


def _leaves(model, path=""):
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, pydantic.BaseModel):
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("keywords.target", 80),
        ("synthesis.queries_per_category", 384),
        ("synthesis.top_k", 100),
        ("synthesis.prompts_per_query", 5),
        ("synthesis.keywords_per_query", 3),
        ("rewriting.rewrites_per_prompt", 3),
        ("rewriting.layout", "json"),
        ("synthesis.layout", "json"),
        ("synthesis.steer_below", None),
        ("synthesis.steer_agreement", None),
        ("translation.retained_safe", 3100),
        ("translation.retained_unsafe", 597),
        ("labeling.quorum", 3),
        ("labeling.sampling.temperature", 0.0),
        ("split.test_share", 0.3),
    ],
)
def test_the_defaults_are_the_papers_numbers_and_steer_nothing(name, number):
    assert dict(_leaves(settings.Settings()))[name] == number


def test_a_partial_setting_leaves_the_others_at_their_default():
    found = settings.Settings.model_validate({"split": {"test_share": 0.5}, "bounds": {}})
    before, after = dict(_leaves(settings.Settings())), dict(_leaves(found))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"split.test_share"}


@pytest.mark.parametrize(
    "document",
    [
        {"spilt": {}},
        {"split": {"test_sahre": 0.3}},
        {"cleaning": {"shingles": {"size": 3}}},
        {"keywords": {"sampling": {"seed": 1}}},
        {"synthesis": {"layout": "yaml"}},
        {"rewriting": {"call_per": "prompt"}},
        {"guards": {"max_copied": 0.0}},
        {"guards": {"max_copied": 1.1}},
        {"split": {"test_share": "a third"}},
        {"labeling": {"quorum": 2.5}},
    ],
)
def test_a_misspelt_or_mistyped_setting_is_refused_at_any_depth(document):
    with pytest.raises(pydantic.ValidationError):
        settings.Settings.model_validate(document)


def test_settings_cannot_be_changed_once_made():
    found = settings.Settings()
    with pytest.raises(pydantic.ValidationError):
        found.split = None
    with pytest.raises(pydantic.ValidationError):
        found.split.test_share = 0.5
    with pytest.raises(pydantic.ValidationError):
        found.cleaning.shingles.shingle = 4


@pytest.mark.parametrize(
    ("stages", "fine"),
    [
        ({"split": {"max_per_category": 99}}, False),
        ({"split": {"max_per_category": 100}}, True),
        ({"split": {"max_per_category": 200}, "synthesis": {"steer_below": 300}}, False),
        ({"split": {"max_per_category": 9}, "bounds": {"min_per_category": None}}, True),
    ],
)
def test_a_cap_leaves_room_for_what_is_asked_of_a_category(stages, fine):
    if fine:
        settings.Settings.model_validate(stages)
    else:
        with pytest.raises(ValueError, match="can never be reached"):
            settings.Settings.model_validate(stages)
