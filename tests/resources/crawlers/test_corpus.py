"""Which sources may bring other posts than those that were read."""

import os

import pytest

from resources.crawlers.corpus import Corpus


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "folder").mkdir()
    files = {"one": tmp_path / "one.jsonl", "two": tmp_path / "folder" / "two.jsonl"}
    for path in files.values():
        path.write_text("{}\n")
        os.utime(path, (100, 100))
    os.utime(tmp_path / "folder", (100, 100))
    return Corpus(files={"one": str(files["one"]), "two": str(tmp_path / "folder")})


def test_before_anything_was_read_every_post_is_to_come(corpus):
    assert corpus.may_bring(None) == "the posts are not read yet"


def test_files_that_are_older_than_what_was_read_bring_nothing(corpus):
    assert corpus.may_bring(101.0) == ""


def test_a_file_that_was_written_since_is_named_by_its_source(corpus, tmp_path):
    os.utime(tmp_path / "one.jsonl", (200, 200))
    assert corpus.may_bring(101.0) == "files of one changed"
    os.utime(tmp_path / "folder" / "two.jsonl", (200, 200))
    assert corpus.may_bring(101.0) == "files of one changed; files of two changed"
    assert corpus.may_bring(201.0) == ""


def test_a_file_that_went_is_a_change(corpus, tmp_path):
    (tmp_path / "one.jsonl").unlink()
    assert corpus.may_bring(101.0) == "files of one changed"
    (tmp_path / "folder" / "two.jsonl").unlink()
    assert "files of two changed" in corpus.may_bring(101.0)


def test_a_network_source_may_always_bring_more(corpus):
    crawled = Corpus(files=corpus.files, networks=["weibo"])
    assert crawled.may_bring(101.0) == "weibo is crawled"
