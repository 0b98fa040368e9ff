"""Any bytes as a file of each kind: every row is read, rejected or told, or one error says why."""

import gzip
import json

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chillguard.rows import records
from resources.inputs import files

ENDINGS = [".jsonl", ".json", ".jsonl.gz", ".csv", ".tsv", ".csv.gz", ".parquet"]
SHAPES = ["rows", "messages", "sharegpt", "label_studio", "prompt_response"]
_SCALAR = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("\ud800")
)
_NAME = st.sampled_from(["text", "label", "messages", "role", "content", "data", "from", "value"])
_VALUE = st.recursive(
    _SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAME, inner, max_size=3),
    max_leaves=8,
)
_SIGNS = st.text(st.sampled_from('text,label\n"\r;\t{}[]:1好\x00'), max_size=60)
_BYTES = st.one_of(
    st.binary(max_size=80),
    _SIGNS.map(str.encode),
    _SIGNS.map(lambda signs: f"text,label\n{signs}".encode()),
    _SIGNS.map(lambda signs: f"text,label\n{signs}".encode("utf-16")),
    st.text(max_size=40).map(lambda text: f"text,label\n{text}".encode("gb18030", "ignore")),
    st.lists(_VALUE, max_size=5).map(lambda rows: "\n".join(map(json.dumps, rows)).encode()),
    _VALUE.map(lambda value: json.dumps(value, indent=1).encode()),
)


def _parquet(path, rows):
    table = pa.table({"text": rows, "label": rows})
    pq.write_table(table, path)


def _accounted(path, shape):
    """Rows decoded, and good and rejected ones; or the sentence that says why there are none."""
    source = records.SourceConfig(
        name="mine",
        path=path,
        shape=shape,
        columns={"label": "label"},
        labels={1: "unsafe", "safe": "safe"},
    )
    rejects = []
    try:
        decoded = sum(1 for _ in files.parsed_rows(source))
        good = sum(1 for _ in files.accepted(source, ["A1"], rejects))
    except dg.Failure as failure:
        return failure.description
    records.rejected_rows(rejects)
    return decoded, good + len(rejects)


def _holds(outcome):
    if isinstance(outcome, str):
        return outcome.startswith("source 'mine'") and "\n" not in outcome
    return outcome[0] == outcome[1] > 0


@settings(
    max_examples=1000, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.sampled_from(ENDINGS), st.sampled_from(SHAPES), _BYTES, st.booleans())
def test_any_bytes_are_rows_or_rejects_or_one_error(tmp_path, ending, shape, content, packed):
    path = tmp_path / f"any{ending}"
    path.write_bytes(gzip.compress(content) if packed and ending.endswith(".gz") else content)
    assert _holds(_accounted(path, shape))


@settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    st.one_of(
        st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])), max_size=4),
        st.lists(st.none() | st.floats(), max_size=4),
        st.lists(st.booleans(), max_size=4),
        st.lists(st.lists(st.integers(0, 9), max_size=2), max_size=4),
        st.lists(st.binary(max_size=4), max_size=4),
    )
)
def test_any_column_of_a_parquet_file_is_rows_or_rejects_or_one_error(tmp_path, rows):
    path = tmp_path / "any.parquet"
    _parquet(path, rows)
    assert _holds(_accounted(path, "rows"))


_LINE = st.text(st.characters(exclude_characters='"\r\n,', exclude_categories=["Cs"]), min_size=1)


@settings(
    max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.lists(_LINE.filter(str.strip), min_size=3, max_size=12), st.data())
def test_no_stray_quote_swallows_a_row_in_silence(tmp_path, texts, data):
    place = data.draw(st.integers(0, len(texts) - 1))
    lines = [f'"{text},1' if n == place else f"{text},1" for n, text in enumerate(texts)]
    path = tmp_path / "any.csv"
    path.write_text("\n".join(["text,id", *lines, ""]), "utf-8", newline="")
    source = records.SourceConfig(name="mine", path=path, columns={"id": "id"})
    rejects = []
    good = [row["text"] for row in files.accepted(source, (), rejects)]
    assert good == [text for n, text in enumerate(texts) if n != place]
    assert [reject.line for reject in rejects] == [place + 2]


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet", ".json"])
def test_a_name_that_is_no_utf_8_is_told(tmp_path, ending):
    folder = tmp_path / "in"
    folder.mkdir()
    try:
        (folder / f"\udcff{ending}").write_bytes(b"text\n")
    except OSError:
        pytest.skip("this file system takes no such name")
    (folder / "a.jsonl").write_text('{"text": "好"}\n{"text": ""}\n', "utf-8")
    source = records.SourceConfig(name="mine", path=folder)
    rejects, said = [], []
    try:
        assert len([*files.accepted(source, (), rejects, said.append)]) == 1
    except dg.Failure as failure:
        said.append(failure.description)
    "\n".join(said).encode("utf-8")
    records.rejected_rows(rejects)
