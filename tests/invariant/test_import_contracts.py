"""The import contracts of pyproject.toml are kept, and each of them really catches a breach."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
ROOMS = SETTINGS["root_packages"]
CONTRACTS = [contract["name"] for contract in SETTINGS["contracts"]]
DOMAIN = "The domain imports from the end of the lineage to its beginning"
RESOURCES = "Resources import from what combines them to what stands alone"
NO_CIRCLE = "No circle between modules or folders"
# Contract, module that is changed or made, import that is planted.
PLANTS = [
    ("Rooms import downwards only", "prompts/__init__.py", "import chillguard"),
    ("Rooms import downwards only", "chillguard/identity.py", "import resources.database"),
    ("Rooms import downwards only", "resources/home/state.py", "import assets.checks"),
    ("Rooms import downwards only", "assets/crawl.py", "from pipelines import profile"),
    ("Assets never touch a service client", "assets/crawl.py", "import httpx"),
    ("Assets never touch a service client", "assets/crawl.py", "import qdrant_edge"),
    ("The domain knows no orchestrator and no network", "chillguard/identity.py", "import dagster"),
    ("The domain knows no orchestrator and no network", "chillguard/identity.py", "import socket"),
    ("Prompts import jinja2 and nothing of ours", "prompts/__init__.py", "import pyarrow"),
    (DOMAIN, "chillguard/keywords.py", "import chillguard.labeling.jury"),
    (DOMAIN, "chillguard/cleaning/survivors.py", "from chillguard.release import split"),
    (DOMAIN, "chillguard/tables/table.py", "import chillguard.identity"),
    (DOMAIN, "chillguard/in_no_layer.py", "import json"),
    (RESOURCES, "resources/home/state.py", "import resources.models.ledger"),
    (RESOURCES, "resources/offline/writers.py", "from resources.vectors import embedding"),
    (RESOURCES, "resources/in_no_layer/part.py", "import json"),
    (NO_CIRCLE, "chillguard/calls/call.py", "from chillguard.calls import numbered"),
    (NO_CIRCLE, "resources/home/whole.py", "import resources.home.releases"),
]


@pytest.fixture
def copied(tmp_path):
    """The source without what a linter does not read."""
    for room in ROOMS:
        only_python = shutil.ignore_patterns("__pycache__", "samples", "*.yaml", "*.jinja")
        shutil.copytree(ROOT / room, tmp_path / room, ignore=only_python)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def _broken(folder):
    """Names of the broken contracts."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    # Without colours, and wide enough for the names to stay on one line.
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    verdicts = {
        name: verdict
        for line in done.stdout.splitlines()
        for name in CONTRACTS
        for verdict in ("KEPT", "BROKEN")
        if line.strip() == f"{name} {verdict}"
    }
    assert sorted(verdicts) == sorted(CONTRACTS), done.stdout + done.stderr
    broken = {name for name, verdict in verdicts.items() if verdict == "BROKEN"}
    assert (done.returncode != 0) is bool(broken)
    return broken


def test_the_source_keeps_every_contract(copied):
    assert _broken(copied) == set()


def test_every_contract_has_a_planted_breach_here():
    assert {contract for contract, _, _ in PLANTS} == set(CONTRACTS)


@pytest.mark.parametrize(
    ("contract", "module", "statement"), PLANTS, ids=[f"{m}: {s}" for _, m, s in PLANTS]
)
def test_a_planted_breach_breaks_its_contract(copied, contract, module, statement):
    path = copied / module
    path.parent.mkdir(exist_ok=True)
    (path.parent / "__init__.py").touch()
    with path.open("a", encoding="utf-8") as source:
        source.write(f"\n{statement}\n")
    assert contract in _broken(copied)


def test_no_import_hides_from_the_program():
    # Such an import is a circle that only a type checker sees.
    hidden = [
        str(path.relative_to(ROOT))
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if "TYPE_CHECKING" in path.read_text("utf-8")
    ]
    assert hidden == []


def test_every_room_is_under_the_contracts():
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert found - {"tests"} == set(ROOMS)
    layers = SETTINGS["contracts"][0]["layers"]
    assert layers == ["pipelines", "assets", "resources", "chillguard", "prompts"] == ROOMS
