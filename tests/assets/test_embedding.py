import pytest

from assets import embedding
from chillguard import crawl
from chillguard.tables import lineage
from resources.vectors.hashed import HashedEmbedder

TEXTS = ("周末在社区图书馆看书", "公园里的桂花开了很香", "楼下新开了一家面包店")


@pytest.fixture
def put(bench):
    """A function that puts the posts of a source on the shelf."""

    def posts(source, *texts, may_train=True):
        terms = {"may_redistribute": True, "may_train": may_train}
        found = [{"text": text, "lang": "zh"} for text in texts]
        empty = lineage.EXPANDED_KEYWORDS.build([])
        table = crawl.posts(found, source, empty, terms, crawl.CrawlConfig())
        bench.tables[f"crawled_posts/{source}"] = table
        return dict(zip(table["text"].to_pylist(), table["post_id"].to_pylist(), strict=True))

    return posts


def _run(bench, *sources):
    return bench.run(embedding.post_index(sources))["post_index"]


def _stored(bench):
    embedder = HashedEmbedder()
    with bench.store.open(embedder.identity, embedder.dimension) as collection:
        return set(collection.ids().to_pylist())


def _points(table):
    return set(table["point_id"].to_pylist())


def test_every_kept_post_is_in_the_manifest_and_in_the_store(bench, put):
    ids = put("one", *TEXTS)
    table = _run(bench, "one")
    assert sorted(table["post_id"].to_pylist()) == sorted(ids.values())
    assert _stored(bench) == _points(table)
    assert set(table["embedding_model"].to_pylist()) == {"offline-hashed-ngrams@1"}
    assert bench.metadata["post_index"]["newly_embedded"] == 3


def test_only_missing_posts_are_embedded(bench, put, monkeypatch):
    put("one", *TEXTS[:2])
    _run(bench, "one")
    put("one", *TEXTS)
    asked = []
    real = HashedEmbedder.embed
    monkeypatch.setattr(
        HashedEmbedder, "embed", lambda self, texts: asked.extend(texts) or real(self, texts)
    )
    _run(bench, "one")
    assert asked == [TEXTS[2]]
    assert bench.metadata["post_index"]["newly_embedded"] == 1


def test_a_post_that_is_gone_leaves_the_store(bench, put):
    put("one", *TEXTS)
    _run(bench, "one")
    put("one", TEXTS[0])
    table = _run(bench, "one")
    assert table.num_rows == 1
    assert _stored(bench) == _points(table)
    assert bench.metadata["post_index"]["deleted_points"] == 2


def test_a_post_of_two_sources_is_one_row_under_the_stricter_terms(bench, put):
    put("free", *TEXTS[:2])
    put("barred", TEXTS[0], may_train=False)
    rows = {row["text"]: row for row in _run(bench, "free", "barred").to_pylist()}
    assert rows[TEXTS[0]]["sources"] == ["barred", "free"]
    assert rows[TEXTS[0]]["retrievable"] is False
    assert rows[TEXTS[1]]["retrievable"] is True
    assert _stored(bench) == {rows[TEXTS[1]]["point_id"]}


def test_a_post_whose_terms_become_stricter_leaves_the_store(bench, put):
    put("one", *TEXTS)
    _run(bench, "one")
    put("one", *TEXTS, may_train=False)
    _run(bench, "one")
    assert _stored(bench) == set()
