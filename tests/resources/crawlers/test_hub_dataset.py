"""Public corpora as a stream: which rows are kept, and where a scan goes on."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from tests.resources.crawlers.crawling import COOKING, WEATHER

datasets = pytest.importorskip("datasets")
ROWS = 1000
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))


def rows(start, count, every=100):
    """Rows of which each hundredth is about the weather, and the one after it about cooking."""
    about = {0: "今天天气很好", 1: "晚上一起做饭"}
    return [
        {
            "text": f"{about.get(n % every, '这里说的是别的')},第{n}行。",
            "key": n,
            "link": f"https://example.org/{n}",
            "time": "2026-11-21T09:00:00+08:00",
        }
        for n in range(start, start + count)
    ]


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "data"
    found.mkdir()
    return found


def jsonl(path, found):
    path.write_text("".join(json.dumps(row) + "\n" for row in found), "utf-8")


def parquet(path, found):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(found), path, row_group_size=300)


def source(folder, **more):
    return {"name": "here", "kind": "hub_dataset", "dataset": str(folder), **more}


def lines(corpus):
    """Numbers of the rows that are kept, ascending."""
    return sorted(int(row["admitted"].text.rpartition("第")[2][:-2]) for row in corpus.rows())


def wanted(count, every=100):
    return [n for n in range(count) if n % every in (0, 1)]


FORMATS = pytest.mark.parametrize(
    ("write", "ending"), [(jsonl, "jsonl"), (parquet, "parquet")], ids=["jsonl", "parquet"]
)


@FORMATS
def test_rows_with_a_keyword_become_posts_with_that_keyword(write, ending, folder, corpus):
    write(folder / f"a.{ending}", rows(0, 250))
    found = corpus.crawl(source(folder, id="key", url="link", time="time"), WEATHER, COOKING)
    assert {row["id"]: row["keyword_id"] for row in found} == {
        "0": "kw-weather",
        "1": "kw-cooking",
        "100": "kw-weather",
        "101": "kw-cooking",
        "200": "kw-weather",
        "201": "kw-cooking",
    }
    assert {row["posted_at"] for row in found} == {"2026-11-21T01:00:00Z"}
    assert {row["url"] for row in found} == {f"https://example.org/{n}" for n in wanted(250)}


@FORMATS
def test_a_scan_reads_the_whole_corpus(write, ending, folder, corpus):
    write(folder / f"a.{ending}", rows(0, 1700))
    write(folder / f"b.{ending}", rows(1700, 1800))
    corpus.crawl(source(folder), WEATHER, COOKING)
    assert lines(corpus) == wanted(3500)


@pytest.mark.parametrize("count", [0, 1, ROWS, 2 * ROWS])
def test_a_corpus_of_whole_pages_ends(count, folder, corpus):
    jsonl(folder / "a.jsonl", rows(0, count) or [{"text": "别的", "key": 0}])
    corpus.crawl(source(folder), WEATHER, COOKING)
    assert lines(corpus) == wanted(count)


def test_a_text_that_stands_twice_is_kept_once_and_the_scan_goes_on(folder, corpus):
    jsonl(folder / "a.jsonl", [{"text": "今天天气很好,第7行。"}] * 2500 + rows(0, 600))
    corpus.crawl(source(folder), WEATHER, COOKING)
    assert lines(corpus) == sorted([7, *wanted(600)])


@FORMATS
def test_a_scan_that_stopped_at_its_bound_reads_on_in_the_next_pass(
    write, ending, folder, corpus, monkeypatch
):
    write(folder / f"a.{ending}", rows(0, 1700))
    write(folder / f"b.{ending}", rows(1700, 1800))
    for pages in (1, 2, 3, 4):
        corpus.crawl(source(folder, max_pages=1), WEATHER, COOKING)
        assert lines(corpus) == wanted(min(3500, pages * ROWS))


@FORMATS
def test_a_scan_that_broke_off_goes_on_where_it_was(write, ending, folder, corpus, monkeypatch):
    from resources.crawlers.store import PostStore

    write(folder / f"a.{ending}", rows(0, 1700))
    write(folder / f"b.{ending}", rows(1700, 1800))
    whole, seen = PostStore.add, []

    def dies(self, name, query, number, posts, position):
        seen.append([post.text for post, _ in posts])
        if len(seen) == 3:
            raise KeyboardInterrupt
        whole(self, name, query, number, posts, position)

    monkeypatch.setattr(PostStore, "add", dies)
    with pytest.raises(KeyboardInterrupt):
        corpus.crawl(source(folder), WEATHER, COOKING)
    assert lines(corpus) == wanted(2 * ROWS)
    corpus.crawl(source(folder), WEATHER, COOKING)
    assert lines(corpus) == wanted(3500)
    assert seen[3] == seen[2]
    assert len(seen) == 5


def test_a_bound_of_posts_holds(folder, corpus):
    jsonl(folder / "a.jsonl", rows(0, 1000))
    corpus.crawl(source(folder, posts_per_query=5), WEATHER, COOKING)
    assert len(corpus.rows()) == 5


def test_keywords_of_the_languages_of_the_source_are_looked_for(folder, corpus):
    found = [{"text": "The weather is fine today."}, {"text": "今天天气很好。"}]
    jsonl(folder / "a.jsonl", found)
    one = corpus.crawl(source(folder))
    assert [row["admitted"].text for row in one] == ["今天天气很好。"]
    both = corpus.crawl(source(folder, languages=["zh", "en"]) | {"name": "there"})
    assert len(both) == 2


def test_a_row_with_an_empty_text_costs_that_row_alone(folder, corpus):
    first, *rest = rows(0, 200)
    jsonl(folder / "a.jsonl", [first, {**first, "text": None}, *rest])
    corpus.crawl(source(folder), WEATHER, COOKING)
    assert lines(corpus) == wanted(200)


def fails(corpus, found, *words):
    with pytest.raises(dg.Failure) as caught:
        corpus.crawl(found)
    told = str(caught.value.description)
    for word in ("'here'", "enabled: false", *words):
        assert word in told
    return told


def test_a_text_column_that_is_not_there_is_told_with_the_ones_that_are(folder, corpus):
    jsonl(folder / "a.jsonl", rows(0, 10))
    told = fails(corpus, source(folder, text="body"), "'body'", "link", "text")
    assert "别的" not in told


@pytest.mark.parametrize("column", ["id", "url", "time"])
def test_another_column_that_is_not_there_is_told(column, folder, corpus):
    jsonl(folder / "a.jsonl", rows(0, 10))
    fails(corpus, source(folder, **{column: "nobody"}), "'nobody'")


def test_a_text_column_of_numbers_is_told(folder, corpus):
    jsonl(folder / "a.jsonl", [{"text": 7}])
    fails(corpus, source(folder), "'text'")


def test_a_data_set_that_is_not_there_is_told(corpus, tmp_path):
    fails(corpus, source(tmp_path / "nowhere"), "nowhere")
    fails(corpus, source("nobody/no-such-corpus"), "nobody/no-such-corpus")


@pytest.mark.parametrize("more", [{"split": "test"}, {"config": "zh"}, {"data_files": "*.csv"}])
def test_a_part_that_is_not_there_is_told(more, folder, corpus):
    jsonl(folder / "a.jsonl", rows(0, 10))
    fails(corpus, source(folder, **more))


@pytest.mark.parametrize("content", ["{broken\n", '{"text": "天气"}\n{"text": [1]}\n', "\x00"])
def test_a_broken_file_is_told(content, folder, corpus):
    (folder / "a.jsonl").write_text(content, "utf-8")
    fails(corpus, source(folder), str(folder))


def test_a_folder_without_data_files_is_told(folder, corpus):
    fails(corpus, source(folder), str(folder))


KILLED = """
import json, os, signal, sys
from resources.crawlers.crawler import NetworkCrawler
from resources.crawlers.hub_dataset import HubDataset
from resources.crawlers.store import PostStore

given = json.loads(sys.stdin.read())
read = HubDataset._read

def dying(self):
    rows = read(self)
    with open(given["log"], "a") as log:
        log.write(f"{rows[0]['key'] if rows else 'end'}\\n")
    with open(given["log"]) as log:
        if len(log.readlines()) in given["kills"]:
            os.kill(os.getpid(), signal.SIGKILL)
    return rows

HubDataset._read = dying
crawler = NetworkCrawler(source=given["source"], store=PostStore(url=given["url"]), token=None)
for _ in crawler.crawl(given["keywords"], [], lambda line: None):
    pass
"""


def test_a_killed_scan_reads_at_most_one_page_again_for_each_kill(folder, corpus, tmp_path):
    parquet(folder / "a.parquet", rows(0, 2700))
    parquet(folder / "b.parquet", rows(2700, 1800))
    log, kills = tmp_path / "pages", [1, 5]
    given = {
        "source": source(folder, id="key"),
        "url": f"sqlite:///{corpus.path}",
        "keywords": [WEATHER, COOKING],
        "log": str(log),
        "kills": kills,
    }
    ends = []
    while not ends or ends[-1]:
        asked = [sys.executable, "-c", KILLED]
        done = subprocess.run(asked, input=json.dumps(given), cwd=ROOT, text=True, timeout=120)
        ends.append(done.returncode)
    assert ends == [-signal.SIGKILL] * len(kills) + [0]
    pages = log.read_text().split()
    assert set(pages) == {"0", "1000", "2000", "3000", "4000"}
    assert len(pages) == 5 + len(kills)
    assert lines(corpus) == wanted(4500)
