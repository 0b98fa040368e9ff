import subprocess
import sys

import pytest

from tests.minutes import BUDGETS, Minutes


@pytest.mark.parametrize(
    ("keywords", "name"),
    [
        ({"pipeline", "enable_socket", "test_x"}, "pipeline"),
        ({"pipeline", "engine"}, "engine"),
        ({"test_x"}, "other"),
    ],
)
def test_a_test_counts_under_its_first_marker_and_only_there(keywords, name):
    minutes = Minutes()
    minutes.add(dict.fromkeys(keywords, 1), 90)
    minutes.add(dict.fromkeys(keywords, 1), 30)
    assert minutes.lines() == [f"{name}: 2.0 of {BUDGETS[name]} minutes"]
    assert minutes.over() == []


def test_a_marker_over_its_minutes_is_told():
    minutes = Minutes()
    minutes.add({"train"}, 60 * BUDGETS["train"] + 1)
    assert minutes.over() == ["train"]


SLOW = """
from tests import minutes

def test_one():
    minutes.BUDGETS["other"] = -1
"""


@pytest.mark.parametrize(("option", "status"), [(["--hold-budgets"], 1), ([], 0)])
def test_a_session_over_its_budget_fails_where_budgets_are_held(
    option, status, tmp_path, pytestconfig, monkeypatch
):
    # CI itself holds budgets, by this variable.
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    file = tmp_path / "test_slow.py"
    file.write_text(SLOW)
    command = [sys.executable, "-m", "pytest", "-c", "pyproject.toml", "-p", "tests.conftest"]
    done = subprocess.run(
        [*command, *option, str(file)], cwd=pytestconfig.rootpath, capture_output=True, text=True
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "over budget: other" in done.stdout
