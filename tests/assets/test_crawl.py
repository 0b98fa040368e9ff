import json

import pytest

from assets import crawl
from chillguard.text import screening
from resources.crawlers.files import FilesCrawler

POSTS, REJECTS = "crawled_posts/mine", "rejected_rows/crawled_posts/mine"
LINES = (
    '{"text": "周末在社区图书馆看书，电话 13812345678 可以预约"}',
    '{"text": "周末在社区图书馆看书，电话 13912345678 可以预约"}',
    '{"text": "太短"}',
    '{"text": 5}',
    "not json",
)


@pytest.fixture
def crawled(bench, source):
    bench.more["crawler_mine"] = FilesCrawler(source=source(*LINES, may_train=False))
    return crawl.crawled_posts("mine")


def test_posts_and_rejects_are_two_tables_that_account_for_every_line(bench, crawled):
    made = bench.run(crawled)
    assert set(made) == {POSTS, REJECTS}
    assert made[POSTS].num_rows + made[REJECTS].num_rows == len(LINES)
    assert bench.metadata[POSTS]["rows"] == 3
    assert bench.metadata[POSTS]["kept"] == 1
    assert sorted(made[REJECTS]["line"].to_pylist()) == [4, 5]


def test_personal_data_is_gone_before_the_first_write(bench, crawled):
    texts = bench.run(crawled)[POSTS]["text"].to_pylist()
    assert "周末在社区图书馆看书，电话 <PHONE> 可以预约" in texts
    assert not [text for text in texts if "138" in text or "139" in text]


def test_what_was_kept_out_at_the_door_is_counted_by_source(bench, source):
    stopped = "，".join(group[0] for group in screening.rules()[0].all_of)
    lines = (*LINES, json.dumps({"text": f"周末在社区图书馆看到：{stopped}。"}))
    bench.more["crawler_mine"] = FilesCrawler(source=source(*lines))
    made = bench.run(crawl.crawled_posts("mine"))
    shown = bench.metadata[POSTS]
    replaced = [tuple(record.data.values()) for record in shown["personal_data_replaced"].records]
    assert ("mine", "<PHONE>", 2) in replaced
    assert [record.data for record in shown["screened_by_source"].records] == [
        {"source": "mine", "rows": 1}
    ]
    assert stopped not in str(made[POSTS].to_pylist())


def test_posts_have_the_terms_of_their_source(bench, crawled):
    table = bench.run(crawled)[POSTS]
    assert set(table["source"].to_pylist()) == {"mine"}
    assert set(table["may_train"].to_pylist()) == {False}
    assert set(table["may_redistribute"].to_pylist()) == {True}


@pytest.mark.parametrize("key", [POSTS, REJECTS])
def test_one_of_the_two_tables_can_be_made_alone(bench, crawled, key):
    assert list(bench.run(crawled, select=[key])) == [key]


def test_each_source_is_an_asset_of_its_own():
    keys = {key.to_user_string() for key in crawl.crawled_posts("other").keys}
    assert keys == {"crawled_posts/other", "rejected_rows/crawled_posts/other"}
