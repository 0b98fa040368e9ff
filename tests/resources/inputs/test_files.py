import gzip
import json
import shutil
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chillguard.rows import records
from resources.inputs import files

COLUMNS = {"text": "text", "id": "id"}
ROWS = [{"text": "今天天气不错", "id": "1"}, {"text": 'a, "b"\nc', "id": "2"}]


def _source(path, **more):
    return records.SourceConfig(name="mine", path=path, **{"columns": COLUMNS, **more})


def _read(path, **more):
    """Text and id of the good records, and the rejects."""
    rejects = []
    source = _source(path, **more)
    found = list(records.accept(files.parsed_rows(source), source, ["A1"], rejects))
    return [{key: row[key] for key in ("text", "id") if key in row} for row in found], rejects


def _write(path, rows):
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    if path.name.endswith(".jsonl"):
        path.write_bytes(lines)
    elif path.name.endswith(".jsonl.gz"):
        path.write_bytes(gzip.compress(lines))
    elif path.suffix == ".csv":
        fields = ['"{}"'.format(row["text"].replace('"', '""')) + f",{row['id']}" for row in rows]
        path.write_text("\n".join(["text,id", *fields]) + "\n", "utf-8-sig")
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)


ENDINGS = [".jsonl", ".jsonl.gz", ".csv", ".parquet"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_kind_of_file_gives_the_same_records(tmp_path, ending):
    path = tmp_path / f"posts{ending}"
    _write(path, ROWS)
    assert _read(path) == (ROWS, [])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    st.lists(
        st.text(
            st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), min_size=1
        ).filter(str.strip),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(ENDINGS),
)
def test_any_text_comes_back_as_it_was_written(tmp_path, texts, ending):
    path = tmp_path / f"any{ending}"
    rows = [{"text": text, "id": str(number)} for number, text in enumerate(texts)]
    _write(path, rows)
    assert _read(path) == (rows, [])


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_missing_file_is_named_with_its_source_and_the_mend(tmp_path, ending):
    path = tmp_path / f"gone{ending}"
    with pytest.raises(dg.Failure) as caught:
        _read(path)
    message = str(caught.value.description)
    assert message.startswith(f"source 'mine': file {path} cannot be read: ")
    assert "set the `path` of the source in the profile" in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["posts.txt", "posts", "posts.jsonl.zip", "posts.xml"])
def test_an_unknown_ending_is_named_with_the_known_ones(tmp_path, name):
    path = tmp_path / name
    path.write_text("x")
    with pytest.raises(dg.Failure) as caught:
        _read(path)
    assert caught.value.description == (
        f"source 'mine': file {path} is none of .jsonl, .ndjson, .json, .csv, .tsv, .parquet, "
        "plain or with .gz; convert it"
    )


def _broken(kind):
    lines = b'{"text": "a", "id": "1"}\n' * 500
    packed = gzip.compress(lines)
    return {
        "not gzip": (".jsonl.gz", lines),
        "cut off": (".jsonl.gz", packed[:-12]),
        "wrong checksum": (".jsonl.gz", packed[:-6] + bytes([packed[-6] ^ 255]) + packed[-5:]),
        "not parquet": (".parquet", b"PAR1 and nothing more"),
    }[kind]


@pytest.mark.parametrize("kind", ["not gzip", "cut off", "wrong checksum", "not parquet"])
def test_a_broken_file_is_named_with_its_source_and_the_mend(tmp_path, kind):
    ending, content = _broken(kind)
    path = tmp_path / f"broken{ending}"
    path.write_bytes(content)
    with pytest.raises(dg.Failure, match="or mend the file") as caught:
        _read(path)
    assert f"source 'mine': file {path} cannot be read" in caught.value.description


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
@pytest.mark.parametrize(
    ("more", "column"),
    [
        ({"columns": {"text": "body"}}, "'body'"),
        ({"columns": {"text": "text", "label": "label"}}, "'label'"),
        ({"where": {"kind": ["post"]}}, "'kind'"),
    ],
)
def test_a_missing_column_is_named_with_those_there_are(tmp_path, ending, more, column):
    path = tmp_path / f"posts{ending}"
    _write(path, ROWS)
    with pytest.raises(dg.Failure) as caught:
        _read(path, **more)
    message = caught.value.description
    assert f"source 'mine': file {path}, line 1: there is no column {column}" in message
    assert "the file has ['id', 'text']" in message
    assert message.endswith("Set `columns` in the profile.")


@pytest.mark.parametrize("ending", [*ENDINGS, ".json"])
@pytest.mark.parametrize("content", [b"", b"text,id\n", b"[]", b"\n\n"])
def test_a_file_without_a_row_stops_and_is_named(tmp_path, ending, content):
    path = tmp_path / f"empty{ending}"
    if content and ending in (".parquet", ".jsonl.gz"):
        pytest.skip("a packed file")
    path.write_bytes(content)
    source = _source(path)
    with pytest.raises(dg.Failure) as caught:
        [*files.accepted(source, (), [])]
    assert "source 'mine'" in caught.value.description
    assert str(path) in caught.value.description


SECRET = "quite private words"
BAD_LINES = [
    (f'{{"text": "{SECRET}"', "not JSON: Expecting ',' delimiter"),
    (f'"{SECRET}"', "JSON, but not an object"),
    (f'["{SECRET}"]', "JSON, but not an object"),
    ("null", "JSON, but not an object"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES)
@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz"])
def test_a_bad_line_is_rejected_by_number_and_the_others_are_kept(tmp_path, line, reason, ending):
    path = tmp_path / f"posts{ending}"
    good = '{"text": "好", "id": "1"}'
    content = f"{good}\n\n   \n{line}\n{good}\n".encode()
    path.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    found, rejects = _read(path)
    assert len(found) == 2
    assert rejects == [records.Reject("mine", 4, "*", reason)]


def test_a_line_that_is_not_utf_8_is_rejected_by_number(tmp_path):
    path = tmp_path / "posts.jsonl"
    path.write_bytes(b'{"text": "a", "id": "1"}\n{"text": "\xff", "id": "2"}\n')
    found, rejects = _read(path)
    assert found == [{"text": "a", "id": "1"}]
    assert rejects == [records.Reject("mine", 2, "*", "not UTF-8")]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "there is no text"),
        ("  ", "text is empty"),
        ([SECRET], "text is list, not a string"),
        (f"{SECRET}\ud800", "holds a lone surrogate"),
    ],
)
def test_a_text_that_cannot_be_used_is_rejected_without_quoting_it(tmp_path, value, reason):
    path = tmp_path / "posts.jsonl"
    path.write_text(
        json.dumps({"text": "a", "id": "1"}) + "\n" + json.dumps({"text": value, "id": "2"})
    )
    found, rejects = _read(path)
    assert len(found) == 1
    assert rejects == [records.Reject("mine", 2, "text", reason)]
    assert SECRET not in str(rejects)


@pytest.mark.parametrize("column", ["id", "url"])
def test_a_column_that_cannot_be_stored_is_rejected_like_a_text(tmp_path, column):
    path = tmp_path / "posts.jsonl"
    rows = [{"text": "a", column: "1"}, {"text": "b", column: "\ud800"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found, rejects = _read(path, columns={"text": "text", column: column})
    assert len(found) == 1
    assert rejects == [records.Reject("mine", 2, column, "holds a lone surrogate")]


@pytest.mark.parametrize("value", ["[" * 100_000, "1" * 5000])
def test_a_value_that_json_cannot_hold_is_rejected_by_line(tmp_path, value):
    path = tmp_path / "posts.jsonl"
    path.write_text('{"text": "a", "id": "1"}\n{"text": ' + value + "}\n")
    found, rejects = _read(path)
    assert len(found) == 1
    assert [(reject.line, reject.column) for reject in rejects] == [(2, "*")]
    assert rejects[0].reason.startswith("not JSON: ")


def test_a_csv_row_with_too_many_fields_is_rejected_by_line(tmp_path):
    path = tmp_path / "posts.csv"
    path.write_text(f'text,id\n"two\nlines",1\n{SECRET},2,3\n好,4\n', "utf-8")
    found, rejects = _read(path)
    assert found == [{"text": "two\nlines", "id": "1"}, {"text": "好", "id": "4"}]
    assert rejects == [records.Reject("mine", 4, "*", "more fields than the header names")]


def test_a_csv_row_with_too_few_fields_is_rejected_by_line(tmp_path):
    path = tmp_path / "posts.csv"
    path.write_text("text,id\na,1\nb\n", "utf-8")
    assert _read(path) == (
        [{"text": "a", "id": "1"}],
        [records.Reject("mine", 3, "*", "fewer fields than the header names")],
    )


def test_a_csv_field_may_be_longer_than_the_reader_s_usual_limit(tmp_path):
    path = tmp_path / "posts.csv"
    path.write_text(f"text,id\n{'长' * 200_000},1\n", "utf-8")
    [row], rejects = _read(path)
    assert len(row["text"]) == 200_000
    assert rejects == []


def test_a_csv_that_is_not_utf_8_loses_only_its_bad_rows(tmp_path):
    path = tmp_path / "posts.csv"
    path.write_bytes("text,id\n好,1\n".encode() + b"\xff\xfe,2\n")
    found, rejects = _read(path)
    assert found == [{"text": "好", "id": "1"}]
    assert rejects == [records.Reject("mine", 3, "*", "not UTF-8")]


def test_parquet_rows_are_numbered_over_all_batches(tmp_path):
    path = tmp_path / "posts.parquet"
    count = 70_000
    table = pa.table({"text": ["a"] * (count - 1) + [" "], "id": ["1"] * count})
    pq.write_table(table, path, row_group_size=1000)
    rejects = []
    source = _source(path)
    assert sum(1 for _ in records.accept(files.parsed_rows(source), source, (), rejects)) == (
        count - 1
    )
    assert rejects == [records.Reject("mine", count, "text", "text is empty")]


@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_a_dotted_path_reaches_into_nested_columns(tmp_path, ending):
    path = tmp_path / f"posts{ending}"
    rows = [
        {"body": {"text": "好"}, "meta": {"lang": "zh"}},
        {"body": {"text": "no"}, "meta": {"lang": "en"}},
    ]
    _write(path, rows)
    found, rejects = _read(path, columns={"text": "body.text"}, where={"meta.lang": ["zh"]})
    assert (found, rejects) == ([{"text": "好"}], [])


def test_a_file_of_which_no_row_can_be_used_says_so(tmp_path):
    path = tmp_path / "posts.jsonl"
    path.write_text(json.dumps({"txt": SECRET}))
    with pytest.raises(records.RecordError) as caught:
        _read(path)
    assert "no row has a column 'id'" in str(caught.value)
    assert "['txt']" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_source_files_are_read_in_order_with_terms_and_rejects_of_each(tmp_path):
    for name, texts in (("b", ["b1", ""]), ("a", ["a1"])):
        rows = [{"text": text, "id": text} for text in texts]
        _write(tmp_path / f"{name}.jsonl", rows)
    sources = [
        {
            "name": name,
            "path": str(tmp_path / f"{name}.jsonl"),
            "columns": {"text": "text"},
            "may_train": name == "a",
        }
        for name in ("b", "a")
    ]
    rejects = []
    found = list(files.SourceFiles(sources=sources).records((), rejects))
    assert [(row["text"], row["source"], row["may_train"]) for row in found] == [
        ("b1", "b", False),
        ("a1", "a", True),
    ]
    assert [(reject.source, reject.line) for reject in rejects] == [("b", 2)]


def test_a_category_is_checked_against_the_codes_that_are_given(tmp_path):
    path = tmp_path / "posts.jsonl"
    path.write_text('{"text": "a", "kind": "A1"}\n{"text": "b", "kind": "Z9"}\n')
    columns = {"text": "text", "category": "kind"}
    source = {"name": "mine", "path": str(path), "columns": columns}
    rejects = []
    found = list(files.SourceFiles(sources=[source]).records(["A1"], rejects))
    assert [row["category"] for row in found] == ["A1"]
    assert [(reject.line, reject.column) for reject in rejects] == [(2, "kind")]


def test_a_yaml_file_is_parsed(tmp_path):
    path = tmp_path / "some.yaml"
    path.write_text("词: [一, 二]\n", "utf-8")
    assert files.YamlFile(path=str(path)).load() == {"词": ["一", "二"]}


def test_a_packaged_yaml_file_is_found_wherever_the_run_starts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    document = files.YamlFile(path="packaged:taxonomy.yaml").load()
    assert [macro["code"] for macro in document["macro"]] == ["A", "B", "C", "D", "E"]


@pytest.mark.parametrize("kind", ["missing", "folder", "not YAML", "not UTF-8", "tagged"])
def test_a_yaml_file_that_cannot_be_read_is_named(tmp_path, kind):
    path = tmp_path / "some.yaml"
    contents = {"not YAML": b"a: [1", "not UTF-8": b"a: \xff", "tagged": b"!!python/name:os.system"}
    if kind == "folder":
        path.mkdir()
    elif kind in contents:
        path.write_bytes(contents[kind])
    with pytest.raises(dg.Failure) as caught:
        files.YamlFile(path=str(path)).load()
    assert caught.value.description.startswith(f"file {path} cannot be read: ")


def test_a_content_digest_changes_with_any_byte_and_with_the_order_only(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    first = files.content_digest([one, two])
    moved = tmp_path / "moved"
    shutil.copy(one, moved)
    assert files.content_digest([moved, two]) == first
    assert files.content_digest([two, one]) != first
    two.write_bytes(b"3")
    assert files.content_digest([one, two]) != first


def test_a_content_digest_tells_where_one_file_ends(tmp_path):
    parts = {"a": b"12", "b": b"3", "c": b"1", "d": b"23"}
    paths: dict[str, Path] = {name: tmp_path / name for name in parts}
    for name, content in parts.items():
        paths[name].write_bytes(content)
    one = files.content_digest([paths["a"], paths["b"]])
    assert one != files.content_digest([paths["c"], paths["d"]])


def _folder(tmp_path):
    folder = tmp_path / "mix"
    folder.mkdir()
    for name in ("b_train", "a_train", "a_TEST", "xstest_zh"):
        rows = [{"text": f"{name}的第{n}句话"} for n in range(2)]
        (folder / f"{name}.json").write_text(json.dumps(rows, ensure_ascii=False), "utf-8")
    (folder / "README.md").write_text("not a file of rows")
    return folder


def test_a_folder_is_read_file_by_file_without_those_left_out(tmp_path):
    folder = _folder(tmp_path)
    source = _source(folder, columns={"text": "text"}, exclude_files=["*_test*", "xstest_*"])
    rows = [*files.parsed_rows(source)]
    assert [(row.file, row.line) for row in rows] == [
        ("a_train.json", 1),
        ("a_train.json", 2),
        ("b_train.json", 1),
        ("b_train.json", 2),
    ]


def test_a_bad_row_of_a_folder_is_rejected_by_its_file(tmp_path):
    folder = _folder(tmp_path)
    (folder / "b_train.json").write_text('[{"text": "好的一句话"}, 7, {"text": ""}]', "utf-8")
    rejects = []
    source = _source(folder, columns={"text": "text"})
    good = [*records.accept(files.parsed_rows(source), source, (), rejects)]
    assert len(good) == 7
    assert [(r.source, r.line, r.column) for r in rejects] == [
        ("mine/b_train.json", 2, "*"),
        ("mine/b_train.json", 3, "text"),
    ]


def test_a_folder_of_which_nothing_is_left_is_told(tmp_path):
    source = _source(_folder(tmp_path), exclude_files=["*"])
    with pytest.raises(dg.Failure, match="4 are left out by `exclude_files`"):
        [*files.parsed_rows(source)]


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ('[{"text": "一"}, {"text": "二"}]', ["一", "二"]),
        ('\ufeff [{"text": "一"}]', ["一"]),
        ('{"text": "一"}\n{"text": "二"}\n', ["一", "二"]),
        ("[]", []),
    ],
)
def test_a_json_file_is_an_array_or_an_object_a_line(tmp_path, content, texts):
    path = tmp_path / "rows.json"
    path.write_text(content, "utf-8")
    rows = files.parsed_rows(_source(path, columns={"text": "text"}))
    assert [row.columns["text"] for row in rows] == texts


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('[{"text": "一"}', "is not JSON"),
        ('[{"question": "一"}]', r"no row has a column 'text'.*\['question'\]"),
    ],
)
def test_a_json_array_that_cannot_be_used_is_told(tmp_path, content, says):
    path = tmp_path / "rows.json"
    path.write_text(content, "utf-8")
    with pytest.raises(dg.Failure, match=says):
        [*files.accepted(_source(path, columns={"text": "text"}), (), [])]


def test_the_digest_of_a_folder_changes_with_its_files(tmp_path):
    folder = _folder(tmp_path)
    before = files.content_digest([folder])
    assert files.content_digest([folder]) == before
    (folder / "b_train.json").write_text("[]")
    assert files.content_digest([folder]) != before
