"""Rows collected on disk come out as the table that they would make in memory."""

import random
import tempfile

import pytest

from chillguard import identity
from chillguard.tables import lineage
from resources.home import collected
from resources.home.collected import Collected
from tests.chillguard.builders import prompt


def _rows(count):
    return [prompt(identity.digest("row", n), f"第{n}个问题怎么问？") for n in range(count)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(collected, "_CHUNK", 7)
    return tmp_path


@pytest.mark.parametrize("count", [0, 1, 6, 7, 8, 100])
def test_the_table_is_that_of_the_rows_whatever_their_order(folder, count):
    rows = _rows(count)
    shuffled = random.Random(count).sample(rows, count)
    with Collected(lineage.REWRITTEN_PROMPTS) as found:
        for first in range(0, count, 3):
            found.add(shuffled[first : first + 3])
        table = found.table()
    assert table.equals(lineage.REWRITTEN_PROMPTS.build(rows))
    assert lineage.REWRITTEN_PROMPTS.enforce(table).num_rows == count


def test_rows_lie_on_disk_until_the_end_and_no_file_outlives_it(folder):
    with Collected(lineage.REWRITTEN_PROMPTS) as found:
        found.add(_rows(100))
        assert [*folder.rglob("part-*")]
        table = found.table()
    assert not [*folder.iterdir()]
    assert (
        table["text"].to_pylist() == lineage.REWRITTEN_PROMPTS.build(_rows(100))["text"].to_pylist()
    )


def test_a_row_that_does_not_fit_ends_it_and_leaves_no_file(folder):
    rows = [*_rows(10), prompt("0", parent_ids=3)]
    told = pytest.raises(lineage.SchemaError, match="rewritten_prompts")
    with told, Collected(lineage.REWRITTEN_PROMPTS) as found:
        found.add(rows)
    assert not [*folder.iterdir()]
