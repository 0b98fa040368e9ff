"""bge-m3 in process, the library's real code on a tiny checkpoint of the same architecture."""

import shutil

import dagster as dg
import numpy as np
import pytest

pytest.importorskip("FlagEmbedding", reason="needs the install group `train`: make .venv/train")

from resources.vectors.embedding import BgeM3Embedder
from tests.resources import tiny_bge_m3

pytestmark = pytest.mark.train
TEXTS = tiny_bge_m3.texts(40)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_bge_m3.make(tmp_path_factory.mktemp("bge") / "m3")


@pytest.fixture(scope="module")
def embedder(checkpoint):
    return _embedder(checkpoint, batch_size=7)


def _embedder(folder, **more):
    return BgeM3Embedder(
        path=str(folder), dimension=tiny_bge_m3.DIMENSION, sparse=True, devices=["cpu"], **more
    )


@pytest.fixture(scope="module")
def vectors(embedder):
    return embedder.embed(TEXTS)


def test_dense_vectors_are_of_unit_length_and_tell_texts_apart(vectors):
    assert vectors.dense.shape == (len(TEXTS), tiny_bge_m3.DIMENSION)
    assert vectors.dense.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors.dense, axis=1), 1, atol=1e-5)
    assert np.median(vectors.dense @ vectors.dense.T) < 0.9


def test_sparse_weights_are_positive_numbers_by_token_id(vectors):
    assert len(vectors.sparse) == len(TEXTS)
    assert any(vectors.sparse)
    for weights in vectors.sparse:
        assert all(type(key) is int and 0 <= key < 202 for key in weights)
        assert all(type(value) is float and value > 0 for value in weights.values())


@pytest.mark.parametrize("batch_size", [1, 3, 40])
def test_a_text_has_the_same_vector_in_every_batch_and_place(checkpoint, vectors, batch_size):
    other = _embedder(checkpoint, batch_size=batch_size)
    found = other.embed(TEXTS[::-1])
    cosines = np.sum(found.dense[::-1] * vectors.dense, axis=1)
    assert cosines.min() >= 0.9999
    for one, two in zip(found.sparse[::-1], vectors.sparse, strict=True):
        assert one.keys() == two.keys()
        assert all(abs(one[key] - two[key]) < 1e-3 for key in one)


def test_texts_of_mixed_lengths_come_back_in_their_order(embedder, vectors):
    # The library batches by length; one text at a time there is no order to lose.
    alone = np.concatenate([embedder.embed([text]).dense for text in TEXTS[:12]])
    assert np.sum(alone * vectors.dense[:12], axis=1).min() >= 0.9999
    assert len({len(text) for text in TEXTS[:12]}) > 5


def test_a_text_beyond_the_limit_is_embedded_by_its_beginning(checkpoint):
    short = _embedder(checkpoint, max_length=16)
    one, two = short.embed([TEXTS[0] * 40, TEXTS[0] * 40 + "完全不同的结尾"]).dense
    assert one @ two >= 0.9999


def test_odd_texts_have_finite_vectors(embedder):
    found = embedder.embed(["", " ", "\n", "😀", "没见过的字：龘靐", "a" * 5000])
    assert np.isfinite(found.dense).all()
    assert np.allclose(np.linalg.norm(found.dense, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("name", ["sparse_linear.pt", "colbert_linear.pt"])
def test_a_checkpoint_without_a_head_is_refused(checkpoint, tmp_path, name):
    folder = tmp_path / "partial"
    shutil.copytree(checkpoint, folder)
    (folder / name).unlink()
    with pytest.raises(dg.Failure, match=f"lacks {name}; download the whole model"):
        _embedder(folder).embed(["一"])


@pytest.mark.parametrize(
    ("name", "content"),
    [("config.json", "{"), ("tokenizer.json", "{"), ("model.safetensors", "half")],
)
def test_a_damaged_checkpoint_is_told_in_one_sentence(checkpoint, tmp_path, name, content):
    folder = tmp_path / "damaged"
    shutil.copytree(checkpoint, folder)
    (folder / name).write_text(content)
    with pytest.raises(dg.Failure) as caught:
        _embedder(folder).embed(["一"])
    assert caught.value.description.startswith(f"embedder bge-m3: {folder} cannot be loaded (")


def test_a_folder_that_is_not_there_is_told_as_such(tmp_path):
    with pytest.raises(dg.Failure, match=r"embedder bge-m3: folder .*gone lacks sparse_linear"):
        _embedder(tmp_path / "gone").embed(["一"])
