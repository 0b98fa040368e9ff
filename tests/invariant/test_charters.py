"""The sentences at the top of a module point at neighbours that are there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("pipelines", "assets", "resources", "chillguard", "prompts")
MODULES = [
    path.relative_to(ROOT).as_posix() for room in ROOMS for path in (ROOT / room).rglob("*.py")
]
NAMED = re.compile(rf"`((?:{'|'.join(ROOMS)})\.[\w.]+)`")


def _is_there(name):
    """Whether a dotted name is a module, or a name that a module defines."""
    if _module(name):
        return True
    module, _, inside = name.rpartition(".")
    source = _module(module)
    return bool(source) and re.search(rf"^(?:def|class) {inside}\b", source, re.M) is not None


def _module(name):
    place = ROOT.joinpath(*name.split("."))
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return path.read_text("utf-8")
    return None


@pytest.mark.parametrize("module", MODULES)
def test_what_a_charter_names_is_there(module):
    charter = ast.get_docstring(ast.parse((ROOT / module).read_text("utf-8"))) or ""
    assert [name for name in NAMED.findall(charter) if not _is_there(name)] == []


def test_a_name_that_is_gone_would_be_found():
    assert _is_there("chillguard.calls.call")
    assert _is_there("chillguard.rows.removal.marks")
    assert not _is_there("chillguard.calls.call_key")
    assert not _is_there("resources.pipes_trainer")
