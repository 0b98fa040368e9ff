import itertools

import pytest

from chillguard import crawl, embedding
from chillguard.tables import lineage
from tests.chillguard import builders

NO_WORDS = lineage.EXPANDED_KEYWORDS.build([])
ONE, TWO, SHORT = "周末去公园散步的人真不少", "图书馆的自习室几点开门？", "太短了吧"


def _crawled(source, *texts, **terms):
    return crawl.posts(
        [{"text": text} for text in texts],
        source,
        NO_WORDS,
        {**builders.TERMS, **terms},
        crawl.CrawlConfig(),
    )


def test_the_index_holds_every_kept_post_once():
    crawled = [_crawled("b", ONE, TWO, ONE, SHORT), _crawled("a", ONE)]
    index = embedding.manifest(crawled, "bge@1", 8)
    assert lineage.POST_INDEX.problems(index) == []
    found = {row["text"]: row for row in index.to_pylist()}
    assert set(found) == {ONE, TWO}
    assert found[ONE]["sources"] == ["a", "b"]
    assert found[TWO]["sources"] == ["b"]
    assert {(row["embedding_model"], row["dimension"]) for row in found.values()} == {("bge@1", 8)}


@pytest.mark.parametrize(
    ("first", "second"), list(itertools.product([{}, {"may_train": False}], repeat=2))
)
def test_a_post_has_the_strictest_terms_of_its_sources(first, second):
    crawled = [_crawled("a", ONE, may_redistribute=False, **first), _crawled("b", ONE, **second)]
    index = embedding.manifest(crawled, "bge@1", 8)
    row = index.to_pylist()[0]
    free = not first and not second
    assert row["may_redistribute"] is False
    assert row["may_train"] is row["retrievable"] is free
    assert list(embedding.posts(index)) == ([row["post_id"]] if free else [])
    assert list(embedding.points(index)) == ([row["point_id"]] if free else [])


def test_the_order_of_sources_is_irrelevant():
    crawled = [_crawled("b", ONE, TWO), _crawled("a", TWO, ONE, may_train=False)]
    one, two = (embedding.manifest(c, "bge@1", 8) for c in (crawled, crawled[::-1]))
    assert one.equals(two)


def test_a_copy_in_another_spelling_is_no_second_point_and_its_terms_count():
    copy = _crawled("b", f"{ONE}！", may_train=False)
    index = embedding.manifest([_crawled("a", ONE), copy], "bge@1", 8)
    (row,) = index.to_pylist()
    assert (row["text"], row["sources"], row["retrievable"]) == (ONE, ["a", "b"], False)


def test_nothing_crawled_makes_an_empty_index():
    index = embedding.manifest([], "bge@1", 8)
    assert index.num_rows == 0
    assert embedding.posts(index) == embedding.points(index) == {}
