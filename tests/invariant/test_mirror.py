"""Tests mirror the product: who changes a module finds its tests by its name, and the other way.

`chillguard/calls/call.py` has `tests/chillguard/calls/test_call.py`, or several files that begin so
(`test_call_….py`). What is tested in another place, or is about several modules, stands here with
the place or the reason. `tests/integration` and `tests/invariant` are about the whole.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("pipelines", "assets", "resources", "chillguard", "prompts")

# Module: where it is tested.
ELSEWHERE = {
    # Names, or tables without a line of behaviour.
    "assets/pools.py": "tests/pipelines/test_definitions.py",
    "chillguard/tables/__init__.py": "tests/invariant/test_every_table.py",
    "chillguard/tables/columns.py": "tests/invariant/test_every_table.py",
    "chillguard/tables/jury.py": "tests/invariant/test_every_table.py",
    "chillguard/tables/training.py": "tests/invariant/test_every_table.py",
    "resources/models/ledger_tables.py": "tests/resources/models/test_ledger.py",
    # Tested through the one module that uses them.
    "chillguard/rows/sources.py": "tests/chillguard/rows/test_records.py",
    "pipelines/check_profile.py": "tests/pipelines/test_faults.py",
    "pipelines/documents.py": "tests/pipelines/test_profile.py",
    "resources/inputs/columns.py": "tests/resources/inputs/test_delimited.py",
    "chillguard/labeling/review_export.py": "tests/chillguard/labeling/test_review.py",
    "chillguard/rows/removal.py": "tests/chillguard/lineage/test_takedown.py",
    "resources/crawlers/store.py": "tests/resources/crawlers/test_crawler_passes.py",
    "resources/models/endpoint.py": "tests/resources/models/test_engine.py",
    "chillguard/labeling/docket.py": "tests/chillguard/labeling/test_jury.py",
    "chillguard/lineage/bounds.py": "tests/chillguard/lineage/test_plan.py",
    "chillguard/rows/tally.py": "tests/chillguard/rows/test_records.py",
    "pipelines/console.py": "tests/pipelines/test_ending.py",
    "resources/crawlers/faults.py": "tests/resources/crawlers/test_http_faults.py",
    "resources/inputs/origins.py": "tests/pipelines/test_trace.py",
    "resources/models/asking.py": "tests/resources/models/test_stream_faults.py",
    "resources/models/claims.py": "tests/resources/models/test_stream_faults.py",
    "resources/models/desk.py": "tests/resources/models/test_engine.py",
    "resources/models/evidence.py": "tests/resources/models/test_stream_faults.py",
    "resources/models/failures.py": "tests/resources/models/test_chat.py",
    "resources/models/outbox.py": "tests/resources/models/test_stream_faults.py",
    "resources/models/till.py": "tests/resources/models/test_stream_faults.py",
    # Tested with the file that it reads.
    "chillguard/release/approval.py": "tests/resources/home/test_approvals.py",
    # A site each: every test runs over all of them.
    "resources/crawlers/bluesky.py": "tests/resources/crawlers/test_kinds.py",
    "resources/crawlers/mastodon.py": "tests/resources/crawlers/test_kinds.py",
    "resources/crawlers/quora.py": "tests/resources/crawlers/test_http_faults.py",
    "resources/crawlers/searxng.py": "tests/resources/crawlers/test_kinds.py",
    "resources/crawlers/weibo.py": "tests/resources/crawlers/test_kinds.py",
    "resources/crawlers/x.py": "tests/resources/crawlers/test_kinds.py",
    # They need a model in training, or a server: tested where one runs.
    "chillguard/evaluation/__main__.py": "tests/chillguard/evaluation/test_predict.py",
    "chillguard/training/stage.py": "tests/chillguard/training/test_run.py",
    "chillguard/training/watch.py": "tests/chillguard/training/test_run.py",
    "resources/models/model_server.py": "tests/integration/test_model_server.py",
}
# Tests of no single module: what they are about.
CONCEPTS = {
    "tests/chillguard/tables/test_facts.py": "what is true of a column, for every table and user",
    "tests/prompts/test_templates.py": "every template, each by its inputs",
    "tests/pipelines/test_bounds.py": "every number of every setting",
    "tests/resources/inputs/test_any_bytes.py": "any bytes, whatever reads them",
    "tests/resources/inputs/test_hostile_files.py": "files made to harm, whatever reads them",
}


def _modules():
    return sorted(
        path.relative_to(ROOT)
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if path.name != "__init__.py" or _does_something(path)
    )


def _does_something(path):
    """Whether a module has more than its docstring."""
    return len(ast.parse(path.read_text("utf-8")).body) > 1


def _tests():
    return sorted(
        path.relative_to(ROOT)
        for room in ROOMS
        for path in (ROOT / "tests" / room).rglob("test_*.py")
    )


def _names(module):
    """Folder and name of the tests of a module."""
    if module.name == "__init__.py":
        folder = module.parent if len(module.parts) == 2 else module.parent.parent
        return Path("tests", folder), f"test_{module.parent.name}"
    return Path("tests", module.parent), f"test_{module.stem.strip('_')}"


def _mirrors(test, module):
    folder, name = _names(module)
    return test.parent == folder and (test.stem == name or test.stem.startswith(f"{name}_"))


def unmirrored(modules, tests):
    """Modules without a test of their name."""
    return [one for one in modules if not any(_mirrors(test, one) for test in tests)]


def homeless(modules, tests):
    """Tests without a module of their name."""
    return [test for test in tests if not any(_mirrors(test, one) for one in modules)]


def test_every_module_has_its_test_or_is_named_here():
    assert {str(one) for one in unmirrored(_modules(), _tests())} == set(ELSEWHERE)


def test_every_test_has_its_module_or_is_named_here():
    assert {str(one) for one in homeless(_modules(), _tests())} == set(CONCEPTS)


@pytest.mark.parametrize("test", sorted(set(ELSEWHERE.values())))
def test_what_is_named_as_a_test_is_one(test):
    assert "def test_" in (ROOT / test).read_text("utf-8")


@pytest.mark.parametrize(
    ("module", "test", "is_one"),
    [
        ("chillguard/calls/call.py", "tests/chillguard/calls/test_call.py", True),
        ("chillguard/calls/call.py", "tests/chillguard/calls/test_call_keys.py", True),
        ("chillguard/calls/call.py", "tests/chillguard/calls/test_calls.py", False),
        ("chillguard/calls/call.py", "tests/chillguard/test_call.py", False),
        ("chillguard/training/__main__.py", "tests/chillguard/training/test_main.py", True),
        ("prompts/__init__.py", "tests/prompts/test_prompts.py", True),
        ("chillguard/tables/__init__.py", "tests/chillguard/test_tables.py", True),
    ],
)
def test_a_mirror_is_of_the_same_name_in_the_same_folder(module, test, is_one):
    assert bool(unmirrored([Path(module)], [Path(test)])) is not is_one
    assert bool(homeless([Path(module)], [Path(test)])) is not is_one
