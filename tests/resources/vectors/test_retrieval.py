import re

import dagster as dg
import pytest

from chillguard import embedding
from chillguard.embedding import PostFilter
from chillguard.tables import lineage
from resources.models import progress
from resources.vectors import retrieval
from resources.vectors.edge_store import EdgeStore
from resources.vectors.hashed import HashedEmbedder
from resources.vectors.retrieval import Retrieval
from tests.chillguard import builders

ALL = PostFilter()
TEXTS = (
    "周末在社区图书馆看书",
    "公园里的桂花开了",
    "新开的面包店",
    "地铁站里有人弹琴",
    "给阳台的薄荷浇水",
)
SILENT = [].append


class Counting(HashedEmbedder):
    """The stand-in, which keeps what it was asked for and may break."""

    asked: list[str] = []
    breaks_at: int | None = None

    def embed(self, texts):
        if self.breaks_at is not None and len(self.asked) >= self.breaks_at:
            raise KeyboardInterrupt("killed")
        self.asked.extend(texts)
        return super().embed(texts)


@pytest.fixture
def make(tmp_path):
    """A function that makes the index of the home, with an embedder of its own."""

    def made(**more):
        store = EdgeStore(folder=str(tmp_path / "index"))
        return Retrieval(embedder=Counting(asked=[], **more), vector_store=store)

    return made


def _manifest(texts, source="one", **terms):
    rows = [builders.post(text, text, source, text, **terms) for text in texts]
    return embedding.manifest([lineage.CRAWLED_POSTS.build(rows)], "offline-hashed-ngrams@1", 256)


def _of_two_sources(texts, other):
    tables = [
        lineage.CRAWLED_POSTS.build([builders.post(t, t, name, t, **more) for t in texts])
        for name, more in (("one", {}), ("two", other))
    ]
    return embedding.manifest(tables, "offline-hashed-ngrams@1", 256)


def _stored(made):
    with made.vector_store.open("offline-hashed-ngrams@1", 256, False) as collection:
        return set(collection.ids().to_pylist())


def _points(index):
    return set(embedding.points(index))


def test_the_index_embeds_what_it_lacks_and_nothing_else(make):
    assert make().index(_manifest(TEXTS[:2]), SILENT) == (2, 0, {})
    again = make()
    assert again.index(_manifest(TEXTS), SILENT) == (3, 0, {})
    assert sorted(again.embedder.asked) == sorted(TEXTS[2:])
    idle = make()
    assert idle.index(_manifest(TEXTS), SILENT) == (0, 0, {})
    assert idle.embedder.asked == []
    assert _stored(idle) == _points(_manifest(TEXTS))


def test_what_the_manifest_lacks_is_deleted(make):
    made = make()
    made.index(_manifest(TEXTS), SILENT)
    assert made.index(_manifest(TEXTS[3:]), SILENT) == (0, 3, {})
    assert _stored(made) == _points(_manifest(TEXTS[3:]))
    assert made.index(_manifest([]), SILENT) == (0, 2, {})
    assert _stored(made) == set()


@pytest.mark.parametrize(
    ("after", "where"),
    [
        (_manifest(TEXTS, may_redistribute=False), PostFilter(redistributable_only=True)),
        (_manifest(TEXTS, source="two"), PostFilter(sources=("one",))),
        (_manifest(TEXTS, lang="en"), PostFilter(languages=("zh",))),
    ],
)
def test_a_change_of_terms_sources_or_language_replaces_the_point(make, after, where):
    made = make()
    before = _manifest(TEXTS)
    made.index(before, SILENT)
    assert len(made.nearest(["看书"], 9, where, before, SILENT)[0]) == 5
    assert made.index(after, SILENT) == (5, 5, {})
    assert _stored(made) == _points(after)
    assert not _points(after) & _points(before)
    assert made.nearest(["看书"], 9, where, after, SILENT) == [[]]
    assert len(made.nearest(["看书"], 9, ALL, after, SILENT)[0]) == 5


def test_a_second_source_of_the_same_post_replaces_its_point(make):
    made = make()
    made.index(_manifest(TEXTS), SILENT)
    both = _of_two_sources(TEXTS, {})
    assert made.index(both, SILENT) == (5, 5, {})
    for name in ("one", "two"):
        assert len(made.nearest(["看书"], 9, PostFilter(sources=(name,)), both, SILENT)[0]) == 5


def test_posts_barred_from_training_are_never_retrievable(make):
    made = make()
    free, barred = _manifest(TEXTS), _of_two_sources(TEXTS, {"may_train": False})
    made.index(free, SILENT)
    # Even while their points are still there.
    assert made.nearest(["看书"], 9, ALL, barred, SILENT) == [[]]
    assert made.index(barred, SILENT) == (0, 5, {})
    assert _stored(made) == set()
    assert made.nearest(["看书"], 9, ALL, free, SILENT) == [[]]


def test_what_was_embedded_before_a_kill_is_not_embedded_again(make, monkeypatch):
    monkeypatch.setattr(retrieval, "_CHUNK", 2)
    killed = make(breaks_at=2)
    with pytest.raises(KeyboardInterrupt):
        killed.index(_manifest(TEXTS), SILENT)
    assert len(_stored(killed)) == 2
    after = make()
    assert after.index(_manifest(TEXTS), SILENT) == (3, 0, {})
    assert not set(after.embedder.asked) & set(killed.embedder.asked)
    assert _stored(after) == _points(_manifest(TEXTS))


def test_texts_go_to_the_embedder_by_length(make, monkeypatch):
    monkeypatch.setattr(retrieval, "_CHUNK", 2)
    made = make()
    made.index(_manifest(TEXTS), SILENT)
    lengths = [len(text) for text in made.embedder.asked]
    assert lengths == sorted(lengths)


def test_the_pace_of_embedding_is_told(make, monkeypatch):
    monkeypatch.setattr(retrieval, "_CHUNK", 2)
    monkeypatch.setattr(progress, "_TELL_EVERY_S", -1.0)
    told = []
    make().index(_manifest(TEXTS), told.append)
    line = r"post_index: {} of 5 posts embedded, [\d,]+/s, ETA [\d,]+ s"
    assert len(told) == 3
    for done, said in zip((2, 4, 5), told, strict=True):
        assert re.fullmatch(line.format(done), said)
    assert told[-1].endswith("ETA 0 s")


def test_nothing_is_told_where_nothing_is_to_be_done(make):
    told = []
    made = make()
    made.index(_manifest(TEXTS), told.append)
    assert len(told) == 1
    made.index(_manifest(TEXTS), told.append)
    assert len(told) == 1


def test_the_nearest_posts_come_by_similarity_and_under_the_filter(make):
    made = make()
    index = embedding.manifest(
        [
            lineage.CRAWLED_POSTS.build(
                builders.post(text, text, "one", text, lang="zh" if n % 2 else "en")
                for n, text in enumerate(TEXTS)
            )
        ],
        "offline-hashed-ngrams@1",
        256,
    )
    made.index(index, SILENT)
    queries = ["去图书馆看书", "公园里的桂花开了吗"]
    found = made.nearest(queries, 1, ALL, index, SILENT)
    assert found == [[TEXTS[0]], [TEXTS[1]]]
    [zh, _] = made.nearest(queries, 9, PostFilter(languages=("zh",)), index, SILENT)
    assert set(zh) == {TEXTS[1], TEXTS[3]}


def test_a_point_that_the_manifest_lacks_is_not_near(make):
    made = make()
    made.index(_manifest(TEXTS), SILENT)
    assert made.nearest(["去图书馆看书"], 9, ALL, _manifest(TEXTS[1:2]), SILENT) == [[TEXTS[1]]]


def test_no_queries_find_nothing(make):
    made = make()
    made.index(_manifest(TEXTS), SILENT)
    assert made.nearest([], 5, ALL, _manifest(TEXTS), SILENT) == []


def test_the_points_of_removed_posts_go_and_the_others_stay(make):
    made = make()
    index = _manifest(TEXTS)
    made.index(index, SILENT)
    assert made.remove(index, {TEXTS[0], TEXTS[2], "never seen"}) == 2
    assert _stored(made) == _points(_manifest([TEXTS[1], *TEXTS[3:]]))
    assert made.remove(index, set()) == 0


def test_a_search_of_many_queries_tells_how_far_it_is(make, monkeypatch):
    made, told = make(), []
    made.index(_manifest(TEXTS), SILENT)
    whole = made.nearest(TEXTS, 2, ALL, _manifest(TEXTS), SILENT)
    monkeypatch.setattr(retrieval, "_QUERIES", 2)
    assert made.nearest(TEXTS, 2, ALL, _manifest(TEXTS), told.append) == whole
    assert told[-1].startswith("post_index: 5 of 5 queries searched, ")


class Fragile(Counting):
    """An embedder that fails as a whole at some texts, or at all."""

    at_fault: list[str] = []
    is_down: bool = False

    def embed(self, texts):
        if self.is_down or set(texts) & set(self.at_fault):
            raise dg.Failure("embedding endpoint: HTTP 500")
        return super().embed(texts)


def _fragile(tmp_path, **more):
    store = EdgeStore(folder=str(tmp_path / "index"))
    return Retrieval(embedder=Fragile(asked=[], **more), vector_store=store)


def test_a_text_that_makes_the_model_fail_is_left_out_with_its_reason(tmp_path):
    index = _manifest(TEXTS)
    made = _fragile(tmp_path, at_fault=[TEXTS[2]])
    [point] = [row["point_id"] for row in index.to_pylist() if row["text"] == TEXTS[2]]
    assert made.index(index, SILENT) == (4, 0, {point: "embedding endpoint: HTTP 500"})
    kept = embedding.without(index, {point})
    assert _stored(made) == _points(kept)
    assert kept.num_rows == index.num_rows
    assert lineage.POST_INDEX.problems(kept) == []
    assert _fragile(tmp_path).index(index, SILENT) == (1, 0, {})


def test_a_model_that_answers_nothing_leaves_out_no_text(tmp_path):
    with pytest.raises(dg.Failure, match="HTTP 500"):
        _fragile(tmp_path, is_down=True).index(_manifest(TEXTS), SILENT)
