import dagster as dg
import pytest

from assets import cleaning
from chillguard.cleaning import earlier
from chillguard.tables import lineage
from chillguard.text import near_duplicates
from resources.home.releases import Releases
from resources.home.state import State

TEXT = "请问周末社区图书馆的开放时间是几点到几点"


@pytest.fixture
def clean(bench, prompt):
    """A function that cleans candidates of the given (text, origin)."""

    def run(*rows):
        table = lineage.CANDIDATE_PROMPTS.build(
            prompt(text, origin, family_id=f"family of {text}") for text, origin in rows
        )
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


@pytest.fixture
def release(bench, sample):
    """A function that writes a release of one Train row with this text; returns the row."""

    def write(text, origin, **more):
        row = sample(text, "train", origin=origin, **more)
        sides = {"train": lineage.TRAIN_SET.build([row]), "test": lineage.TEST_SET.build([])}
        Releases(folder=str(bench.home / "release")).write("v1", sides, {}, {})
        return row

    return write


def test_a_released_row_goes_before_a_new_one(prompt, release, clean):
    release(TEXT, "public", prompt_id=prompt(TEXT, "public")["prompt_id"])
    rows = clean((TEXT, "real"), (TEXT, "public"))
    assert rows["public"]["drop_reason"] is None
    assert rows["real"]["drop_reason"]


def test_a_new_row_goes_for_a_released_one_that_is_no_candidate_any_more(bench, release, clean):
    gone = release(TEXT, "public", prompt_id="earlier")
    rows = clean((TEXT[1:], "real"), ("公园里的桂花什么时候开花呢", "rag"))
    assert set(rows) == {"real", "rag"}
    assert rows["rag"]["drop_reason"] is None
    assert rows["real"]["drop_reason"] == "near_duplicate"
    assert rows["real"]["drop_evidence"].startswith(f"twin={gone['prompt_id']} jaccard=0.9")
    bench.set(cleaning={"earlier_releases": False})
    assert clean((TEXT[1:], "real"))["real"]["drop_reason"] is None


def test_a_row_of_a_removed_post_drops_no_new_one(bench, release, clean):
    release(TEXT, "rag", prompt_id="earlier", family_id="post")
    State(folder=str(bench.home / "state"), profile="bench").take_down(
        {"request": "post", "marks": ["post"]}
    )
    assert clean((TEXT[1:], "real"))["real"]["drop_reason"] is None


def test_a_signature_index_of_other_settings_is_refused(bench, release, clean):
    row = release(TEXT, "rag", prompt_id="earlier")
    table = lineage.TRAIN_SET.build([row])
    other = near_duplicates.NearDuplicateConfig(shingle=4)
    state = State(folder=str(bench.home / "state"), profile="bench")
    state.append_signatures(earlier.table(table, other), "v1")
    with pytest.raises(dg.Failure) as caught:
        clean((TEXT[1:], "real"))
    assert "00001-v1.parquet: its signatures are of num_perm=128 scheme=affine32 shingle=4" in str(
        caught.value.description
    )
    assert "the settings ask for num_perm=128 scheme=affine32 shingle=3" in str(
        caught.value.description
    )


def test_kept_rows_have_a_match_text_and_their_own_text_untouched(clean):
    text = "请·问周末社区图书馆的开放時間是幾點"
    row = clean((text, "rag"))["rag"]
    assert row["text"] == text
    assert row["match_text"] == "请问周末社区图书馆的开放时间是几点"
