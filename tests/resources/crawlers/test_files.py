import json

import dagster as dg
import pytest

from resources.crawlers.files import FilesCrawler


def _crawler(path, **more):
    columns = {"text": "body", "id": "key", "url": "link"}
    return FilesCrawler(source={"name": "mine", "path": str(path), "columns": columns, **more})


def _write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def test_posts_come_in_order_with_our_field_names_and_the_source_s_terms(tmp_path):
    path = tmp_path / "posts.jsonl"
    _write(
        path,
        {"body": "一", "key": 7, "link": "https://example.org/7"},
        {"body": "二", "key": 8, "link": ""},
    )
    rejects = []
    first, second = _crawler(path, lang="zh", may_redistribute=True).crawl((), rejects, print)
    assert first == {
        "text": "一",
        "id": "7",
        "url": "https://example.org/7",
        "lang": "zh",
        "source": "mine",
        "may_redistribute": True,
        "may_train": True,
    }
    assert "url" not in second
    assert rejects == []


def test_rejects_are_handed_to_the_caller(tmp_path):
    path = tmp_path / "posts.jsonl"
    _write(path, {"body": "一", "key": 1, "link": ""}, {"body": 2, "key": 2, "link": ""})
    rejects = []
    assert len(list(_crawler(path).crawl((), rejects, print))) == 1
    assert [(reject.line, reject.column) for reject in rejects] == [(2, "body")]


def test_reading_stops_at_the_limit(tmp_path):
    path = tmp_path / "posts.jsonl"
    _write(path, *({"body": str(n), "key": n, "link": ""} for n in range(5)))
    assert [row["text"] for row in _crawler(path, limit=2).crawl((), [], print)] == ["0", "1"]


def test_the_configuration_is_checked(tmp_path):
    with pytest.raises(ValueError, match="colour"):
        _ = FilesCrawler(source={"name": "mine", "path": "x", "colour": "red"}).config


def test_a_missing_file_fails_when_it_is_crawled(tmp_path):
    with pytest.raises(dg.Failure, match="source 'mine'"):
        list(_crawler(tmp_path / "gone.jsonl").crawl((), [], print))
