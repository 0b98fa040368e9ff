"""Input files made to harm: bombs, endless lines, links that lead out, folders of files."""

import gzip
import json
import tracemalloc

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chillguard.rows import records
from resources.inputs import files, json_rows, texts


def _read(path, **more):
    rejects = []
    source = records.SourceConfig(name="mine", path=path, **more)
    read = [row["text"] for row in records.accept(files.parsed_rows(source), source, [], rejects)]
    return read, [(r.source, r.line, r.reason) for r in rejects]


def _line(text="今天天气不错"):
    return json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n"


@pytest.fixture
def small(monkeypatch):
    """Bounds that a test can reach: lines of 64 KiB, files that unpack to 256 KiB at least."""
    monkeypatch.setattr(texts, "MAX_FIELD", 1 << 16)


def _drained(path):
    """How many rows come before the file is refused."""
    return sum(1 for _ in files.parsed_rows(records.SourceConfig(name="mine", path=path)))


@pytest.mark.parametrize("what", [b"\0", b"\n", b'{"text": 1}\n'], ids=["zeros", "blank", "rows"])
def test_a_packed_bomb_is_refused_in_one_sentence_and_little_memory(tmp_path, small, what):
    path = tmp_path / "bomb.jsonl.gz"
    path.write_bytes(gzip.compress(_line() + what * ((1 << 20) // len(what))))
    tracemalloc.start()
    try:
        with pytest.raises(dg.Failure) as caught:
            _drained(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    told = caught.value.description
    assert told.startswith(
        f"source 'mine': file {path} cannot be read: it unpacks to more than 200"
    )
    assert "\n" not in told
    assert peak < 1 << 20


def _parquet(path, values, **how):
    pq.write_table(pa.table({"text": values}), path, compression="zstd", **how)


@pytest.mark.parametrize("use_dictionary", [False, True], ids=["packed", "said once"])
def test_a_parquet_bomb_is_refused_before_it_is_held(tmp_path, small, use_dictionary):
    path = tmp_path / "bomb.parquet"
    _parquet(path, ["x" * 500] * 40_000, use_dictionary=use_dictionary)
    assert path.stat().st_size < 1 << 16
    before = pa.total_allocated_bytes()
    rows = files.parsed_rows(records.SourceConfig(name="mine", path=path))
    held = (pa.total_allocated_bytes() - before for _ in rows)
    with pytest.raises(dg.Failure, match="it unpacks to more than 200 times its size"):
        assert max(held) < 2 << 20
    assert pa.total_allocated_bytes() - before < 2 << 20


def test_a_parquet_file_of_texts_is_read(tmp_path, small):
    path = tmp_path / "texts.parquet"
    _parquet(path, [f"{n} 今天天气不错" for n in range(30_000)])
    found, rejects = _read(path)
    assert (len(found), rejects) == (30_000, [])


def test_a_huge_array_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(json_rows, "_MAX_DOCUMENT", 1 << 20)
    path = tmp_path / "array.json"
    path.write_bytes(b"[" + b" " * (1 << 20) + b"]")
    with pytest.raises(dg.Failure, match="this one has more than 1 MiB"):
        _read(path)


def test_texts_that_pack_well_are_read(tmp_path, small):
    path = tmp_path / "same.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(_line(f"{n} 今天天气不错") for n in range(3000))))
    found, rejects = _read(path)
    assert (len(found), rejects) == (3000, [])


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz"])
@pytest.mark.parametrize("last", [False, True])
def test_an_endless_line_is_one_rejected_row(tmp_path, small, ending, last):
    lines = [
        _line("一"),
        b'{"text": "' + b"x" * (5 << 15) + b'"}\n',
        *([] if last else [_line("二")]),
    ]
    content = b"".join(lines)
    path = tmp_path / f"long.{ending}"
    path.write_bytes(gzip.compress(content, 1) if ending.endswith("gz") else content)
    found, rejects = _read(path)
    assert found == ["一"] if last else ["一", "二"]
    assert rejects == [("mine", 2, "longer than 64 KiB")]


@pytest.mark.parametrize("ends", [b"", b"\n"])
def test_a_line_up_to_the_bound_is_read(tmp_path, small, ends):
    frame = len(_line("")) - 1
    line = _line("x" * ((1 << 16) - frame - 1))[:-1]
    path = tmp_path / "edge.jsonl"
    path.write_bytes(line + ends)
    found, rejects = _read(path)
    assert ([len(text) for text in found], rejects) == ([(1 << 16) - frame - 1], [])


def test_deep_nesting_is_one_rejected_row(tmp_path):
    path = tmp_path / "deep.jsonl"
    path.write_bytes(_line() + b"[" * 200_000 + b"\n")
    assert _read(path) == (["今天天气不错"], [("mine", 2, "not JSON: too deep")])


@pytest.fixture
def folder(tmp_path):
    """A folder with two files of prompts, one still being written, and a folder inside."""
    made = tmp_path / "inbox"
    (made / "done").mkdir(parents=True)
    (made / "b.jsonl").write_bytes(_line("二") + b"{broken\n")
    (made / "a.jsonl.gz").write_bytes(gzip.compress(_line("一") + b"{broken\n"))
    (made / ".c.jsonl").write_bytes(_line("三"))
    (made / "done" / "old.jsonl").write_bytes(_line("四"))
    return made


def test_a_folder_is_read_file_by_file_and_rejects_name_the_file(folder):
    assert _read(folder) == (
        ["一", "二", "四"],
        [
            ("mine/a.jsonl.gz", 2, "not JSON: Expecting property name enclosed in double quotes"),
            ("mine/b.jsonl", 2, "not JSON: Expecting property name enclosed in double quotes"),
        ],
    )
    assert _read(folder, limit=1)[0] == ["一"]


def test_a_link_out_of_the_folder_is_refused_and_its_target_is_not_read(folder, tmp_path):
    secret = tmp_path / "secret.jsonl"
    secret.write_bytes(_line("nobody may read this"))
    (folder / "z.jsonl").symlink_to(secret)
    with pytest.raises(dg.Failure) as caught:
        _read(folder)
    assert "is a link that leads out of its folder" in caught.value.description
    assert "nobody" not in caught.value.description


def test_a_link_inside_the_folder_is_read(folder):
    (folder / "z.jsonl").symlink_to(folder / "b.jsonl")
    assert _read(folder)[0] == ["一", "二", "四", "二"]
