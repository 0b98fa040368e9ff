"""A tiny model and stage files, made once for all training tests of a process."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

THINGS = ("花园", "茶杯", "书架", "台灯", "厨房", "自行车", "窗帘", "木箱")


def labelled(count):
    """Rows that one word tells apart: each category has its own, and so has what is safe."""
    words = {"A1": "伪造", "B1": "偷看", None: "打理"}
    for number in range(count):
        code = {1: "A1", 3: "B1"}.get(number % 4)
        yield {
            "prompt_id": f"p{number:03}",
            "text": f"第{number}问，{THINGS[number % len(THINGS)]}怎么{words[code]}？",
            "label": "unsafe" if code else "safe",
            "micro_category": code,
        }


def pairs(count):
    """Preference pairs as the generator's own chat turns."""
    for number in range(count):
        thing = THINGS[number % len(THINGS)]
        yield {
            "pair_id": f"q{number:03}",
            "prompt": [{"role": "user", "content": f"改写：{thing}{number}"}],
            "chosen": f"{thing}好",
            "rejected": f"不{thing}" * (1 + number % 3),
        }


def write(path, rows):
    """A stage file of these rows; its path as a spec names it."""
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return str(path)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    from tests.chillguard.training import tiny

    texts = [row["text"] for row in labelled(100)] + ["改写不好怎么打理伪造"]
    return tiny.make(tmp_path_factory.mktemp("tiny") / "model", texts, spread=0.1)
