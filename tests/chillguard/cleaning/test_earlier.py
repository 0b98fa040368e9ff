import pytest

from chillguard.cleaning import earlier
from chillguard.tables import lineage
from chillguard.text import matching, near_duplicates
from tests.chillguard import builders

CONFIG = near_duplicates.NearDuplicateConfig()


def _release(*rows):
    return builders.released("train", [builders.labeled(key, text) for key, text in rows])


def _candidates(*rows):
    return lineage.CANDIDATE_PROMPTS.build(rows)


ONE, TWO = builders.mixed(1), builders.mixed(2)


def test_the_index_holds_ids_and_signatures_and_no_text():
    found = earlier.table(_release(("b", TWO), ("a", ONE)), CONFIG)
    assert found.column_names == ["prompt_id", "signature"]
    assert found["prompt_id"].to_pylist() == ["a", "b"]
    wanted = near_duplicates.signatures([matching.match_text(t) for t in (ONE, TWO)], CONFIG)
    assert found["signature"].to_pylist() == [row.tobytes() for row in wanted]


def test_an_index_without_rows_is_one_too():
    found = earlier.table(_release(), CONFIG)
    assert found.num_rows == 0
    assert earlier.mismatch(found, CONFIG) is None


@pytest.mark.parametrize("other", [{"shingle": 4}, {"num_perm": 64}])
def test_an_index_made_otherwise_is_told_by_how(other):
    found = earlier.table(_release(("a", ONE)), CONFIG)
    assert earlier.mismatch(found, CONFIG) is None
    problem = earlier.mismatch(found, CONFIG.model_copy(update=other))
    [(key, value)] = other.items()
    assert f"{key}={getattr(CONFIG, key)}" in problem.split(", the settings")[0]
    assert f"{key}={value}" in problem.split(", the settings")[1]
    bare = found.replace_schema_metadata(None)
    assert "of nothing known" in earlier.mismatch(bare, CONFIG)


def test_earlier_rows_are_those_without_a_kept_candidate_in_the_text_of_the_newest_release():
    releases = [_release(("a", ONE), ("b", TWO), ("c", ONE)), _release(("c", TWO))]
    dropped = builders.prompt("b", TWO, drop_reason="language", drop_evidence="en")
    found = earlier.departed(
        releases, _candidates(builders.prompt("a", ONE), dropped), (), [], CONFIG, {}
    )
    assert [(row["prompt_id"], row["text"]) for row in found.rows] == [("b", TWO), ("c", TWO)]
    assert found.signatures.shape == (2, 128)


def test_a_row_of_the_same_origin_and_text_is_here_whatever_its_id_was():
    release = _release(("old", ONE), ("b", TWO))
    here = _candidates(builders.prompt("new", ONE), builders.prompt("p", TWO, origin="public"))
    found = earlier.departed([release], here, (), [], CONFIG, {})
    assert [row["prompt_id"] for row in found.rows] == ["b"]


def test_an_earlier_row_is_of_the_family_that_took_over_from_its_own():
    found = earlier.departed(
        [_release(("a", ONE), ("b", TWO))], _candidates(), (), [], CONFIG, {"a": "today"}
    )
    assert [row["family_id"] for row in found.rows] == ["today", "b"]


def test_rows_of_removed_posts_are_left_out():
    found = earlier.departed(
        [_release(("a", ONE), ("b", TWO))], _candidates(), {"a"}, [], CONFIG, {}
    )
    assert [row["prompt_id"] for row in found.rows] == ["b"]


def test_a_saved_signature_is_used_and_a_missing_one_is_made():
    release = _release(("a", ONE), ("b", TWO))
    made = earlier.departed([release], _candidates(), (), [], CONFIG, {})
    part = earlier.table(_release(("b", ONE)), CONFIG)
    found = earlier.departed([release], _candidates(), (), [part], CONFIG, {})
    assert (found.signatures[0] == made.signatures[0]).all()
    assert (found.signatures[1] == made.signatures[0]).all()
    assert not (made.signatures[0] == made.signatures[1]).all()
