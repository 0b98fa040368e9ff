from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chillguard.release import split

CONFIG = split.SplitConfig()


def _row(key, family, micro=None, origin="rag"):
    return {"prompt_id": key, "family_id": family, "micro_category": micro, "origin": origin}


@st.composite
def released_rows(draw, most=5):
    """Rows of up to 60 families in three strata; some families are public."""
    rows = []
    for number in range(draw(st.integers(1, 60))):
        origin = draw(st.sampled_from(["rag", "real", "public"]))
        micro = draw(st.sampled_from(["M1a", "M1b", None]))
        for part in range(draw(st.integers(1, most))):
            rows.append(_row(f"{number}-{part}", f"family {number}", micro, origin))
    return rows


@st.composite
def frozen_sides(draw, rows):
    families = sorted({row["family_id"] for row in rows if row["origin"] != "public"})
    chosen = draw(st.lists(st.sampled_from(families), unique=True)) if families else []
    return {key: draw(st.sampled_from(["train", "test"])) for key in chosen}


@settings(max_examples=50)
@given(st.data())
def test_every_family_is_on_one_side_and_frozen_ones_stay(data):
    rows = data.draw(released_rows())
    frozen = data.draw(frozen_sides(rows))
    sides = split.assign(rows, {**frozen, "gone family": "test"}, CONFIG)
    assert set(sides) == {row["family_id"] for row in rows}
    assert set(sides.values()) <= {"train", "test"}
    assert {key: sides[key] for key in frozen} == frozen


@settings(max_examples=50)
@given(released_rows())
def test_new_families_with_a_public_row_are_in_train(rows):
    public = {row["family_id"] for row in rows if row["origin"] == "public"}
    sides = split.assign(rows, {}, CONFIG)
    assert {sides[key] for key in public} <= {"train"}


def test_a_family_in_test_stays_there_when_a_public_copy_of_its_root_comes():
    rows = [_row("a", "f"), _row("b", "f", origin="public")]
    assert split.assign(rows, {"f": "test"}, CONFIG) == {"f": "test"}


@settings(max_examples=50)
@given(released_rows(), st.sampled_from([0.1, 0.3, 0.5]))
def test_each_stratum_is_within_one_family_of_the_share(rows, share):
    sides = split.assign(rows, {}, split.SplitConfig(test_share=share))
    counts, largest = defaultdict(Counter), Counter()
    families = Counter(row["family_id"] for row in rows)
    for row in rows:
        if row["origin"] != "public":
            name = split.stratum(row)
            counts[name][sides[row["family_id"]]] += 1
            largest[name] = max(largest[name], families[row["family_id"]])
    for name, tally in counts.items():
        over = tally["test"] - share * tally.total()
        assert -share * largest[name] - 1e-9 <= over <= (1 - share) * largest[name] + 1e-9


@settings(max_examples=50)
@given(released_rows(), st.randoms(use_true_random=False))
def test_the_order_of_rows_is_irrelevant(rows, rng):
    assert split.assign(rng.sample(rows, len(rows)), {}, CONFIG) == split.assign(rows, {}, CONFIG)


@settings(max_examples=50)
@given(released_rows(), released_rows())
def test_a_second_release_moves_no_family(rows, more):
    first = split.assign(rows, {}, CONFIG)
    new = [{**row, "family_id": "new " + row["family_id"]} for row in more]
    second = split.assign([*rows, *new], first, CONFIG)
    assert {key: second[key] for key in first} == first


def test_new_families_make_up_for_a_drift_of_frozen_ones():
    rows = [_row(str(n), str(n)) for n in range(100)]
    frozen = {str(n): "train" for n in range(50)}
    sides = split.assign(rows, frozen, CONFIG)
    assert sum(sides[str(n)] == "test" for n in range(50, 100)) == 30


def test_public_rows_do_not_count_towards_the_share():
    rows = [_row(str(n), str(n), origin="public" if n < 900 else "rag") for n in range(1000)]
    sides = split.assign(rows, {}, CONFIG)
    assert Counter(sides.values())["test"] == 30


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.3, 30), (1.0, 100)])
def test_the_share_is_the_papers_unless_set(share, count):
    rows = [_row(str(n), str(n)) for n in range(100)]
    sides = split.assign(rows, {}, split.SplitConfig(test_share=share))
    assert Counter(sides.values())["test"] in {count, count + (share == 1.0) * -1}


@pytest.mark.parametrize(("common", "rare"), [("M1a", None), (None, "M1a")])
def test_a_family_counts_in_its_commonest_stratum(common, rare):
    families = [f"f{n}" for n in range(10)]
    rows = [
        _row(f"{key}-{n}", key, micro)
        for key in families
        for n, micro in enumerate((rare, common, common))
    ]
    rows += [_row(f"s{n}", f"s{n}", rare) for n in range(10)]
    sides = split.assign(rows, {}, CONFIG)
    assert Counter(sides[key] for key in families) == {"train": 7, "test": 3}
    assert Counter(sides[f"s{n}"] for n in range(10)) == {"train": 7, "test": 3}


def test_no_rows_have_no_sides():
    assert split.assign([], {"a": "test"}, CONFIG) == {}


def _over(rows, released=(), **caps):
    return {
        row["prompt_id"] for row in split.over_cap(rows, set(released), split.SplitConfig(**caps))
    }


MANY = [
    *(_row(f"a{n}", f"a{n}", "M1a") for n in range(12)),
    *(_row(f"b{n}", f"b{n}", "M1b") for n in range(4)),
    *(_row(f"s{n}", f"s{n}") for n in range(40)),
]


def test_without_caps_nothing_is_over():
    assert _over(MANY) == set()


def test_a_category_is_capped_and_safe_rows_are_no_category():
    over = _over(MANY, max_per_category=5)
    assert len(over) == 7
    assert all(key.startswith("a") for key in over)


@pytest.mark.parametrize(("ratio", "left"), [(0.0, 0), (0.5, 8), (1.0, 16), (2.6, 40)])
def test_safe_rows_are_capped_at_a_multiple_of_unsafe_ones(ratio, left):
    over = _over(MANY, safe_ratio=ratio)
    assert len(over) == 40 - left
    assert all(key.startswith("s") for key in over)


def test_released_rows_are_kept_first():
    released = sorted(_over(MANY, max_per_category=5))[:5]
    assert not _over(MANY, released, max_per_category=5) & set(released)
    assert len(_over(MANY, released, max_per_category=5)) == 7


def test_what_is_over_a_cap_depends_on_ids_and_not_on_order():
    one = _over(list(MANY), max_per_category=5, safe_ratio=1.0)
    assert one == _over(MANY[::-1], max_per_category=5, safe_ratio=1.0)
    wider = _over(MANY, max_per_category=6, safe_ratio=1.5)
    assert wider < one
