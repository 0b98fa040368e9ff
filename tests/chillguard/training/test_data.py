"""Stage files as conversations: what is read, and which row is told to be unfit."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chillguard.training import data
from chillguard.training.spec import TrainingSpec

SFT_ROW = {"prompt_id": "p1", "text": "今天天气怎么样？", "label": "unsafe", "micro_category": "A1"}
PAIR = {"pair_id": "q1", "prompt": "写一句话", "chosen": "好的一句", "rejected": "另一句"}


@pytest.fixture
def read(tmp_path):
    """Reads rows of a kind of training from a file made of them."""

    def go(kind, rows, **settings):
        path = tmp_path / "stage.parquet"
        pq.write_table(pa.Table.from_pylist(rows), path)
        spec = TrainingSpec(
            kind=kind, model="m", output="o", stages=(str(path),), settings=settings
        )
        return data.rows(spec, str(path))

    return go


@pytest.mark.parametrize(("form", "answer"), [("binary", "unsafe"), ("category", "A1")])
def test_a_labelled_row_is_a_question_and_the_answer_of_its_format(read, form, answer):
    [row] = read("sft", [SFT_ROW], label_format=form)
    assert [turn["role"] for turn in row["prompt"]] == ["system", "user"]
    assert SFT_ROW["text"] in row["prompt"][1]["content"]
    assert [turn["role"] for turn in row["completion"]] == ["assistant"]
    assert answer in row["completion"][0]["content"]


@pytest.mark.parametrize("kind", ["mdpo", "dpo"])
def test_a_pair_is_a_prompt_with_two_answers_whether_it_comes_as_text_or_as_turns(read, kind):
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    [plain] = read(kind, [PAIR])
    [given] = read(kind, [PAIR | {"prompt": turns}])
    assert plain["prompt"] == [{"role": "user", "content": "写一句话"}]
    assert given["prompt"] == turns
    answers = [plain[name][0]["content"] for name in ("chosen", "rejected")]
    assert answers == ["好的一句", "另一句"]


@pytest.mark.parametrize(
    ("kind", "row", "told"),
    [
        ("sft", SFT_ROW | {"text": ""}, "row p1: text is empty"),
        ("sft", SFT_ROW | {"label": "abstain"}, "row p1: label is 'abstain', expected safe or"),
        ("sft", SFT_ROW | {"micro_category": ""}, "row p1: unsafe without micro_category; use"),
        ("sft", {"prompt_id": "p1", "text": "x", "label": "safe"}, "lacks the column micro_categ"),
        ("dpo", PAIR | {"chosen": ""}, "pair q1: chosen is empty"),
        ("dpo", PAIR | {"chosen": "另一句"}, "pair q1: chosen and rejected are the same text"),
    ],
)
def test_a_row_that_is_unfit_is_told_with_file_row_and_mend(read, kind, row, told):
    with pytest.raises(data.TrainingError, match=f"training file .*stage.parquet.*{told}"):
        read(kind, [row])


def test_a_file_without_rows_and_one_that_is_not_there_are_told(read, tmp_path):
    spec = TrainingSpec(kind="dpo", model="m", output="o", stages=("none",), settings={})
    with pytest.raises(data.TrainingError, match="training file none does not exist"):
        data.rows(spec, "none")
    path = tmp_path / "empty.parquet"
    pq.write_table(pa.Table.from_pylist([PAIR]).slice(1), path)
    with pytest.raises(data.TrainingError, match="has no rows; nothing can be learnt"):
        data.rows(spec, str(path))


class Counting:
    """A tokenizer of which a character is a token."""

    def apply_chat_template(self, talks, **_):
        return {"input_ids": [[0] * sum(len(t["content"]) for t in talk) for talk in talks]}


def test_a_row_whose_longest_answer_is_too_long_is_left_out_whole(read):
    rows = read("dpo", [PAIR, PAIR | {"pair_id": "q2", "rejected": "长" * 20}])
    assert data.fitting(rows, Counting(), 8) == rows[:1]
    assert data.fitting(rows, Counting(), 24) == rows
    assert data.fitting([], Counting(), 8) == []
