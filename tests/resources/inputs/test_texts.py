import gzip
import json

import dagster as dg
import pytest

from chillguard.rows import records
from resources.inputs import files

TEXT = "请问怎么在阳台上养好一盆薄荷，多久浇一次水才合适？"


def _content(ending, encoding):
    row = json.dumps({"text": TEXT}, ensure_ascii=False)
    text = f"text\n{TEXT}\n" if ending.startswith(".csv") else f"{row}\n{row}\n"
    content = text.encode(encoding)
    return gzip.compress(content) if ending.endswith("gz") else content


def _read(path, **more):
    source = records.SourceConfig(name="mine", path=path, **more)
    return [row["text"] for row in files.accepted(source, (), [])]


ENDINGS = [".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".json"]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_utf_8_and_what_a_mark_names_is_read_unasked(tmp_path, ending, encoding):
    path = tmp_path / f"a{ending}"
    path.write_bytes(_content(ending, encoding))
    assert set(_read(path)) == {TEXT}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("encoding", ["gb18030", "utf-16-le", "utf-16-be"])
def test_another_encoding_is_named_with_the_mend_and_read_once_it_is_declared(
    tmp_path, ending, encoding
):
    path = tmp_path / f"a{ending}"
    path.write_bytes(_content(ending, encoding))
    with pytest.raises(dg.Failure) as caught:
        _read(path)
    assert caught.value.description == (
        f"source 'mine': file {path} is not UTF-8, and looks like {encoding}: save it as UTF-8, or "
        f"say `encoding: {encoding}` in the source"
    )
    assert set(_read(path, encoding=encoding)) == {TEXT}


def test_excel_s_gbk_is_named_even_where_it_is_short(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("text,label\n你好,safe\n".encode("gbk"))
    with pytest.raises(dg.Failure, match="say `encoding: gb18030`"):
        _read(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_mark_is_no_part_of_the_first_name(tmp_path, encoding):
    path = tmp_path / "a.csv"
    path.write_bytes(
        f"\ufefftext\n{TEXT}\n".encode("utf-16-le" if encoding == "utf-16" else encoding)
    )
    assert _read(path, encoding=encoding) == [TEXT]


def test_a_few_bad_lines_do_not_make_another_encoding(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"text\n" + f"{TEXT}\n".encode() * 5 + "坏行\n".encode("gb18030"))
    rejects = []
    source = records.SourceConfig(name="mine", path=path)
    assert len([*files.accepted(source, (), rejects)]) == 5
    assert [(reject.line, reject.reason) for reject in rejects] == [(7, "not UTF-8")]
