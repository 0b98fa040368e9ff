"""Taking down what the tables of the last run no longer show; the rest is run end to end."""

import dagster as dg
import pytest

from chillguard import crawl, embedding
from chillguard.cleaning import earlier
from chillguard.rows import intake
from chillguard.tables import lineage
from chillguard.text import near_duplicates
from resources.crawlers.source import Post, Query
from resources.crawlers.store import Position, PostStore
from resources.home.publishing import Publishing
from resources.home.releases import Releases
from resources.home.review import Review
from resources.home.state import State
from resources.home.tables import Tables
from resources.home.whole import write_parquet
from resources.models.ledger import Ledger
from resources.takedown import Takedown
from resources.vectors.edge_store import EdgeStore
from resources.vectors.hashed import HashedEmbedder
from resources.vectors.retrieval import Retrieval
from tests.chillguard import builders

TEXT, URL = "河边的芦苇长得比人还高", "https://example.org/7"
NO_WORDS = lineage.EXPANDED_KEYWORDS.build([])


@pytest.fixture
def house(tmp_path):
    """A home by hand: what a takedown works on, by name."""
    database = f"sqlite:///{tmp_path / 'ledger.db'}"
    releases = Releases(folder=str(tmp_path / "release"))
    return Takedown(
        tables=Tables(folder=str(tmp_path / "tables")),
        state=State(folder=str(tmp_path / "state"), profile="mine"),
        ledger=Ledger(url=database),
        crawl_store=PostStore(url=database),
        retrieval=Retrieval(
            embedder=HashedEmbedder(), vector_store=EdgeStore(folder=str(tmp_path / "index"))
        ),
        releases=releases,
        reviews=Review(folder=str(tmp_path / "review")),
        publishing=Publishing(folder=str(tmp_path / "public"), releases=releases),
    )


@pytest.fixture
def put(tmp_path):
    """A function that writes a table as a run would have."""

    def write(table, *key):
        path = tmp_path.joinpath("tables", *key, "part-00000.parquet")
        write_parquet(table.cast(lineage.TABLES[key[0]].arrow), path)

    return write


@pytest.fixture
def crawled(house, put):
    """A function that makes the table of a network source from what it brought so far."""
    post = Post("7", TEXT, url=URL, lang="zh")
    query = Query("q", None, "芦苇", "zh")
    number = house.crawl_store.begin("net")
    house.crawl_store.add("net", query, number, [(post, intake.admit(TEXT))], Position())

    def run():
        table = crawl.posts(
            house.crawl_store.records("net"),
            "net",
            NO_WORDS,
            builders.TERMS,
            crawl.CrawlConfig(),
            house.state.taken_down(),
        )
        put(table, "crawled_posts", "net")
        return table.to_pylist()

    run()
    return run


@pytest.mark.parametrize("request_", ["7", "net:7", URL, "nothing"])
def test_where_nothing_was_crawled_nothing_is_meant(house, request_):
    with pytest.raises(dg.Failure) as caught:
        house.remove(request_)
    assert caught.value.description == (
        f"takedown: no crawled post has own id, URL or post id {request_!r}; nothing was removed. "
        "Look it up in tables/crawled_posts/*"
    )
    assert house.state.taken_down() == frozenset()


def test_a_post_that_was_crawled_but_not_yet_indexed_can_be_taken_down(house, crawled):
    report = house.remove(URL)
    assert (report["posts"], report["points"], report["ledger_answers"]) == (1, 0, 0)
    assert (report["derived_prompts"], report["releases"]) == ([], {})
    [row] = house.tables.read("crawled_posts", "net").to_pylist()
    assert (row["text"], row["drop_reason"]) == (None, "takedown")


def test_the_store_of_crawled_posts_keeps_the_id_and_not_the_text(house, crawled):
    house.remove("net:7")
    [record] = house.crawl_store.records("net")
    assert (record["id"], record["admitted"].text) == ("7", None)
    assert record["admitted"].drop_reason == "takedown"
    assert house.crawl_store.known("net", ["7"]) == {"7": 1}


@pytest.mark.parametrize("request_", ["7", "net:7", URL, None])
def test_after_the_next_crawl_the_same_request_is_still_harmless(house, crawled, request_):
    [row] = house.tables.read("crawled_posts", "net").to_pylist()
    request_ = request_ or row["post_id"]
    house.remove(request_)
    [row] = crawled()
    assert (row["text"], row["drop_reason"]) == (None, "takedown")
    assert house.remove(request_)["ledger_answers"] == 0


def test_the_point_of_the_post_goes_and_the_others_stay(house, crawled, put):
    rows = [*crawled(), builders.post("p2", "8", "net")]
    index = embedding.manifest([lineage.CRAWLED_POSTS.build(rows)], "offline-hashed-ngrams@1", 256)
    house.retrieval.index(index, lambda line: None)
    put(index, "post_index")
    assert house.remove("7")["points"] == 1
    store = house.retrieval.vector_store
    with store.open("offline-hashed-ngrams@1", 256, False) as collection:
        left = set(collection.ids().to_pylist())
    [kept] = [row for row in index.to_pylist() if row["post_id"] == "p2"]
    assert left == {kept["point_id"]}
    assert house.tables.read("post_index")["post_id"].to_pylist() == ["p2"]


def test_releases_of_earlier_runs_are_named_though_no_table_holds_their_rows_any_more(
    house, crawled
):
    [post] = house.tables.read("crawled_posts", "net").to_pylist()
    rows = [
        builders.labeled("made", TEXT, "A1", family_id=post["post_id"], call_key="c1"),
        builders.labeled("other", builders.mixed(1), "A1", call_key="c2"),
    ]
    sides = {side: builders.released(side, rows if side == "train" else []) for side in _SIDES}
    house.releases.write("v1", sides, {}, {})
    config = near_duplicates.NearDuplicateConfig()
    for version in ("v1", "v2"):
        house.state.append_signatures(earlier.table(sides["train"], config), version)
    report = house.remove("7")
    [left] = house.state.signatures(config)
    assert (report["signatures"], left["prompt_id"].to_pylist()) == (1, ["other"])
    assert report["derived_prompts"] == ["made"]
    assert report["releases"] == {"v1": 1}
    assert report["published"] == {}
    [sentence] = report["to_do"]
    assert sentence.startswith("release v1 is kept as it was and holds 1 rows made from the post")


_SIDES = ("train", "test")
