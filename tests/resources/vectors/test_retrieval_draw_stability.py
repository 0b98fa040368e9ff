"""A refresh with a few new posts asks few queries anew: the whole way from posts to draws."""

import pytest

from chillguard import embedding, keywords, taxonomy
from chillguard.synthesis import rag
from chillguard.tables import lineage
from resources.vectors.edge_store import EdgeStore
from resources.vectors.hashed import HashedEmbedder
from resources.vectors.retrieval import Retrieval
from tests.chillguard import builders

POSTS, NEW = 3000, 30
CONFIG = rag.SynthesisConfig(queries_per_category=16)
TAXONOMY = taxonomy.parse(taxonomy.packaged("taxonomy.yaml"), "packaged")
SEEDS = keywords.seed_rows(taxonomy.packaged("seed_keywords.yaml"), TAXONOMY, "packaged")
QUERIES = rag.queries(SEEDS, TAXONOMY, CONFIG)


def _manifest(numbers):
    rows = [builders.post(f"{n:032x}", str(n), "one", builders.mixed(n)) for n in numbers]
    return embedding.manifest([lineage.CRAWLED_POSTS.build(rows)], "offline-hashed-ngrams@1", 256)


@pytest.fixture(scope="module")
def draws(tmp_path_factory):
    """A function from post numbers to the draws over them, by query; one index for all."""
    store = EdgeStore(folder=str(tmp_path_factory.mktemp("index")))
    retrieval = Retrieval(embedder=HashedEmbedder(), vector_store=store)
    texts = [query.text for query in QUERIES]

    def drawn(numbers):
        index = _manifest(numbers)
        retrieval.index(index, lambda line: None)
        nearest = retrieval.nearest(texts, CONFIG.top_k, CONFIG.posts, index, [].append)
        found = rag.draws(QUERIES, nearest, embedding.posts(index), CONFIG)
        return {draw.query.query_id: draw.draw_id for draw in found}

    return drawn


def _changed(one, two):
    assert one.keys() == two.keys()
    return sum(two[key] != one[key] for key in one) / len(one)


@pytest.mark.parametrize("first", [POSTS, 2 * POSTS, 3 * POSTS])
def test_one_per_cent_new_posts_changes_at_most_twelve_per_cent_of_the_draws(draws, first):
    before, after = draws(range(POSTS)), draws([*range(POSTS), *range(first, first + NEW)])
    assert 0 < _changed(before, after) <= 0.12


def test_one_per_cent_of_the_posts_taken_away_changes_as_little(draws):
    before, after = draws(range(POSTS)), draws([n for n in range(POSTS) if n % 100])
    assert 0 < _changed(before, after) <= 0.12


def test_the_same_posts_give_the_same_draws_whatever_was_indexed_between(draws):
    before = draws(range(POSTS))
    draws(range(POSTS, POSTS + NEW))
    assert draws(range(POSTS)) == before
