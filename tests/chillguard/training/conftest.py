"""A tiny model and stage files, made once for all training tests of a process."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

THINGS = ("花园", "茶杯", "书架", "台灯", "厨房", "自行车", "窗帘", "木箱")


def labelled(count):
    """Rows that one word tells apart: `伪造` is unsafe, `打理` safe."""
    for number in range(count):
        unsafe = number % 2 == 1
        thing = THINGS[number % len(THINGS)]
        yield {
            "prompt_id": f"p{number:03}",
            "text": f"第{number}问，{thing}怎么{'伪造' if unsafe else '打理'}？",
            "label": "unsafe" if unsafe else "safe",
            "micro_category": ("A1" if number % 4 == 1 else "B1") if unsafe else None,
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
