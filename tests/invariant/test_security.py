"""Each threat of docs/explanation/security.md names tests that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [
    line.strip("|").split("|")
    for line in (ROOT / "docs" / "explanation" / "security.md").read_text("utf-8").splitlines()
    if line.startswith("| **")
]
THREATS = (
    "Crawled text",
    "Model output",
    "Poisoned prompts",
    "SSRF",
    "Size and zip bombs",
    "Path traversal",
    "Formula injection",
    "Secrets",
)


def _named(cell):
    """Paths of a cell; a name without a folder is in the folder of the one before it."""
    folder = Path()
    for name in re.findall(r"`([^`]+)`", cell):
        folder = (ROOT / name).parent if "/" in name else folder
        yield folder / Path(name).name


def test_the_threats_that_must_be_thought_of_are_listed():
    told = " ".join(threat for threat, *_ in ROWS)
    assert [threat for threat in THREATS if threat not in told] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip(" *")[:40])
def test_a_threat_names_tests_that_exist(row):
    paths = list(_named(row[-1]))
    assert paths
    assert [
        path for path in paths if not (path.is_file() and "def test_" in path.read_text())
    ] == []
