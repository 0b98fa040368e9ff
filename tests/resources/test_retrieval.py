import pytest

from chillguard import schema, synthesis
from resources.offline.models import HashedEmbedder
from resources.retrieval import Retrieval
from resources.state import write_parquet
from resources.tables import Tables
from resources.vector_store import VectorStore

TEXTS = {"1" * 32: "周末在社区图书馆看书", "2" * 32: "公园里的桂花开了", "3" * 32: "新开的面包店"}


@pytest.fixture
def retrieval(tmp_path):
    store, embedder = VectorStore(folder=str(tmp_path / "index")), HashedEmbedder()
    tables = Tables(folder=str(tmp_path / "tables"))
    return Retrieval(embedder=embedder, vector_store=store, tables=tables)


@pytest.fixture
def indexed(retrieval, tmp_path):
    """A function that writes the manifest; the store always holds all texts."""

    def write(*keys):
        embedder = HashedEmbedder()
        store = VectorStore(folder=str(tmp_path / "index"))
        with store.open(embedder.identity, embedder.dimension) as collection:
            collection.upsert(list(TEXTS), embedder.embed(list(TEXTS.values())))
        rows = [
            {
                "post_id": key,
                "sources": ["one"],
                "text": TEXTS[key],
                "embedding_model": embedder.identity,
                "dimension": embedder.dimension,
                "retrievable": True,
                "may_redistribute": True,
                "may_train": True,
            }
            for key in keys
        ]
        table = schema.POST_INDEX.build(rows)
        write_parquet(table, tmp_path / "tables" / "post_index" / "part-00000.parquet")

    return write


def _query(text):
    return synthesis.Query("q", "A1", (), text)


def test_without_an_index_nothing_is_near(retrieval):
    assert retrieval.nearest([_query("看书"), _query("桂花")], 5) == ([[], []], {})


def test_the_nearest_posts_of_each_query_come_with_their_rows(retrieval, indexed):
    indexed(*TEXTS)
    found, posts = retrieval.nearest([_query("去图书馆看书"), _query("桂花开了吗")], 1)
    assert found == [["1" * 32], ["2" * 32]]
    assert {key: row["text"] for key, row in posts.items()} == TEXTS


def test_a_point_that_the_manifest_lacks_is_not_near(retrieval, indexed):
    indexed("2" * 32)
    found, posts = retrieval.nearest([_query("去图书馆看书")], 3)
    assert found == [["2" * 32]]
    assert list(posts) == ["2" * 32]


def test_a_table_that_has_not_been_made_is_none(tmp_path):
    assert Tables(folder=str(tmp_path)).read("crawled_posts", "one") is None
