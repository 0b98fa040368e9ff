"""What the embedded vector store does beside the port: its folder, its index, its lock."""

import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from chillguard.embedding import PostFilter
from resources.vectors import edge_store
from resources.vectors.edge_store import EdgeStore
from resources.vectors.port import Vectors

ROOT = Path(__file__).parents[3]
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
        assert set(collection.ids().to_pylist()) == set()
        collection.upsert(ids, vectors, [FREE] * 2)
    with store.open("m", DIMENSION) as collection:
        assert set(collection.ids().to_pylist()) == set(ids)


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


def _put(store, start, stop):
    ids, vectors = _points(stop)
    with store.open("m", DIMENSION) as collection:
        kept = Vectors(vectors.dense[start:])
        collection.upsert(ids[start:], kept, [FREE] * len(kept))
    return set(ids[start:])


def test_ids_are_read_from_the_list_of_a_clean_close_and_not_asked_of_the_engine(
    store, monkeypatch
):
    there = _put(store, 0, 5)
    with store.open("m", DIMENSION) as collection:
        assert set(collection.ids().to_pylist()) == there
    monkeypatch.setattr(edge_store.EdgeCollection, "_scrolled", lambda self: pytest.fail("asked"))
    with store.open("m", DIMENSION) as collection:
        assert set(collection.ids().to_pylist()) == there
        gone = sorted(there)[:2]
        collection.delete(gone)
        more, vectors = _points(7)
        collection.upsert(more[5:], Vectors(vectors.dense[5:]), [FREE] * 2)
        assert set(collection.ids().to_pylist()) == (there - set(gone)) | set(more[5:])
    with store.open("m", DIMENSION) as collection:
        assert set(collection.ids().to_pylist()) == (there - set(gone)) | set(more[5:])


@pytest.mark.parametrize("change", ["upsert", "delete"])
def test_a_list_is_gone_with_the_first_change_and_true_again_after_a_kill(store, change):
    there = _put(store, 0, 5)
    with store.open("m", DIMENSION) as collection:
        collection.ids()
    listing = Path(store.folder) / "ids"
    assert listing.exists()
    more, vectors = _points(6)
    opened = store.open("m", DIMENSION)
    collection = opened.__enter__()
    collection.ids()
    if change == "delete":
        collection.delete(more[:1])
    else:
        collection.upsert(more[5:], Vectors(vectors.dense[5:]), [FREE])
    assert not listing.exists()
    assert not opened.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert not listing.exists()
    with store.open("m", DIMENSION) as collection:
        wanted = there - {more[0]} if change == "delete" else there | {more[5]}
        assert set(collection.ids().to_pylist()) == wanted


@pytest.mark.parametrize("content", [b"", b"x" * 16, b"x" * 79])
def test_a_list_of_another_length_is_not_believed(store, content):
    there = _put(store, 0, 5)
    (Path(store.folder) / "ids").write_bytes(content)
    with store.open("m", DIMENSION) as collection:
        assert set(collection.ids().to_pylist()) == there


FILL = """
import sys
import numpy as np
from resources.vectors import edge_store
from resources.vectors.port import Vectors

edge_store._FLUSH_EVERY_S = 0.02
free = {"lang": "zh", "sources": ["one"], "may_redistribute": True}
with edge_store.EdgeStore(folder=sys.argv[1]).open("m", 16) as collection:
    collection.ids()
    for start in range(0, 40_000, 100):
        vectors = np.random.default_rng(start).normal(size=(100, 16)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        ids = [f"{number:032x}" for number in range(start, start + 100)]
        collection.upsert(ids, Vectors(vectors), [free] * 100)
        print(start, flush=True)
"""


def test_after_a_kill_every_point_that_is_listed_has_its_own_vector(store):
    command = [sys.executable, "-c", FILL, store.folder]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) >= 3_000:
                process.kill()
                break
    assert process.wait() == -signal.SIGKILL
    with store.open("m", DIMENSION) as collection:
        there = sorted(collection.ids().to_pylist())
        assert 0 < len(there) <= 40_000
        for start in sorted({int(key, 16) // 100 * 100 for key in there})[:20]:
            vectors = np.random.default_rng(start).normal(size=(100, 16)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            held = [n for n in range(100) if f"{start + n:032x}" in there]
            found = collection.nearest(Vectors(vectors[held]), 1, ALL)
            assert found == [[f"{start + n:032x}"] for n in held]


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
            assert set(collection.ids().to_pylist()) == set(ids)
            nearest.append(collection.nearest(queries, 10, ALL))
    plain, other = nearest
    shared = [len({*one} & {*two}) for one, two in zip(plain, other, strict=True)]
    assert sum(shared) >= 0.9 * 10 * len(shared)
    assert [row[0] for row in other] == ids[:20]
