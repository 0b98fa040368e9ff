import sys
import types

import dagster as dg
import numpy as np
import pytest

from resources.vectors.embedding import BgeM3Embedder, Embedder

HEADS = ("sparse_linear.pt", "colbert_linear.pt")


@pytest.fixture
def folder(tmp_path):
    for name in HEADS:
        (tmp_path / name).touch()
    return tmp_path


@pytest.fixture
def bge(monkeypatch, folder):
    """A stand-in for FlagEmbedding and the hub; holds what was asked of them."""
    asked = {}

    class Model:
        def __init__(self, name, **options):
            asked.update(options, model=name)

        def encode(self, texts, **options):
            asked.update(options, texts=texts)
            found = {"dense_vecs": np.ones((len(texts), 1024), np.float16)}
            if options["return_sparse"]:
                found["lexical_weights"] = [{"7": np.float32(0.5)} for _ in texts]
            return found

    def download(name, revision):
        asked.update(name=name, revision=revision)
        return str(folder)

    package, hub = types.ModuleType("FlagEmbedding"), types.ModuleType("huggingface_hub")
    package.BGEM3FlagModel, hub.snapshot_download = Model, download
    monkeypatch.setitem(sys.modules, "FlagEmbedding", package)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    return asked


def test_an_embedder_is_known_by_model_and_revision():
    assert BgeM3Embedder().identity == "BAAI/bge-m3@main"
    assert BgeM3Embedder(revision="r2").identity == "BAAI/bge-m3@r2"


def test_the_port_itself_cannot_be_used():
    with pytest.raises(TypeError, match="embed"):
        Embedder(model="m", revision="1", dimension=2)


@pytest.mark.parametrize(("sparse", "weights"), [(False, None), (True, [])])
def test_no_texts_load_no_model(monkeypatch, sparse, weights):
    monkeypatch.setitem(sys.modules, "FlagEmbedding", None)
    found = BgeM3Embedder(sparse=sparse).embed([])
    assert (found.dense.shape, found.dense.dtype) == ((0, 1024), np.float32)
    assert found.sparse == weights
    assert len(found) == 0


def test_without_its_install_group_the_embedder_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "FlagEmbedding", None)
    with pytest.raises(dg.Failure, match=r"needs the install group `train`: run `make \.venv/"):
        BgeM3Embedder().embed(["一"])


def test_dense_vectors_come_as_32_bit_floats(bge, folder):
    found = BgeM3Embedder(batch_size=8, path=str(folder)).embed(("一", "二"))
    assert (found.dense.shape, found.dense.dtype) == ((2, 1024), np.float32)
    assert found.sparse is None
    assert bge == {
        "model": str(folder),
        "use_fp16": False,
        "devices": None,
        "texts": ["一", "二"],
        "batch_size": 8,
        "max_length": 1024,
        "return_dense": True,
        "return_sparse": False,
        "return_colbert_vecs": False,
    }


def test_without_a_path_the_model_of_its_revision_comes_from_the_hub(bge, folder):
    BgeM3Embedder(revision="r2").embed(["一"])
    assert (bge["name"], bge["revision"]) == ("BAAI/bge-m3", "r2")
    assert bge["model"] == str(folder)


def test_lexical_weights_are_plain_numbers_by_token_id(bge, folder):
    found = BgeM3Embedder(sparse=True, path=str(folder)).embed(["一", "二"])
    assert found.sparse == [{7: 0.5}, {7: 0.5}]
    assert {type(key) for one in found.sparse for key in one} == {int}
    assert {type(value) for one in found.sparse for value in one.values()} == {float}


@pytest.mark.parametrize("missing", [HEADS[:1], HEADS[1:], HEADS])
def test_a_folder_without_a_head_is_refused_before_it_is_loaded(bge, folder, missing):
    for name in missing:
        (folder / name).unlink()
    with pytest.raises(dg.Failure) as caught:
        BgeM3Embedder(path=str(folder)).embed(["一"])
    assert caught.value.description == (
        f"embedder bge-m3: folder {folder} lacks {', '.join(missing)}; download the whole model"
    )
    assert "texts" not in bge


def test_a_model_that_cannot_be_had_is_named_with_the_mend(bge, monkeypatch):
    def unreachable(name, revision):
        raise OSError("the hub cannot be reached")

    monkeypatch.setattr(sys.modules["huggingface_hub"], "snapshot_download", unreachable)
    with pytest.raises(dg.Failure) as caught:
        BgeM3Embedder().embed(["一"])
    message = caught.value.description
    assert message.startswith("embedder bge-m3: BAAI/bge-m3 cannot be loaded (the hub cannot")
    assert message.endswith("set `embedder.path` in the profile to a local folder of the model")
