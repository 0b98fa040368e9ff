import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.offline import lexicon
from resources.vectors.hashed import HashedEmbedder

_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


@pytest.mark.parametrize("dimension", [8, 256])
def test_no_texts_give_no_vectors(dimension):
    found = HashedEmbedder(dimension=dimension).embed([]).dense
    assert (found.shape, found.dtype) == ((0, dimension), np.float32)


@given(st.lists(_TEXT.filter(str.strip), min_size=1, max_size=6))
def test_vectors_are_of_unit_length_or_zero_and_finite(texts):
    found = HashedEmbedder().embed(texts).dense
    assert (found.shape, found.dtype) == ((len(texts), 256), np.float32)
    lengths = np.linalg.norm(found, axis=1)
    assert np.all(np.isclose(lengths, 1, atol=1e-5) | (lengths == 0))


@given(st.lists(_TEXT, min_size=1, max_size=6), st.data())
def test_a_vector_depends_on_its_own_text_only(texts, data):
    place = data.draw(st.integers(0, len(texts) - 1))
    alone = HashedEmbedder().embed([texts[place]]).dense[0]
    assert np.array_equal(HashedEmbedder().embed(texts).dense[place], alone)


def test_sample_posts_have_unit_vectors():
    texts = list(lexicon.translations()) + list(lexicon.translations().values())
    lengths = np.linalg.norm(HashedEmbedder().embed(texts).dense, axis=1)
    assert np.allclose(lengths, 1, atol=1e-5)


@pytest.mark.parametrize("text", ["", " ", "好", "ab"])
def test_a_short_text_has_a_vector_too(text):
    found = HashedEmbedder().embed([text, "一段比较长的文字"]).dense
    assert np.all(np.isfinite(found))


def test_texts_that_share_wording_are_nearer_than_others():
    near, far, query = (
        HashedEmbedder()
        .embed(["小区楼道里堆满了杂物", "今晚的足球比赛真精彩", "楼道里堆满杂物怎么办"])
        .dense
    )
    assert near @ query > far @ query + 0.2


def test_upper_and_lower_case_are_the_same():
    one, two = HashedEmbedder().embed(["Hello World", "hello world"]).dense
    assert np.array_equal(one, two)


def test_another_dimension_is_another_length():
    embedder = HashedEmbedder(dimension=32)
    assert embedder.embed(["好"]).dense.shape == (1, 32)
    assert embedder.identity == "offline-hashed-ngrams@1"
