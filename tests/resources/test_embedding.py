import sys
import types

import numpy as np
import pytest

from resources.embedding import BgeM3Embedder, Embedder


@pytest.fixture
def bge(monkeypatch):
    """A stand-in for FlagEmbedding; holds what was asked of it."""
    asked = {}

    class Model:
        def __init__(self, name):
            asked["model"] = name

        def encode(self, texts, **options):
            asked.update(options, texts=texts)
            return {"dense_vecs": np.ones((len(texts), 1024), np.float16)}

    package = types.ModuleType("FlagEmbedding")
    package.BGEM3FlagModel = Model
    monkeypatch.setitem(sys.modules, "FlagEmbedding", package)
    return asked


def test_an_embedder_is_known_by_model_and_revision():
    assert BgeM3Embedder().identity == "BAAI/bge-m3@main"
    assert BgeM3Embedder(revision="r2").identity == "BAAI/bge-m3@r2"


def test_the_port_itself_cannot_be_used():
    with pytest.raises(TypeError, match="embed"):
        Embedder(model="m", revision="1", dimension=2)


def test_no_texts_load_no_model(monkeypatch):
    monkeypatch.setitem(sys.modules, "FlagEmbedding", None)
    assert BgeM3Embedder().embed([]).shape == (0, 1024)


def test_dense_vectors_come_as_32_bit_floats(bge):
    found = BgeM3Embedder(batch_size=8).embed(("一", "二"))
    assert (found.shape, found.dtype) == ((2, 1024), np.float32)
    assert bge == {
        "model": "BAAI/bge-m3",
        "texts": ["一", "二"],
        "batch_size": 8,
        "return_dense": True,
    }
