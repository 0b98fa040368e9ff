import ast
from pathlib import Path

import pyarrow as pa
import pytest

from chillguard import tables
from chillguard.tables import lineage, reasons
from chillguard.tables.reasons import Reason
from chillguard.tables.table import SchemaError
from tests.chillguard import builders

ROOT = Path(reasons.__file__).parents[2]
ROOMS = ("chillguard", "resources", "assets", "pipelines")
# Columns and words that are spelled like a reason and are none.
OTHER = {"refusal", "terms", "balance", "language", "rejected", "takedown"}


def _modules():
    for room in ROOMS:
        yield from (path for path in (ROOT / room).rglob("*.py") if path.parent.name != "tables")


def _used():
    for path in _modules():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "Reason":
                yield node.attr


def test_every_reason_is_given_somewhere():
    assert set(_used()) == set(Reason.__members__)


def test_no_module_spells_a_reason_out():
    words = set(Reason) - OTHER
    spelled = {
        (path.name, node.value)
        for path in _modules()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and node.value in words
    }
    assert spelled == set()


def test_a_reason_says_its_stages_and_a_sentence():
    for reason, stage, sentence in reasons.reasons():
        assert Reason(reason).sentence == sentence
        assert stage in Reason(reason).stages
        assert sentence[0].isupper()
        assert sentence.endswith(".")


@pytest.mark.parametrize("name", [name for name, table in tables.ALL.items() if table.may_drop])
def test_no_table_takes_a_reason_that_is_none(name):
    column = next(c for c in tables.ALL[name].columns if c.name == "drop_reason")
    assert column.values == tuple(Reason)


def test_a_typing_error_is_no_new_reason():
    gone = builders.prompt("a", None, drop_reason="sreened", drop_evidence="rule x")
    with pytest.raises(SchemaError, match="column drop_reason holds 'sreened'"):
        lineage.REAL_PROMPTS.enforce(lineage.REAL_PROMPTS.build([gone]))


def test_a_reason_is_stored_as_its_word():
    row = builders.prompt("a", None)
    reasons.drop(row, Reason.LEAK, "twin=b")
    table = lineage.REAL_PROMPTS.enforce(lineage.REAL_PROMPTS.build([row]))
    assert table["drop_reason"].to_pylist() == ["leak"]
    assert table["drop_reason"].type == pa.string()
