"""What the embedded vector store does beside the port: its folder, its index, its lock."""

import dagster as dg
import numpy as np
import pytest

from chillguard.embedding import PostFilter
from resources.edge_store import EdgeStore
from resources.vector_store import Vectors

DIMENSION = 16
ALL = PostFilter()
FREE = {"lang": "zh", "sources": ["one"], "may_redistribute": True}


@pytest.fixture
def store(tmp_path):
    return EdgeStore(folder=str(tmp_path / "home" / "index"))


def _points(count):
    vectors = np.random.default_rng(0).normal(size=(count, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [f"{number:032x}" for number in range(count)], Vectors(vectors)


def _failure(store):
    with pytest.raises(dg.Failure) as caught, store.open("m", DIMENSION):
        pass
    return caught.value.description


def test_a_folder_whose_making_was_cut_off_is_made_anew(store, tmp_path):
    shard = tmp_path / "home" / "index" / "shard"
    shard.mkdir(parents=True)
    (shard / "edge_config.json").write_text("half")
    ids, vectors = _points(2)
    with store.open("m", DIMENSION) as collection:
        assert collection.ids() == set()
        collection.upsert(ids, vectors, [FREE] * 2)
    with store.open("m", DIMENSION) as collection:
        assert collection.ids() == set(ids)


def test_a_damaged_folder_is_named_with_the_mend(store, tmp_path):
    with store.open("m", DIMENSION):
        pass
    (tmp_path / "home" / "index" / "shard" / "edge_config.json").write_text("half")
    message = _failure(store)
    assert message.startswith(f"vector store {store.folder}/shard cannot be opened (")
    assert message.endswith("delete the folder and materialize asset post_index again")


def test_the_folder_belongs_to_one_model_and_says_so_by_its_path(store):
    with store.open("m", DIMENSION):
        pass
    with pytest.raises(dg.Failure, match=r"vector store .*/home/index holds vectors of"):
        store.open("other", DIMENSION).__enter__()


@pytest.mark.parametrize(
    "settings", [{"exact": False}, {"quantization": "int8"}, {"exact": False, "ef": 512}]
)
def test_search_by_an_index_or_of_smaller_vectors_finds_nearly_the_same(tmp_path, settings):
    ids, vectors = _points(300)
    queries = Vectors(vectors.dense[:20])
    nearest = []
    for name, chosen in (("plain", {}), ("other", settings)):
        store = EdgeStore(folder=str(tmp_path / name), **chosen)
        with store.open("m", DIMENSION) as collection:
            collection.upsert(ids, vectors, [FREE] * len(ids))
        with store.open("m", DIMENSION) as collection:
            assert collection.ids() == set(ids)
            nearest.append(collection.nearest(queries, 10, ALL))
    plain, other = nearest
    shared = [len({*one} & {*two}) for one, two in zip(plain, other, strict=True)]
    assert sum(shared) >= 0.9 * 10 * len(shared)
    assert [row[0] for row in other] == ids[:20]
