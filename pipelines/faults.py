"""Faults of a profile as sentences: which setting, what is wrong with it, what was meant.

And how an error that stops the code location is shown: its sentences, and no traceback.
"""

import sys
import traceback
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import BaseModel, ValidationError

from pipelines.documents import ProfileError, meant

_SHOWN = 8


def sentences(error: ValidationError, model: type[BaseModel], path: Path) -> str:
    """One line per fault, each with its place; no value is repeated that is not a number."""
    faults = [_sentence(fault, model) for fault in error.errors()]
    lines = [f"profile {path}: {fault}" for fault in faults[:_SHOWN]]
    if len(faults) > _SHOWN:
        lines.append(f"profile {path}: and {len(faults) - _SHOWN} faults more")
    return "\n".join(lines)


def _sentence(fault: Mapping[str, Any], model: type[BaseModel]) -> str:
    place = ".".join(str(part) for part in fault["loc"]) or "profile"
    words = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        known = _names(fault["loc"], model) - {fault["loc"][-1]}
        words = f"there is no such setting{meant(fault['loc'][-1], known)}"
    elif isinstance(fault["input"], int | float) and not isinstance(fault["input"], bool):
        words += f", and is {fault['input']}"
    return f"{place}: {words}"


def _names(place: tuple[Any, ...], model: type[BaseModel]) -> set[str]:
    """The settings that there are where an unknown one stands."""
    here = {model}
    for part in place[:-1]:
        inner = {
            one
            for each in here
            if part in each.model_fields
            for one in _models(each.model_fields[part].annotation)
        }
        tagged = {one for one in here if part in _kinds(one)}
        here = inner or tagged or here
    return {name for each in here for name in each.model_fields}


def _kinds(model: type[BaseModel]) -> tuple[Any, ...]:
    kind = model.model_fields.get("kind")
    return typing.get_args(kind.annotation) if kind else ()


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _models(part)


def shown_shortly(log: Path) -> None:
    """A `ProfileError` that ends this process is shown as its sentences; the rest is in `log`."""
    usual = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not isinstance(error, ProfileError):
            usual(kind, error, trace)
            return
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("".join(traceback.format_exception(kind, error, trace)), "utf-8")
        sys.stderr.write(f"{error}\n")

    sys.excepthook = show
