import dagster as dg
import pytest

from chillguard.release import audit
from resources.home.audit import AuditSheet
from tests.chillguard import builders


def test_without_a_file_nothing_was_decided():
    assert AuditSheet().rows() == []


def test_a_filled_sheet_is_read_back(tmp_path):
    path = tmp_path / "filled.csv"
    path.write_bytes(audit.sheet([builders.labeled("a", '=今天，\n天气"好"吗？')]))
    (row,) = AuditSheet(path=str(path)).rows()
    assert tuple(row) == audit.COLUMNS
    assert row["text"] == '\'=今天，\n天气"好"吗？'
    assert audit.decisions([row | {"label": "safe"}], ())[0].label == "safe"


@pytest.mark.parametrize("content", [None, b"prompt_id,text\n\xff\xfe,"])
def test_a_sheet_that_cannot_be_read_is_one_sentence(tmp_path, content):
    path = tmp_path / "filled.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(dg.Failure, match="leave `audit_decisions` out of the profile"):
        AuditSheet(path=str(path)).rows()
