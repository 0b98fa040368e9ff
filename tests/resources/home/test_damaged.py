"""Damaged files of a home: each told by file, cause and mend, in one sentence."""

import json
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from chillguard.tables import lineage
from chillguard.text import near_duplicates
from resources.home.releases import Releases
from resources.home.state import State
from resources.home.tables import Tables
from resources.models.ledger import Ledger
from tests.chillguard import builders

SHINGLES = near_duplicates.NearDuplicateConfig()
POOL = lineage.EXPANDED_KEYWORDS.build(
    [{"keyword_id": "k", "micro_category": "A1", "zh": "词", "en": "word", "provenance": "seed"}]
)


def _state(home):
    return State(folder=str(home / "state"), profile="mine")


def _releases(home):
    return Releases(folder=str(home / "release"))


def _fill(home):
    """A home with one of each kind of file."""
    state = _state(home)
    state.save_keywords(POOL)
    state.save_extra_queries({"A1": 1}, "v1")
    state.take_down({"request": "x", "marks": ["m"]})
    released = builders.released("train", [builders.labeled("a", builders.mixed(1), "A1")])
    state.append_signatures(pa.table({"prompt_id": ["a"], "signature": [b""]}), "v1")
    _releases(home).write("v1", {"train": released, "test": released}, {}, {})
    Tables(folder=str(home / "tables")).write(POOL, "expanded_keywords")
    Ledger(url=f"sqlite:///{home / 'ledger.db'}").count()


FILES = {
    "state/keywords.parquet": lambda home: _state(home).keywords(),
    "state/extra_queries.json": lambda home: _state(home).extra_queries(),
    "state/takedowns.jsonl": lambda home: _state(home).taken_down(),
    "state/signatures/00001-v1.parquet": lambda home: _state(home).signatures(SHINGLES),
    "release/v1/release.json": lambda home: _releases(home).versions(),
    "release/v1/train.parquet": lambda home: _releases(home).released_ids(),
    "release/v1/test.parquet": lambda home: _releases(home).rows("v1"),
    "tables/expanded_keywords/part-00000.parquet": lambda home: Tables(
        folder=str(home / "tables")
    ).read("expanded_keywords"),
}
SPOILT = {
    "empty": lambda content: b"",
    "cut off": lambda content: content[: len(content) // 2],
    "garbled": lambda content: bytes(255 - byte for byte in content),
    "another file": lambda content: b'{"not": "this"}\n',
    "a list": lambda content: b"[1, 2]\n",
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize(("name", "read"), FILES.items(), ids=FILES)
def test_a_damaged_file_is_told_by_name_cause_and_mend(tmp_path, name, read, spoil):
    _fill(tmp_path)
    path = tmp_path / name
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(dg.Failure) as caught:
        read(tmp_path)
    told = str(caught.value.description)
    assert str(path) in told
    assert "\n" not in told
    assert any(mend in told for mend in ("bring it back", "delete it", "again", "back from a copy"))


@pytest.mark.parametrize("spoil", [SPOILT["garbled"], SPOILT["another file"]])
def test_a_damaged_ledger_is_told_by_file_cause_and_mend(tmp_path, spoil):
    path = tmp_path / "ledger.db"
    path.write_bytes(spoil(b"SQLite format 3\x00" * 400))
    with pytest.raises(dg.Failure, match="is damaged") as caught:
        Ledger(url=f"sqlite:///{path}").count()
    told = str(caught.value.description)
    assert str(path) in told
    assert "bring it back from a copy" in told


def test_an_empty_list_of_takedowns_is_no_list(tmp_path):
    _fill(tmp_path)
    assert _state(tmp_path).taken_down() == {"m"}
    (tmp_path / "state" / "takedowns.jsonl").write_text("")
    with pytest.raises(dg.Failure, match="it is empty, and never written so"):
        _state(tmp_path).taken_down()
    (tmp_path / "state" / "takedowns.jsonl").unlink()
    assert _state(tmp_path).taken_down() == frozenset()


def test_a_pool_that_is_gone_stops_a_run_only_where_releases_were_made_from_it(tmp_path):
    state = _state(tmp_path)
    state.require_keywords(0)
    with pytest.raises(dg.Failure, match="2 releases were made from it: bring it back") as caught:
        state.require_keywords(2)
    assert "tables/expanded_keywords/part-00000.parquet" in str(caught.value.description)
    state.save_keywords(POOL)
    state.require_keywords(2)


def test_a_whole_home_is_read_as_it_is(tmp_path):
    _fill(tmp_path)
    assert _state(tmp_path).keywords().equals(POOL)
    assert _releases(tmp_path).versions() == ["v1"]
    assert json.loads(Path(tmp_path, "release", "v1", "release.json").read_text())["number"] == 1
