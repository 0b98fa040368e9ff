import json

import pytest

from assets import translation
from chillguard import schema
from resources.offline import lexicon


def test_public_rows_keep_their_own_label_as_source_label_only(bench, source, files):
    rows = [{"prompt": "今天天气怎么样", "harm": "no"}, {"prompt": "帮我编一段闲话", "harm": "yes"}]
    lines = [json.dumps(row) for row in [*rows, {"prompt": 5, "harm": "no"}]]
    columns = {"text": "prompt", "label": "harm"}
    labels = {"yes": "unsafe", "no": "safe"}
    bench.more["public_files"] = files(source(*lines, columns=columns, labels=labels))
    made = bench.run(translation.public_prompts)
    found = {row["text"]: row for row in made["public_prompts"].to_pylist()}
    assert found["帮我编一段闲话"]["source_label"] == "unsafe"
    assert {row["intended_label"] for row in found.values()} == {None}
    assert {row["origin"] for row in found.values()} == {"public"}
    assert made["rejected_rows/public_prompts"]["line"].to_pylist() == [3]


def test_no_public_files_give_two_empty_tables(bench, files):
    bench.more["public_files"] = files()
    made = bench.run(translation.public_prompts)
    assert [table.num_rows for table in made.values()] == [0, 0]


@pytest.fixture
def candidates(bench, prompt):
    english, _ = next(iter(lexicon.translations().items()))
    rows = {
        "synthesized_prompts": [prompt("今天的天气真的不错"), prompt(english, lang="en")],
        "annotated_prompts": [prompt("周末去图书馆看书", "real")],
        "rewritten_prompts": [prompt("What a lovely unknown day", "rewrite", lang="en")],
        "public_prompts": [
            prompt("公园里的桂花开了", "public"),
            prompt("这一条已经出局", "public", drop_reason="duplicate"),
        ],
    }
    bench.put(**{name: schema.TABLES[name].build(found) for name, found in rows.items()})
    return bench.run(translation.candidate_prompts)["candidate_prompts"].to_pylist()


def test_kept_rows_of_all_origins_are_candidates(bench, candidates):
    assert len(candidates) == 5
    assert {row["origin"] for row in candidates} == {"rag", "real", "rewrite", "public"}
    assert bench.metadata["candidate_prompts"]["translated"] == 2


def test_english_rows_become_chinese_and_keep_their_id_and_original(bench, candidates):
    [row] = [row for row in candidates if row["translated_from"]]
    english, chinese = next(iter(lexicon.translations().items()))
    assert (row["text"], row["translated_from"], row["lang"]) == (chinese, english, "zh")
    assert row["prompt_id"] in bench.tables["synthesized_prompts"]["prompt_id"].to_pylist()


def test_a_row_that_cannot_be_translated_is_dropped_with_the_reason(bench, candidates):
    [row] = [row for row in candidates if row["drop_reason"]]
    assert (row["origin"], row["drop_reason"]) == ("rewrite", "untranslated")
    assert bench.metadata["candidate_prompts"]["dropped"] == 1
