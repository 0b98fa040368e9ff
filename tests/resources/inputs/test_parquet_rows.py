import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chillguard.rows import records
from resources.inputs import files, parquet_rows

BIG = "x" * (1 << 20)


def _source(path, **more):
    return records.SourceConfig(name="mine", path=path, **more)


def _file(path, columns, **how):
    pq.write_table(pa.table(columns), path, compression="zstd", **how)
    return path


def _held(rows):
    """The most that Arrow holds beside what it held before, while the rows come."""
    before = pa.total_allocated_bytes()
    most = 0
    for _ in rows:
        most = max(most, pa.total_allocated_bytes() - before)
    return most


TURNS = [{"role": "user", "content": BIG}]


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"text": [BIG] * 200}, {"text": "text"}),
        ({"a": [{"b": BIG}] * 200}, {"text": "a.b"}),
        ({"text": ["x"] * 200, "m": [{"b": BIG}] * 200}, {"text": "text", "url": "m.b"}),
    ],
    ids=["text", "nested", "beside"],
)
def test_a_text_that_stands_once_in_the_file_is_not_built_for_each_row(tmp_path, columns, named):
    path = _file(tmp_path / "bomb.parquet", columns)
    assert path.stat().st_size < 1 << 18
    with pytest.raises(dg.Failure, match="unpacks to more than 200 times its size"):
        assert _held(files.parsed_rows(_source(path, columns=named))) < 16 << 20


def test_turns_that_stand_once_in_the_file_are_not_built_for_each_row(tmp_path):
    path = _file(tmp_path / "bomb.parquet", {"messages": [TURNS] * 200})
    rows = files.parsed_rows(_source(path, shape="messages"))
    with pytest.raises(dg.Failure, match="unpacks to more than 200 times its size"):
        assert _held(rows) < 16 << 20


def test_values_built_from_the_ones_before_them_come_few_at_a_time(tmp_path):
    path = _file(
        tmp_path / "bomb.parquet",
        {"text": [BIG] * 200},
        use_dictionary=False,
        column_encoding={"text": "DELTA_BYTE_ARRAY"},
    )
    assert path.stat().st_size < 1 << 18
    with pytest.raises(dg.Failure, match="unpacks to more than 200 times its size"):
        [*files.parsed_rows(_source(path))]


def test_nulls_that_take_no_room_in_the_file_are_counted(tmp_path):
    path = _file(tmp_path / "bomb.parquet", {"text": pa.nulls(10_000_000, pa.string())})
    assert path.stat().st_size < 1 << 15
    with pytest.raises(dg.Failure, match="unpacks to more than 200 times its size"):
        next(iter(files.parsed_rows(_source(path))))


def test_a_large_batch_is_built_row_by_row(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_rows, "_MAX_BATCH", 1 << 10)
    texts = [f"第{n}句话" for n in range(3000)]
    path = _file(tmp_path / "a.parquet", {"text": texts, "n": list(range(3000))})
    source = _source(path, columns={"text": "text", "id": "n"})
    rows = [*files.accepted(source, (), [])]
    assert [(row["text"], row["id"]) for row in rows] == [(t, str(n)) for n, t in enumerate(texts)]


def test_values_of_every_type_are_compared_by_their_form(tmp_path):
    columns = {
        "text": ["一", "二", "三", "四"],
        "kept": [True, False, True, None],
        "label": [1.0, 0.0, float("nan"), 1.0],
        "nr": pa.array([1, None, 3, 4], pa.int64()),
    }
    path = _file(tmp_path / "a.parquet", columns)
    source = _source(
        path,
        columns={"text": "text", "label": "label", "id": "nr"},
        labels={1: "unsafe", 0: "safe"},
        where={"kept": [True]},
    )
    found = [(r["text"], r.get("label"), r.get("id")) for r in files.accepted(source, (), [])]
    assert found == [("一", "unsafe", "1"), ("三", None, "3")]


def test_a_null_object_is_a_null_and_not_a_missing_column(tmp_path):
    kind = pa.struct([("lang", pa.string())])
    columns = {"text": ["一", "二"], "meta": pa.array([None, {"lang": "zh"}], kind)}
    path = _file(tmp_path / "a.parquet", columns)
    source = _source(path, columns={"text": "text", "lang": "meta.lang"})
    assert [row["lang"] for row in files.accepted(source, (), [])] == [None, "zh"]
