import pyarrow as pa
import pytest

from assets import cleaning
from chillguard import schema
from resources.releases import Releases

TEXT = "请问周末社区图书馆的开放时间是几点到几点"


@pytest.fixture
def clean(bench, prompt):
    """A function that cleans candidates of the given (text, origin)."""

    def run(*rows):
        table = schema.CANDIDATE_PROMPTS.build(prompt(text, origin) for text, origin in rows)
        bench.put(candidate_prompts=table)
        found = bench.run(cleaning.clean_prompts)["clean_prompts"].to_pylist()
        return {row["origin"]: row for row in found}

    return run


def test_every_candidate_is_in_the_table_and_twins_go_with_evidence(bench, clean):
    rows = clean((TEXT, "real"), (TEXT + "！", "rag"), ("公园里的桂花什么时候开花呢", "public"))
    assert len(rows) == 3
    assert rows["real"]["drop_reason"] is None
    assert rows["rag"]["drop_reason"]
    assert rows["real"]["prompt_id"] in rows["rag"]["drop_evidence"]
    found = bench.metadata["clean_prompts"]
    assert (found["rows"], found["kept"], found["dropped"]) == (3, 2, 1)


def test_a_released_row_goes_before_a_new_one(bench, prompt, clean):
    public = prompt(TEXT, "public")
    sides = {"train": pa.table({"prompt_id": [public["prompt_id"]]})}
    sides["test"] = sides["train"].slice(1)
    Releases(folder=str(bench.home / "release")).write("v1", sides, {})
    rows = clean((TEXT, "real"), (TEXT, "public"))
    assert rows["public"]["drop_reason"] is None
    assert rows["real"]["drop_reason"]


def test_kept_rows_have_a_match_text_and_their_own_text_untouched(clean):
    text = "请·问周末社区图书馆的开放時間是幾點"
    row = clean((text, "rag"))["rag"]
    assert row["text"] == text
    assert row["match_text"] == "请问周末社区图书馆的开放时间是几点"
