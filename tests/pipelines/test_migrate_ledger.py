"""The command; what is copied, and how, is `tests/resources/test_migration.py`."""

import sys

import dagster as dg
import pytest

from pipelines import migrate_ledger
from resources import migration


def test_the_counts_of_every_table_and_of_all_are_printed(monkeypatch, capsys):
    def copy(source, target, tell):
        assert (source, target) == ("sqlite:///a", "sqlite:///b")
        moved = [migration.Moved("calls", 1_500, 500), migration.Moved("posts", 3, 0)]
        for one in moved:
            tell(one)
        return moved

    monkeypatch.setattr(migration, "copy", copy)
    monkeypatch.setattr(sys, "argv", ["migrate", "sqlite:///a", "sqlite:///b"])
    migrate_ledger.main()
    calls, posts, whole = capsys.readouterr().out.splitlines()
    assert calls.split() == ["calls", "1,500", "rows", "1,000", "copied", "500", "there"]
    assert posts.split() == ["posts", "3", "rows", "3", "copied", "0", "there"]
    assert whole == "1,503 rows are at both ends, 500 of them were there before"


def test_what_is_amiss_is_one_sentence_and_a_status(monkeypatch):
    def copy(source, target, tell):
        raise dg.Failure("there is no ledger at sqlite:///a")

    monkeypatch.setattr(migration, "copy", copy)
    monkeypatch.setattr(sys, "argv", ["migrate", "sqlite:///a", "sqlite:///b"])
    with pytest.raises(SystemExit, match="migrate-ledger: there is no ledger at sqlite:///a"):
        migrate_ledger.main()
