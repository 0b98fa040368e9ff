"""The vector store port: one suite, run on every adapter."""

import itertools
import os
import uuid

import dagster as dg
import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from chillguard.embedding import PostFilter
from resources.vectors import edge_store, qdrant_store
from resources.vectors.edge_store import EdgeStore
from resources.vectors.port import Vectors
from resources.vectors.qdrant_store import MEMORY, QdrantStore

# The client's own engine, which only tests use, searches exactly whatever it is told; a server of
# the Compose file has a key, and is asked on the loopback.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning"),
    pytest.mark.filterwarnings("ignore:Api key is used with an insecure:UserWarning"),
]
DIMENSION = 16
ALL = PostFilter()
FREE = {"lang": "zh", "sources": ["one"], "may_redistribute": True}


@pytest.fixture(params=["edge", "memory", "server"])
def opened(request, tmp_path):
    """A function that opens the adapter's collection; each call is another process's view of it."""
    url, kind = os.environ.get("QDRANT_URL"), request.param
    if kind == "server" and not url:
        pytest.skip("QDRANT_URL names no Qdrant server")
    name = f"test-{uuid.uuid4().hex}"
    # In memory, the points live in the client, so there it is always the same store.
    one = QdrantStore(url=MEMORY, collection=name, exact=True)

    def store():
        if kind == "edge":
            return EdgeStore(folder=str(tmp_path / "home" / "index"))
        key = os.environ.get("QDRANT_KEY")
        there = QdrantStore(url=url or MEMORY, api_key=key, collection=name, exact=True)
        return one if kind == "memory" else there

    yield lambda model="m", length=DIMENSION, sparse=False: store().open(model, length, sparse)
    if kind == "server":
        store()._connected().delete_collection(name)


def _id(number):
    return f"{number * 2654435761 % 2**64:032x}"


def _dense(count, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _points(count, seed=0):
    return [_id(number) for number in range(count)], Vectors(_dense(count, seed))


def _put(collection, ids, vectors, payloads=None):
    collection.upsert(ids, vectors, payloads or [FREE] * len(ids))


def _brute_force(ids, vectors, queries, k):
    """Ids by falling similarity, equal ones by id."""
    scores = queries.dense @ vectors.dense.T
    ranked = [sorted(zip(-row, ids, strict=True)) for row in scores]
    return [[key for _, key in row[:k]] for row in ranked]


def test_a_new_store_is_empty(opened):
    with opened() as collection:
        assert set(collection.ids().to_pylist()) == set()
        assert collection.nearest(Vectors(_dense(2)), 3, ALL) == [[], []]
        assert collection.nearest(Vectors(_dense(0)), 3, ALL) == []


@pytest.mark.parametrize("count", [0, 1, 7, 21])
def test_every_id_is_listed_over_several_pages_and_batches(opened, monkeypatch, count):
    for module, name in itertools.product((edge_store, qdrant_store), ("_SCROLL", "_BATCH")):
        monkeypatch.setattr(module, name, 7 if name == "_SCROLL" else 5)
    ids, vectors = _points(count)
    with opened() as collection:
        _put(collection, ids, vectors)
        assert set(collection.ids().to_pylist()) == set(ids)


@pytest.mark.parametrize("k", [1, 7, 500])
def test_the_nearest_are_those_of_a_brute_force_search(opened, k):
    ids, vectors = _points(400)
    queries = Vectors(_dense(45, seed=1))
    with opened() as collection:
        _put(collection, ids, vectors)
        assert collection.nearest(queries, k, ALL) == _brute_force(ids, vectors, queries, k)


def test_equal_vectors_come_in_order_of_id(opened):
    ids = sorted(_id(number) for number in range(20))
    vectors = Vectors(np.repeat(_dense(1), 20, axis=0))
    with opened() as collection:
        _put(collection, ids[::-1], vectors)
        assert collection.nearest(Vectors(vectors.dense[:1]), 20, ALL) == [ids]


@pytest.mark.parametrize("k", [1, 5, 9])
def test_a_cut_among_equal_vectors_leaves_the_smallest_ids_whatever_their_order(opened, k):
    ids = sorted(_id(number) for number in range(40))
    dense = _dense(40)
    dense[10:20] = dense[0]
    vectors = Vectors(dense)
    query = Vectors(dense[:1])
    order = [*range(20, 40), *range(19, -1, -1)]
    with opened() as collection:
        _put(collection, [ids[i] for i in order], Vectors(dense[order]))
        assert collection.nearest(query, k, ALL) == _brute_force(ids, vectors, query, k)


def test_a_point_that_is_put_in_again_is_replaced_with_its_payload(opened):
    ids, vectors = _points(5)
    other = Vectors(-vectors.dense[4:])
    with opened() as collection:
        _put(collection, ids, vectors)
        _put(collection, ids[:1], other, [FREE | {"lang": "en"}])
        assert set(collection.ids().to_pylist()) == set(ids)
        assert collection.nearest(other, 1, ALL) == [[ids[0]]]
        assert collection.nearest(other, 5, PostFilter(languages=("en",))) == [[ids[0]]]


def test_a_deleted_point_is_neither_listed_nor_found(opened):
    ids, vectors = _points(5)
    with opened() as collection:
        _put(collection, ids, vectors)
        collection.delete([ids[2], _id(99)])
        collection.delete(iter(()))
        assert set(collection.ids().to_pylist()) == set(ids) - {ids[2]}
        assert ids[2] not in collection.nearest(Vectors(vectors.dense[2:3]), 5, ALL)[0]


def test_points_are_there_after_opening_again(opened):
    ids, vectors = _points(50)
    queries = Vectors(vectors.dense[:3])
    with opened() as collection:
        _put(collection, ids, vectors)
        collection.delete(ids[:1])
        before = collection.nearest(queries, 5, ALL)
    with opened() as collection:
        assert set(collection.ids().to_pylist()) == set(ids[1:])
        assert collection.nearest(queries, 5, ALL) == before


def test_points_are_there_even_if_the_stage_failed_later(opened):
    ids, vectors = _points(5)

    def stage():
        with opened() as collection:
            _put(collection, ids, vectors)
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        stage()
    with opened() as collection:
        assert set(collection.ids().to_pylist()) == set(ids)


@pytest.mark.parametrize("other", [{"model": "other"}, {"length": 17}, {"sparse": True}])
def test_other_vectors_are_refused_with_what_is_there_and_the_mend(opened, other):
    ids, vectors = _points(2)
    with opened() as collection:
        _put(collection, ids, vectors)
    with pytest.raises(dg.Failure) as caught, opened(**other):
        pass
    message = caught.value.description
    assert str(*other.values()) in message.partition("embeds with")[2]
    assert "holds vectors of {'model': 'm', 'dimension': 16, 'sparse': False}" in message
    assert "remove the collection to embed anew, or name another in the profile" in message
    with opened() as collection:
        assert set(collection.ids().to_pylist()) == set(ids)


PAYLOADS = [
    {"lang": lang, "sources": sources, "may_redistribute": free}
    for lang, sources, free in itertools.product(
        ("zh", "en", None), (["one"], ["two"], ["one", "two"]), (True, False)
    )
]


FILTERS = [
    PostFilter(languages=languages, sources=sources, redistributable_only=free)
    for languages, sources, free in itertools.product(
        ((), ("zh",), ("zh", "en"), ("ja",)), ((), ("one",), ("one", "two"), ("x",)), (False, True)
    )
]


def _meets(payload, where):
    return (
        (not where.languages or payload["lang"] in where.languages)
        and (not where.sources or bool({*where.sources} & {*payload["sources"]}))
        and (payload["may_redistribute"] or not where.redistributable_only)
    )


def test_a_filter_leaves_the_posts_that_meet_all_its_conditions(opened):
    ids, vectors = _points(len(PAYLOADS))
    query = Vectors(_dense(1, seed=3))
    [ranked] = _brute_force(ids, vectors, query, len(ids))
    payload_of = dict(zip(ids, PAYLOADS, strict=True))
    with opened() as collection:
        _put(collection, ids, vectors, PAYLOADS)
        found = {where: collection.nearest(query, len(ids), where)[0] for where in FILTERS}
    assert found == {
        where: [key for key in ranked if _meets(payload_of[key], where)] for where in FILTERS
    }


def _sparse(count, **own):
    """Vectors of which each has a token of its own, bar those that `own` says other of."""
    weights = [{1000 + number: 1.0} for number in range(count)]
    for number, weight in own.items():
        weights[int(number[1:])] = weight
    return Vectors(_dense(count), weights)


def test_a_hybrid_search_brings_up_what_only_the_words_find(opened):
    ids = [_id(number) for number in range(200)]
    vectors = _sparse(200, _7={5: 0.9, 3: 0.4})
    query = Vectors(-vectors.dense[7:8], [{5: 1.0}])
    with opened(sparse=True) as collection:
        _put(collection, ids, vectors)
        [found] = collection.nearest(query, 5, ALL)
        [without] = collection.nearest(Vectors(query.dense), 5, ALL)
    assert ids[7] not in without
    assert ids[7] in found[:2]


def test_what_both_rankings_find_comes_before_what_one_finds(opened):
    ids = [_id(number) for number in range(30)]
    vectors = _sparse(30, _3={9: 0.5}, _4={9: 0.5})
    with opened(sparse=True) as collection:
        _put(collection, ids, vectors)
        [found] = collection.nearest(Vectors(vectors.dense[3:4], [{9: 1.0}]), 3, ALL)
    assert found[0] == ids[3]


def test_a_filter_holds_in_both_rankings_of_a_hybrid_search(opened):
    ids = [_id(number) for number in range(30)]
    payloads = [FREE | {"lang": "en" if number == 3 else "zh"} for number in range(30)]
    vectors = _sparse(30, _3={9: 0.5})
    with opened(sparse=True) as collection:
        _put(collection, ids, vectors, payloads)
        query = Vectors(vectors.dense[3:4], [{9: 1.0}])
        [found] = collection.nearest(query, 30, PostFilter(languages=("zh",)))
    assert set(found) == set(ids) - {ids[3]}


def test_a_text_without_words_is_stored_and_asked_for_by_its_dense_vector(opened):
    ids = [_id(number) for number in range(8)]
    vectors = _sparse(8, _2={})
    with opened(sparse=True) as collection:
        _put(collection, ids, vectors)
        [found] = collection.nearest(Vectors(vectors.dense[2:3], [{}]), 3, ALL)
    assert found[0] == ids[2]


_KEYS = st.integers(0, 6)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.lists(_KEYS, unique=True), st.integers(0, 50)),
        st.tuples(st.just("delete"), st.lists(_KEYS), st.just(0)),
    ),
    max_size=8,
)


def test_any_puts_and_deletes_end_in_what_a_dict_would_hold(opened):
    @hypothesis.settings(max_examples=25, deadline=None, derandomize=True)
    @hypothesis.given(_STEPS)
    def check(steps):
        collection.delete(set(collection.ids().to_pylist()))
        expected = {}
        for action, numbers, seed in steps:
            keys = [_id(number) for number in numbers]
            if action == "put":
                rows = _dense(len(keys), seed)
                _put(collection, keys, Vectors(rows))
                expected |= dict(zip(keys, rows, strict=True))
            else:
                collection.delete(keys)
                expected = {key: row for key, row in expected.items() if key not in keys}
        assert set(collection.ids().to_pylist()) == expected.keys()
        for row in expected.values():
            [found] = collection.nearest(Vectors(row[None]), 7, ALL)
            assert set(found) == expected.keys()
            assert np.allclose(expected[found[0]], row, atol=1e-6)

    with opened() as collection:
        check()
