import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

DAGSTER = ["-m", "dagster", "asset", "materialize", "-m", "pipelines.definitions"]
CHECK = ["-m", "pipelines.check_profile"]
BAD = {"budgets": {"rewriten_prompts": {"calls": 1}}}
UNSET = {"roles": {"rewriter": {"model": "m", "url": {"env": "NO_SUCH_VARIABLE"}}}}


@pytest.fixture
def told(tmp_path):
    """A function from a command and a profile to its exit status and the lines that it printed."""

    def run(command, document):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump({"extends": "offline", **document}), "utf-8")
        home = tmp_path / "home" / "dagster"
        home.mkdir(parents=True)
        shutil.copy(Path(__file__).parents[2] / "dagster.yaml", home)
        settings = {
            "CHILLGUARD_PROFILE": str(path),
            "CHILLGUARD_HOME": str(home.parent),
            "DAGSTER_HOME": str(home),
            "PYTHONWARNINGS": "ignore",
        }
        done = subprocess.run(
            [sys.executable, *command],
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, (done.stdout + done.stderr).splitlines()

    return run


@pytest.mark.parametrize("command", [[*DAGSTER, "--select", "taxonomy"], CHECK])
@pytest.mark.parametrize(
    ("document", "says"),
    [(BAD, "did you mean 'rewritten_prompts'?"), (UNSET, "role rewriter: the variable NO_SUCH")],
)
def test_a_profile_that_cannot_be_run_ends_in_one_sentence(told, tmp_path, command, document, says):
    status, lines = told(command, document)
    assert status == 1
    assert len(lines) == 1
    assert says in lines[0]
    log = tmp_path / "home" / "dagster" / "load_error.log"
    assert command == CHECK or "Traceback" in log.read_text("utf-8")


def test_the_graph_can_be_looked_at_without_the_variables_and_they_are_told(told):
    status, lines = told([*CHECK, "--graph"], UNSET)
    assert status == 0
    assert "role rewriter" in lines[0]


def test_a_good_profile_is_said_to_be_one(told):
    assert told(CHECK, {}) == (0, ["profile mine: nothing is wrong with it"])
