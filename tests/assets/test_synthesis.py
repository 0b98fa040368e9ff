import pytest

from assets import embedding, synthesis
from chillguard import crawl
from chillguard.tables import lineage
from chillguard.text import matching
from resources.home.state import State

TEXTS = [f"第{number}位邻居说周末要去社区图书馆看书" for number in range(8)]


@pytest.fixture
def made(bench):
    terms = {"may_redistribute": False, "may_train": True}
    found = [{"text": text, "lang": "zh"} for text in TEXTS]
    empty = lineage.EXPANDED_KEYWORDS.build([])
    bench.tables["crawled_posts/one"] = crawl.posts(found, "one", empty, terms, crawl.CrawlConfig())
    scale = {"queries_per_category": 2, "top_k": 4, "prompts_per_query": 2, "twin_queries": 1}
    bench.set(synthesis=scale)
    bench.run(embedding.post_index(["one"]))
    return bench.run(synthesis.synthesized_prompts)["synthesized_prompts"]


def test_every_category_gets_its_queries_and_every_query_its_prompts(bench, made):
    rows = made.to_pylist()
    assert len(rows) == 31 * (2 + 1) * 2
    assert len({row["query_id"] for row in rows}) == 31 * 2
    assert len({row["intended_category"] for row in rows}) == 31
    assert bench.metadata["synthesized_prompts"]["calls_paid"] == 31 * 3
    assert bench.metadata["synthesized_prompts"]["kept"] == len(rows)


def test_one_query_of_each_category_is_asked_for_twins_too(made):
    twins = [row for row in made.to_pylist() if row["is_twin"]]
    assert len(twins) == 31 * 2
    assert {row["intended_label"] for row in twins} == {"safe"}
    assert {row["method"] for row in twins} == {"twin_definition"}


def test_categories_that_steering_gave_more_queries_have_more_prompts(bench, made):
    State(folder=str(bench.home / "state"), profile="bench").save_extra_queries({"A1": 3}, "v1")
    again = bench.run(synthesis.synthesized_prompts)["synthesized_prompts"]
    assert bench.metadata["synthesized_prompts"]["calls_paid"] == 3
    before, after = ({row["prompt_id"] for row in t.to_pylist()} for t in (made, again))
    new = [row for row in again.to_pylist() if row["prompt_id"] not in before]
    assert before < after
    assert {row["intended_category"] for row in new} == {"A1"}
    assert len(new) == 3 * 2


def test_the_delimited_layout_makes_prompts_of_the_same_posts(bench, made):
    bench.set(synthesis={"layout": "delimited"})
    again = bench.run(synthesis.synthesized_prompts)["synthesized_prompts"]
    found, texts = again.to_pylist(), {row["prompt_id"]: row["text"] for row in made.to_pylist()}
    assert {row["prompt_id"]: row["text"] for row in found} == texts
    assert bench.metadata["synthesized_prompts"]["calls_paid"] == 31 * 3


def test_a_prompt_is_of_the_family_of_its_source_post_and_names_the_others(bench, made):
    posts = {row["post_id"]: row["text"] for row in bench.tables["post_index"].to_pylist()}
    for row in made.to_pylist():
        (source,) = row["parent_ids"]
        assert row["family_id"] == matching.family_id(posts[source])
        assert posts[source][:10] in row["text"]
        assert len(row["context_post_ids"]) == 1
        assert source not in row["context_post_ids"]


def test_prompts_inherit_the_terms_of_their_posts(made):
    assert set(made["may_redistribute"].to_pylist()) == {False}
    assert set(made["may_train"].to_pylist()) == {True}


def test_a_second_run_pays_nothing_and_makes_the_same(bench, made):
    again = bench.run(synthesis.synthesized_prompts)["synthesized_prompts"]
    assert again.equals(made)
    found = bench.metadata["synthesized_prompts"]
    assert (found["calls_paid"], found["calls_from_ledger"]) == (0, 31 * 3)
