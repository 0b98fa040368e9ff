from pathlib import Path

import dagster as dg
import pytest

from chillguard import identity
from chillguard.release import sides
from chillguard.tables import lineage
from chillguard.text import matching
from resources.home import frozen
from resources.home.releases import Releases
from resources.home.state import State
from tests.chillguard import builders

NOTHING = lineage.CANDIDATE_PROMPTS.build([])


@pytest.fixture
def home(tmp_path):
    return State(folder=str(tmp_path / "state"), profile="p"), Releases(
        folder=str(tmp_path / "release")
    )


def _release(home, version, train, test):
    state, releases = home
    tables = {
        side: builders.released(
            side, [builders.labeled(key, builders.mixed(key), family_id=f"f{key}") for key in keys]
        )
        for side, keys in (("train", train), ("test", test))
    }
    parts = sides.Parts(tables["train"], tables["test"], lineage.RELEASE_DROPS.build([]))
    state.append_splits(sides.new_families(parts, state.splits()), version)
    releases.write(version, tables, {}, {})


def _lose(home, *names):
    for path in sorted((Path(home[0].folder) / "splits").glob("*")):
        if not names or path.name in names:
            path.unlink()


def test_nothing_is_told_where_nothing_is_lost(home):
    _release(home, "one", "ab", "c")
    told = []
    assert frozen.families(*home, told.append) == {"fa": "train", "fb": "train", "fc": "test"}
    assert told == []


@pytest.mark.parametrize("lost", [(), ("00001-one.parquet",)])
def test_lost_sides_come_back_from_the_releases_and_are_told(home, lost):
    _release(home, "one", "ab", "c")
    _release(home, "two", "ad", "c")
    before = home[0].splits()
    _lose(home, *lost)
    told = []
    assert frozen.families(*home, told.append) == before
    assert home[0].splits() == before
    assert len(told) == 1
    assert "2 releases" in told[0]
    assert frozen.families(*home, told.append) == before
    assert len(told) == 1


def test_a_release_without_its_manifest_stops_the_run(home):
    _release(home, "one", "ab", "c")
    (home[1].path("one", "train").parent / "release.json").unlink()
    with pytest.raises(dg.Failure, match=r"release .*one has no release\.json"):
        frozen.families(*home, print)


def test_a_damaged_release_stops_the_run(home):
    _release(home, "one", "ab", "c")
    home[1].path("one", "test").write_bytes(b"PAR1")
    with pytest.raises(dg.Failure, match=r"release file .*test\.parquet"):
        frozen.families(*home, print)


def test_state_and_releases_that_disagree_stop_the_run(home):
    _release(home, "one", "ab", "c")
    home[0].append_splits(sides.table_of({"fa": "test"}), "wrong")
    with pytest.raises(dg.Failure, match=r"1 families are on one side .* first fa"):
        frozen.families(*home, print)


def test_an_empty_home_has_no_sides(home):
    found = frozen.earlier(*home, NOTHING, print)
    assert (found.released, found.frozen, found.texts) == (set(), {}, {})


def test_texts_have_the_side_on_which_they_were_released_last(home):
    _release(home, "one", "ab", "c")
    found = frozen.earlier(*home, NOTHING, print)
    assert found.released == {"a", "b", "c"}
    assert found.texts == {
        identity.text_hash(builders.mixed(key)): side
        for key, side in (("a", "train"), ("b", "train"), ("c", "test"))
    }


def test_sides_of_an_older_kind_of_home_are_taken_over(home):
    state, releases = home
    text = builders.mixed(1)
    key = identity.prompt_id("real", [], "logs", 0, text)
    row = builders.labeled(key, text, origin="real", method="logs", family_id=key)
    tables = {"train": builders.released("train", []), "test": builders.released("test", [row])}
    releases.write("one", tables, {}, {})
    candidates = lineage.CANDIDATE_PROMPTS.build(
        [builders.prompt("r", text, origin="real", family_id=matching.family_id(text))]
    )
    found = frozen.earlier(state, releases, candidates, print)
    assert found.frozen == {key: "test", matching.family_id(text): "test"}
