import dagster as dg
import numpy as np
import pytest

from resources.vector_store import VectorStore

DIMENSION = 16


@pytest.fixture
def store(tmp_path):
    return VectorStore(folder=str(tmp_path / "home" / "index"))


def _id(number):
    return f"{number * 2654435761 % 2**64:032x}"


def _points(count, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [_id(number) for number in range(count)], vectors


def _nearest(ids, vectors, queries, k):
    """Brute force: ids by falling similarity."""
    order = np.argsort(-(queries @ vectors.T), axis=1)[:, :k]
    return [[ids[i] for i in row] for row in order]


def test_a_new_store_is_empty(store):
    with store.open("m", DIMENSION) as collection:
        assert collection.ids() == set()
        assert collection.nearest(_points(2)[1], 3) == [[], []]


@pytest.mark.parametrize("count", [1, 1000, 1001])
def test_every_id_that_was_put_in_is_there(store, count):
    ids, vectors = _points(count)
    with store.open("m", DIMENSION) as collection:
        collection.upsert(ids, vectors)
        assert collection.ids() == set(ids)


@pytest.mark.parametrize("k", [1, 7, 100])
def test_the_nearest_are_those_of_a_brute_force_search(store, k):
    ids, vectors = _points(400)
    queries = _points(45, seed=1)[1]
    with store.open("m", DIMENSION) as collection:
        collection.upsert(ids, vectors)
        assert collection.nearest(queries, k) == _nearest(ids, vectors, queries, k)


def test_fewer_points_than_asked_for_are_all_found(store):
    ids, vectors = _points(3)
    with store.open("m", DIMENSION) as collection:
        collection.upsert(ids, vectors)
        assert [set(row) for row in collection.nearest(vectors, 10)] == [set(ids)] * 3


def test_no_queries_find_nothing(store):
    with store.open("m", DIMENSION) as collection:
        assert collection.nearest(np.zeros((0, DIMENSION), np.float32), 5) == []


def test_equal_vectors_come_in_order_of_id(store):
    ids = sorted(_id(number) for number in range(20))
    vectors = np.repeat(_points(1)[1], 20, axis=0)
    with store.open("m", DIMENSION) as collection:
        collection.upsert(ids[::-1], vectors)
        assert collection.nearest(vectors[:1], 20) == [ids]


def test_a_point_that_is_put_in_again_is_replaced(store):
    ids, vectors = _points(5)
    with store.open("m", DIMENSION) as collection:
        collection.upsert(ids, vectors)
        collection.upsert(ids[:1], vectors[4:] * -1)
        assert collection.ids() == set(ids)
        assert collection.nearest(-vectors[4:], 1) == [[ids[0]]]


def test_a_deleted_point_is_neither_listed_nor_found(store):
    ids, vectors = _points(5)
    with store.open("m", DIMENSION) as collection:
        collection.upsert(ids, vectors)
        collection.delete([ids[2], _id(99)])
        collection.delete([])
        assert collection.ids() == set(ids) - {ids[2]}
        assert ids[2] not in collection.nearest(vectors[2:3], 5)[0]


def test_points_are_there_after_opening_again(store):
    ids, vectors = _points(50)
    with store.open("m", DIMENSION) as collection:
        collection.upsert(ids, vectors)
        collection.delete(ids[:1])
        before = collection.nearest(vectors[:3], 5)
    with VectorStore(folder=store.folder).open("m", DIMENSION) as collection:
        assert collection.ids() == set(ids[1:])
        assert collection.nearest(vectors[:3], 5) == before


def test_points_are_there_even_if_the_stage_failed_later(store):
    ids, vectors = _points(5)

    def stage():
        with store.open("m", DIMENSION) as collection:
            collection.upsert(ids, vectors)
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        stage()
    with store.open("m", DIMENSION) as collection:
        assert collection.ids() == set(ids)


@pytest.mark.parametrize(("model", "dimension"), [("other", DIMENSION), ("m", DIMENSION + 1)])
def test_vectors_of_another_model_or_length_are_refused_with_the_mend(store, model, dimension):
    ids, vectors = _points(2)
    with store.open("m", DIMENSION) as collection:
        collection.upsert(ids, vectors)
    with pytest.raises(dg.Failure) as caught, store.open(model, dimension):
        pass
    message = caught.value.description
    assert f"vector store {store.folder} holds vectors of " in message
    assert "delete the folder to embed anew, or set another home" in message
    with store.open("m", DIMENSION) as collection:
        assert collection.ids() == set(ids)


def test_a_folder_whose_making_was_cut_off_is_made_anew(store, tmp_path):
    shard = tmp_path / "home" / "index" / "shard"
    shard.mkdir(parents=True)
    (shard / "edge_config.json").write_text("half")
    ids, vectors = _points(2)
    with store.open("m", DIMENSION) as collection:
        assert collection.ids() == set()
        collection.upsert(ids, vectors)
    with store.open("m", DIMENSION) as collection:
        assert collection.ids() == set(ids)
