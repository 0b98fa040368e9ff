import json

import dagster as dg
import pytest

from chillguard.rows import records
from resources.inputs import files

ROWS = [{"text": f"第{n}句话", "id": n} for n in range(3)]
READ = [(row["text"], str(row["id"])) for row in ROWS]
MESSAGES = [[{"role": "user", "content": row["text"]}] for row in ROWS]


def _read(path, content, **more):
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    path.write_text(text, "utf-8")
    rejects, said = [], []
    source = records.SourceConfig(
        name="mine", path=path, **{"columns": {"text": "text", "id": "id"}, **more}
    )
    good = [(row["text"], row["id"]) for row in files.accepted(source, (), rejects, said.append)]
    return good, [(reject.line, reject.reason) for reject in rejects], said


def _pretty(value):
    return json.dumps(value, ensure_ascii=False, indent=2)


FORMS = {
    "lines": "\n".join(json.dumps(row) for row in ROWS),
    "array": json.dumps(ROWS),
    "pretty array": _pretty(ROWS),
    "pretty objects": "\n".join(_pretty(row) for row in ROWS),
    "list in an object": json.dumps({"version": 1, "data": ROWS}),
    "pretty list in an object": _pretty({"data": ROWS}),
    "dict of lists": json.dumps({key: [row[key] for row in ROWS] for key in ("text", "id")}),
    "pandas columns": json.dumps(
        {key: {str(n): row[key] for n, row in enumerate(ROWS)} for key in ("text", "id")}
    ),
    "object of objects": _pretty({f"k{n}": row for n, row in enumerate(ROWS)}),
}


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "A.JSON", "C.JSONL", "a.ndjson"])
@pytest.mark.parametrize("form", FORMS)
def test_rows_are_read_in_whatever_form_the_document_has(tmp_path, name, form):
    good, rejects, _ = _read(tmp_path / name, FORMS[form])
    assert (good, rejects) == (READ, [])


def test_a_list_that_is_taken_out_of_an_object_is_named(tmp_path):
    *_, said = _read(tmp_path / "a.json", FORMS["list in an object"])
    assert said == [f"source 'mine': file {tmp_path / 'a.json'}: its rows are those under 'data'"]


def test_columns_of_conversations_are_read_too(tmp_path):
    more = {"shape": "messages", "columns": {"id": "id"}}
    columns = {"messages": MESSAGES, "id": [0, 1, 2]}
    assert _read(tmp_path / "a.json", columns, **more)[0] == READ
    one = {"messages": MESSAGES[0], "id": 0}
    assert _read(tmp_path / "a.json", one, **more)[0] == READ[:1]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"a": ROWS, "b": ROWS}, r"several lists of rows, under \['a', 'b'\]"),
        ({"text": ["一", "二"], "id": [1]}, "lists of different lengths: {'text': 2, 'id': 1}"),
        ('[{"text": "一", "id": 1}', "is not JSON: Expecting ',' or ']' at line 1, column 24"),
        ('[{"text": "一", "id": 1}] 3', "is not JSON: Extra data"),
        ({"version": 1}, "no row has a column 'id'"),
        ("7", "no row can be used; first, line 1.*JSON, but not an object"),
        ('{"text": "一"', "is not JSON"),
    ],
)
def test_a_document_of_which_the_rows_are_not_clear_is_told(tmp_path, content, says):
    with pytest.raises(dg.Failure, match=says):
        _read(tmp_path / "a.json", content)


def test_a_bad_first_line_does_not_make_a_document(tmp_path):
    content = '{"text": "坏"\n{"text": "好", "id": 1}\n["x"]\n{"text": "好", "id": 2}\n'
    good, rejects, _ = _read(tmp_path / "a.json", content)
    assert good == [("好", "1"), ("好", "2")]
    assert [line for line, _ in rejects] == [1, 3]


def test_bytes_that_are_no_utf_8_are_named_by_line_in_a_document(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes('[\n{"text": "好", "id": 1},\n{"text": "'.encode() + b'\xff", "id": 2}]')
    with pytest.raises(dg.Failure, match="is not UTF-8 at line 3"):
        [*files.accepted(records.SourceConfig(name="mine", path=path), (), [])]
