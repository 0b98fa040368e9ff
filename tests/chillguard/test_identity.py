import hashlib
import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chillguard import identity
from chillguard.text import matching

NAMES = st.sets(st.text(min_size=1, max_size=6), min_size=1, max_size=30)


def test_ids_stay_as_they_are_for_ever():
    assert identity.digest("a", 1, None) == "0ae764bffd3a17b6454c8d9ebf712311"
    assert identity.post_id("今天") == "feabe7b5c29aa16a6481356ff0630a4f"
    assert identity.prompt_id("rag", ["p"], "rag", 0, "今天") == "0ac378600a318bf1ca183a8906aa7613"
    assert identity.hash_order("a", "b").hex() == "852635742d6eb30fdccb0e7c1b53d92f"


@given(st.lists(st.text() | st.integers() | st.none() | st.booleans() | st.lists(st.text())))
def test_a_digest_is_over_compact_json_in_utf8(parts):
    form = json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode()
    assert identity.digest(*parts) == hashlib.sha256(form).hexdigest()[:32]


def test_a_digest_of_settings_stays_as_it_is():
    assert identity.digest({"rate": 1e-05}) == hashlib.sha256(b'[{"rate":1e-05}]').hexdigest()[:32]


def test_the_digest_of_a_table_is_that_of_its_content_and_stays_as_it_is():
    table = pa.table({"key": ["a", "b"], "n": pa.array([1, None], pa.int64())})
    wanted = "96e0c4abcd621ff18dda6ed3bdc4ec625e37b94d2aea5e14864ebf267dda0d83"
    assert identity.table_digest(table) == wanted
    in_chunks = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    assert identity.table_digest(in_chunks) == wanted
    others = (table.slice(1), table.rename_columns(["key", "m"]), table.select(["n", "key"]))
    assert wanted not in map(identity.table_digest, others)


@given(st.text(), st.lists(st.text()), st.integers(0, 9), st.text())
def test_ids_of_texts_and_prompts_are_digests(origin, parents, repeat, text):
    assert identity.text_hash(text) == identity.digest("text", text)
    whole = identity.digest("prompt", origin, parents, "method", repeat, text)
    assert identity.prompt_id(origin, parents, "method", repeat, text) == whole


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (("a", "b"), ("b", "a")),
        (("ab", "c"), ("a", "bc")),
        (("1",), (1,)),
        ((None,), ("None",)),
        ((["a"],), ("a",)),
        (("a",), ("a", "")),
    ],
)
def test_order_types_and_borders_of_parts_tell_digests_apart(one, two):
    assert identity.digest(*one) != identity.digest(*two)


@given(st.text(), st.text())
def test_text_hashes_are_equal_exactly_for_equal_texts(one, two):
    assert (identity.text_hash(one) == identity.text_hash(two)) == (one == two)
    assert identity.text_hash(one) != identity.post_id(one)


BASE = "今天适合去公园散步吗？"


@pytest.mark.parametrize(
    "copy",
    [
        "今天適合去公園散步嗎?",
        "今\u200b天适合去公园散步吗",
        "今 天适合，去公园散步吗😀",
        "\ufeff" + BASE,
    ],
)
def test_copies_in_other_spellings_are_one_family(copy):
    assert matching.family_id(copy) == matching.family_id(BASE)
    assert identity.text_hash(copy) != identity.text_hash(BASE)


@pytest.mark.parametrize(
    "other", ["今天适合去公园跑步吗？", "今天适合去公园散步", "😀", "😀😀", "？"]
)
def test_other_texts_are_other_families_also_where_they_are_signs_only(other):
    families = {matching.family_id(text) for text in (BASE, "……", other)}
    assert len(families) == 3


def test_a_family_id_stays_as_it_is_for_ever():
    assert matching.family_id("今天") == "ad4e963fcee89a9c553b820a69d07f35"


@pytest.mark.parametrize(
    "other",
    [
        ("real", ["p"], "m", 0, "文"),
        ("rag", ["p", "q"], "m", 0, "文"),
        ("rag", ["p"], "n", 0, "文"),
        ("rag", ["p"], "m", 1, "文"),
        ("rag", ["p"], "m", 0, "字"),
    ],
)
def test_every_fact_of_a_birth_is_in_the_prompt_id(other):
    assert identity.prompt_id(*other) != identity.prompt_id("rag", ["p"], "m", 0, "文")


def test_parents_may_be_any_sequence():
    ids = {identity.prompt_id("rag", kind(["p"]), "m", 0, "文") for kind in (list, tuple)}
    assert len(ids) == 1


@given(st.text(), NAMES, st.integers(0, 40))
def test_a_draw_has_k_distinct_candidates_whatever_their_order(drawer, names, k):
    drawn = identity.rendezvous(drawer, sorted(names), k)
    assert len(drawn) == len(set(drawn)) == min(k, len(names))
    assert set(drawn) <= names
    assert drawn == identity.rendezvous(drawer, sorted(names, reverse=True) * 2, k)


@given(st.text(), NAMES, st.text(min_size=7, max_size=8), st.integers(1, 5))
def test_a_new_candidate_costs_a_draw_at_most_one_place(drawer, names, newcomer, k):
    before = identity.rendezvous(drawer, names, k)
    after = identity.rendezvous(drawer, names | {newcomer}, k)
    assert [one for one in after if one != newcomer] == before[: k - (newcomer in after)]


@given(st.text(), NAMES, st.integers(1, 5))
def test_a_candidate_that_was_not_drawn_can_go_unnoticed(drawer, names, k):
    drawn = identity.rendezvous(drawer, names, k)
    assert identity.rendezvous(drawer, drawn, k) == drawn


def test_drawers_draw_differently_and_every_candidate_is_drawn_about_equally_often():
    names = [str(n) for n in range(20)]
    times = dict.fromkeys(names, 0)
    for drawer in range(2000):
        for one in identity.rendezvous(str(drawer), names, 2):
            times[one] += 1
    assert all(140 <= count <= 260 for count in times.values())
