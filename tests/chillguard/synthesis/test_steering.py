"""Steering: categories that came out thin or split get more queries at the next refresh."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chillguard.synthesis import rag, steering
from chillguard.tables import lineage
from tests.chillguard import builders

SMALL = builders.SMALL
CODES = SMALL.codes
POOL = lineage.EXPANDED_KEYWORDS.build(
    [builders.keyword(code, f"{code}词{n}") for code in CODES for n in range(8)]
)
POSTS = {
    f"p{n}": {"post_id": f"p{n}", "family_id": f"f{n}", "text": builders.mixed(n)}
    for n in range(12)
}


def _config(**settings):
    return rag.SynthesisConfig(queries_per_category=4, prompts_per_query=2, **settings)


def _released(counts, safe=0, agreement=1.0):
    """Released rows: so many unsafe ones per category, and safe ones."""
    rows = [
        builders.labeled(f"{code} {n}", micro=code, agreement=agreement)
        for code, count in counts.items()
        for n in range(count)
    ]
    rows += [builders.labeled(f"safe {n}", agreement=0.0) for n in range(safe)]
    return builders.released("train", rows)


FULL = dict.fromkeys(CODES, 5)


@pytest.mark.parametrize("extra", [{}, {"M1a": 3, "M2c": 64}])
@pytest.mark.parametrize("counts", [{}, FULL])
def test_without_a_bound_nothing_is_steered(extra, counts):
    assert steering.steer(extra, _released(counts), SMALL, _config()) == extra


def test_only_the_categories_below_the_bound_get_more():
    counts = {**FULL, "M1b": 4, "M2a": 0}
    config = _config(steer_below=5, steer_step=7)
    assert steering.steer({}, _released(counts, safe=9), SMALL, config) == {"M1b": 7, "M2a": 7}


def test_before_the_first_rows_every_category_is_below_the_bound():
    found = steering.steer({}, _released({}), SMALL, _config(steer_below=1, steer_step=2))
    assert found == dict.fromkeys(CODES, 2)


@pytest.mark.parametrize(("agreement", "steered"), [(0.5, True), (0.79, True), (0.8, False)])
def test_a_category_that_the_jury_is_split_on_gets_more(agreement, steered):
    rows = _released({"M1a": 3}, agreement=agreement).to_pylist()
    rows += _released({"M1b": 3}).to_pylist()
    released = lineage.TRAIN_SET.build(rows)
    config = _config(steer_agreement=0.8, steer_step=5)
    assert steering.steer({}, released, SMALL, config) == ({"M1a": 5} if steered else {})


def test_a_category_without_rows_is_not_split():
    assert steering.steer({}, _released({}), SMALL, _config(steer_agreement=0.9)) == {}


def test_thin_and_split_at_once_is_one_step():
    config = _config(steer_below=5, steer_agreement=0.9, steer_step=3)
    found = steering.steer({}, _released({**FULL, "M1a": 2}, agreement=0.5), SMALL, config)
    assert found == dict.fromkeys(CODES, 3)


def test_each_release_adds_a_step_up_to_the_most():
    config, extra, seen = _config(steer_below=5, steer_step=30, steer_most=70), {}, []
    for _ in range(4):
        extra = steering.steer(extra, _released({**FULL, "M1a": 1}), SMALL, config)
        seen.append(extra)
    assert seen == [{"M1a": 30}, {"M1a": 60}, {"M1a": 70}, {"M1a": 70}]


@given(
    st.dictionaries(st.sampled_from(CODES), st.integers(1, 90)),
    st.dictionaries(st.sampled_from(CODES), st.integers(0, 9)),
    st.integers(0, 9),
    st.integers(1, 60),
    st.integers(0, 60),
)
def test_extra_queries_only_grow_and_no_further_than_the_most(extra, counts, below, step, most):
    config = _config(steer_below=below, steer_step=step, steer_most=most)
    found = steering.steer(extra, _released(counts), SMALL, config)
    for code in CODES:
        had, has = extra.get(code, 0), found.get(code, 0)
        assert had <= has <= max(had, most)
        assert has == had or counts.get(code, 0) < below


def _draws(extra, **settings):
    config = _config(**settings)
    asked = rag.queries(POOL, SMALL, config, extra)
    return rag.draws(asked, [[*POSTS]] * len(asked), POSTS, config)


def test_a_query_keeps_its_id_keywords_and_draws_when_extra_ones_come():
    before, after = _draws({}, twin_queries=2), _draws({"M1a": 3, "M2c": 1}, twin_queries=2)
    assert [draw for draw in after if draw.query.number < 4] == before
    new = [draw for draw in after if draw.query.number >= 4]
    assert [(draw.query.category, draw.query.number) for draw in new] == [
        ("M1a", 4),
        ("M1a", 5),
        ("M1a", 6),
        ("M2c", 4),
    ]
    assert len({draw.draw_id for draw in after}) == len(after)


def test_extra_queries_are_the_ones_that_more_configured_ones_would_be():
    extra = rag.queries(POOL, SMALL, _config(), dict.fromkeys(CODES, 2))
    config = _config().model_copy(update={"queries_per_category": 6})
    assert extra == rag.queries(POOL, SMALL, config)


def test_extra_queries_of_a_category_that_is_gone_are_none():
    asked = rag.queries(POOL, SMALL, _config(), {"Z9": 5})
    assert asked == rag.queries(POOL, SMALL, _config())
