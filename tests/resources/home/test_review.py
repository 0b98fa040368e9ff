import json

import dagster as dg
import pytest

from chillguard.labeling import review_export
from resources.home.review import Review

HEAD = "prompt_id,label,category,reviewer,date\n"
FILES = {"tasks.json": b"[]\n", "queue.csv": b"prompt_id,text\r\n", "labeling_config.xml": b"<V/>"}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "decisions").mkdir()
    return tmp_path


def _parsed(folder, **more):
    return [(name, row.line, row.columns.get("label"), row.error)
            for name, row in Review(folder=str(folder), **more).parsed()]  # fmt: skip


def test_decision_files_are_read_in_the_order_of_their_names(folder):
    (folder / "decisions" / "b.csv").write_text(HEAD + "x,safe,,me,2026-11-25\n", "utf-8-sig")
    (folder / "decisions" / "a.csv").write_text(HEAD + '"x",safe,,"me\n2",d\ny,unsafe,A1,,\n')
    (folder / "decisions" / "c").mkdir()
    task = {"data": {"prompt_id": "x"}, "annotations": [{"result": [], "completed_by": 1}]}
    (folder / "decisions" / "c" / "d.json").write_text(json.dumps([task]))
    (folder / "decisions" / ".hidden.txt").write_text("?")
    assert _parsed(folder) == [
        ("a.csv", 3, "safe", None),
        ("a.csv", 4, "unsafe", None),
        ("b.csv", 2, "safe", None),
        ("c/d.json", 1, None, None),
    ]


def test_a_home_without_decisions_has_none(tmp_path):
    assert _parsed(tmp_path / "review") == []


def test_one_file_may_be_named(folder):
    path = folder / "mine.csv"
    path.write_text(HEAD + "x,safe,,me,d,too much\n")
    assert _parsed(folder, decisions=str(path)) == [
        ("mine.csv", 2, "safe", "more fields than the header names")
    ]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.xlsx", b"PK", "is neither .csv nor .json"),
        ("a.json", b"{", "cannot be read"),
        ("a.json", b"\xff", "cannot be read"),
        ("a.csv", b"prompt_id,label,category,date\n", "has no column 'reviewer'"),
        ("a.csv", b"", "has no column 'prompt_id'"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_in_one_sentence(folder, name, content, says):
    (folder / "decisions" / name).write_bytes(content)
    with pytest.raises(dg.Failure, match=rf"review decisions: .*{name} {says}"):
        _parsed(folder)


def test_a_configured_place_that_is_not_there_is_named(folder):
    with pytest.raises(dg.Failure, match=r"neither a file nor a folder .*nowhere"):
        _parsed(folder, decisions=str(folder / "nowhere"))


def test_a_queue_is_written_once_and_what_reviewers_filled_in_stays(folder):
    reviews = Review(folder=str(folder))
    target = reviews.export(FILES)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == FILES
    (target / "queue.csv").write_text("filled in")
    assert reviews.export(FILES) == target
    assert (target / "queue.csv").read_text() == "filled in"
    assert reviews.export({**FILES, "tasks.json": b"[1]\n"}) != target


def test_a_takedown_empties_queues_and_names_the_decision_files(folder):
    reviews = Review(folder=str(folder))
    task = {"data": {"prompt_id": "k1", "text": "文"}}
    target = reviews.export({**FILES, review_export.TASKS: json.dumps([task]).encode()})
    decided = folder / "decisions" / "a.csv"
    decided.write_text(HEAD + "k1,safe,,me,2026-11-25\n")
    assert reviews.remove({"k1"}) == {"review_exports": 1, "review_files_left": [str(decided)]}
    assert json.loads((target / review_export.TASKS).read_text()) == []
    assert reviews.remove({"k1"})["review_exports"] == 0
    (target / review_export.SHEET).write_bytes("rank;k1\r\n".encode("utf-16") + b"k1")
    assert reviews.remove({"k1"}) == {
        "review_exports": 0,
        "review_files_left": [str(target / review_export.SHEET), str(decided)],
    }
