import hashlib
import os
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resources.home import whole


@pytest.fixture
def place(tmp_path):
    return tmp_path / "deep" / "place"


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def _killed(*_, **__):
    raise KeyboardInterrupt


def test_a_file_is_written_in_folders_that_are_made_for_it_and_its_path_returned(place):
    assert whole.write_text(place, "一\n") == place
    assert place.read_bytes() == "一\n".encode()
    assert whole.write_bytes(place, b"two") == place
    assert place.read_bytes() == b"two"
    assert _names(place.parent) == ["place"]


def test_a_parquet_file_has_the_digest_that_is_returned_and_the_same_bytes_again(tmp_path):
    table = pa.table({"key": ["a", "b"]})
    digests = {whole.write_parquet(table, tmp_path / "made" / name) for name in ("one", "two")}
    for name in ("one", "two"):
        content = (tmp_path / "made" / name).read_bytes()
        assert digests == {hashlib.sha256(content).hexdigest()}
        assert pq.read_table(tmp_path / "made" / name).equals(table)
    assert _names(tmp_path / "made") == ["one", "two"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_an_error_while_writing_leaves_the_old_file_and_no_draft(place, error):
    whole.write_text(place, "old")

    def write():
        with whole.draft_file(place) as draft:
            draft.write_text("half", "utf-8")
            raise error

    with pytest.raises(type(error)):
        write()
    assert place.read_text("utf-8") == "old"
    assert _names(place.parent) == ["place"]


def test_a_draft_is_on_the_disk_before_it_is_moved(place, monkeypatch):
    happened = []
    real = Path.replace
    monkeypatch.setattr(whole.os, "fsync", lambda _: happened.append("on disk"))
    monkeypatch.setattr(Path, "replace", lambda *to: (happened.append("moved"), real(*to))[1])
    whole.write_text(place, "new")
    with whole.draft_folder(place.with_name("folder")) as draft:
        (draft / "a").write_bytes(b"1")
        (draft / "b").write_bytes(b"2")
    assert happened == ["on disk", "moved", "on disk", "on disk", "moved"]


def test_two_writers_of_one_file_share_no_draft_and_the_later_move_counts(place):
    with whole.draft_file(place) as first:
        first.write_text("first", "utf-8")
        with whole.draft_file(place) as second:
            second.write_text("second", "utf-8")
        assert place.read_text("utf-8") == "second"
    assert place.read_text("utf-8") == "first"


def test_a_folder_is_there_when_it_is_full(place):
    with whole.draft_folder(place) as draft:
        (draft / "file").write_text("content", "utf-8")
        assert draft.name.startswith(".")
        assert not place.exists()
    assert _names(place) == ["file"]
    assert _names(place.parent) == ["place"]


def test_a_folder_that_is_killed_before_the_move_is_not_there(place, monkeypatch):
    monkeypatch.setattr(Path, "replace", _killed)
    with pytest.raises(KeyboardInterrupt), whole.draft_folder(place) as draft:
        (draft / "file").touch()
    assert _names(place.parent) == []


def test_a_folder_with_content_is_never_replaced_and_kept_by_removing_the_draft(place):
    place.mkdir(parents=True)
    (place / "old").touch()
    with pytest.raises(OSError, match="not empty"), whole.draft_folder(place) as draft:
        (draft / "new").touch()
    with whole.draft_folder(place) as draft:
        draft.rmdir()
    assert _names(place) == ["old"]
    assert _names(place.parent) == ["place"]


def _left(folder, name, process, idle_s=60.0):
    """A draft as a killed process leaves it."""
    draft = folder / f".{name}.{process}-0123abcd"
    (draft / "inner").mkdir(parents=True)
    for path in (draft, draft / "inner"):
        os.utime(path, (time.time() - idle_s,) * 2)
    return draft


def test_drafts_of_killed_processes_are_swept_and_no_others(tmp_path):
    gone = 2**22 + 1  # Beyond the largest number that Linux gives a process.
    swept = _left(tmp_path, "release", gone)
    file = tmp_path / f".x.parquet.{gone}-0123abcd"
    file.write_bytes(b"half")
    os.utime(file, (0, 0))
    kept = [
        _left(tmp_path, "alive", os.getpid()),
        _left(tmp_path, "touched", gone, idle_s=0.0),
        tmp_path / ".hidden.file",
        tmp_path / ".profile",
    ]
    for path in kept[2:]:
        path.write_bytes(b"")
    whole.write_bytes(tmp_path / "any", b"")
    assert not swept.exists()
    assert not file.exists()
    assert all(path.exists() for path in kept)
