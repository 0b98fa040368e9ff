"""Every number that a profile, or a run's config, can set has bounds."""

import types
import typing

import annotated_types
import pytest
from pydantic import BaseModel

from pipelines import jobs
from pipelines.profile import Profile


def _models(annotation):
    """All pydantic models that stand in a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _models(part)


def _reachable(start):
    seen, open_ = set(), [start]
    while open_:
        model = open_.pop()
        if model in seen:
            continue
        seen.add(model)
        for field in model.model_fields.values():
            open_ += _models(field.annotation)
    return seen


def _is_number(annotation):
    if annotation in (int, float):
        return True
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return union and any(part in (int, float) for part in typing.get_args(annotation))


MODELS = sorted(
    {
        m
        for start in (Profile, jobs.Redrive, jobs.Removal, jobs.Publication)
        for m in _reachable(start)
    },
    key=lambda model: (model.__module__, model.__qualname__),
)
NUMBERS = [
    (model, name)
    for model in MODELS
    for name, field in model.model_fields.items()
    if _is_number(field.annotation)
]


def test_the_walk_finds_the_settings_of_all_rooms():
    rooms = {model.__module__.split(".")[0] for model in MODELS}
    assert rooms == {"chillguard", "pipelines", "resources"}
    assert len(NUMBERS) > 80


@pytest.mark.parametrize(
    ("model", "name"), NUMBERS, ids=lambda part: getattr(part, "__name__", part)
)
def test_a_number_has_a_lower_bound(model, name):
    kinds = {type(bound) for bound in model.model_fields[name].metadata}
    assert kinds & {annotated_types.Ge, annotated_types.Gt, annotated_types.Interval}


SHARES = [(m, n) for m, n in NUMBERS if {"share", "agreement", "weight"} & set(n.split("_"))]


@pytest.mark.parametrize(
    ("model", "name"), SHARES, ids=lambda part: getattr(part, "__name__", part)
)
def test_a_share_goes_to_one(model, name):
    if name == "weight_decay":
        pytest.skip("a factor, not a share")
    kinds = {type(bound) for bound in model.model_fields[name].metadata}
    assert kinds & {annotated_types.Le, annotated_types.Lt}
