from dataclasses import replace

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
    assert (tuple(row.columns), row.error, row.line) == (audit.COLUMNS, None, 3)
    assert row.columns["text"] == '\'=今天，\n天气"好"吗？'
    rejects = []
    filled = replace(row, columns={**row.columns, "label": "safe"})
    assert audit.decisions([filled], (), rejects)[0].label == "safe"
    assert rejects == []


def test_a_line_with_too_many_or_too_few_fields_spoils_no_other(tmp_path):
    path = tmp_path / "filled.csv"
    rows = [builders.labeled(key, "今天天气好吗") for key in ("a", "b", "c")]
    first, *lines = audit.sheet(rows).decode("utf-8-sig").splitlines()
    lines[0] += ",x,y"
    lines[1] = lines[1].rstrip(",")
    path.write_text("\n".join([first, *lines]) + "\n", "utf-8")
    rejects = []
    made = audit.decisions(AuditSheet(path=str(path)).rows(), (), rejects)
    assert [one.prompt_id for one in made] == ["c"]
    assert sorted((one.line, one.reason) for one in rejects) == [
        (2, "more fields than the header names"),
        (3, "the line ends before this column"),
    ]


@pytest.mark.parametrize("content", [None, b"prompt_id,text\n\xff\xfe,"])
def test_a_sheet_that_cannot_be_read_is_one_sentence(tmp_path, content):
    path = tmp_path / "filled.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(dg.Failure, match="leave `audit_decisions` out of the profile"):
        AuditSheet(path=str(path)).rows()
