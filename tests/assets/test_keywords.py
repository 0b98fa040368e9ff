import pytest

from assets import keywords


def test_the_taxonomy_has_five_macro_and_thirty_one_micro_categories(bench):
    table = bench.run(keywords.taxonomy_asset)["taxonomy"]
    levels = table["level"].to_pylist()
    assert (levels.count("macro"), levels.count("micro")) == (5, 31)
    assert bench.metadata["taxonomy"]["rows"] == 36


def test_seed_keywords_are_twenty_per_category(bench):
    table = bench.run(keywords.seed_keywords)["seed_keywords"]
    codes = table["micro_category"].to_pylist()
    assert {codes.count(code) for code in codes} == {20}
    assert len(set(codes)) == 31


@pytest.fixture
def expanded(bench):
    bench.set(keywords={"target": 20, "targets": {"A1": 22, "C1": 23}})
    return bench.run(keywords.expanded_keywords)["expanded_keywords"]


def test_expansion_fills_the_pool_and_says_what_it_cost(bench, expanded):
    provenance = expanded["provenance"].to_pylist()
    found = bench.metadata["expanded_keywords"]
    assert provenance.count("seed") == 620
    assert provenance.count("expanded") == 5 - sum(found["under_filled"].values()) > 0
    assert found["calls_paid"] == bench.ledger.count() >= 2
    assert found["calls_quarantined"] == 0


def test_the_pool_is_kept_as_state_and_only_grows(bench, expanded):
    bench.set(keywords={"targets": {}})
    again = bench.run(keywords.expanded_keywords)["expanded_keywords"]
    assert again.equals(expanded)


def test_an_expansion_that_was_paid_is_not_paid_again(bench, expanded):
    paid = bench.ledger.count()
    bench.run(keywords.expanded_keywords)
    assert bench.ledger.count() == paid
    assert bench.metadata["expanded_keywords"]["calls_paid"] == 0


def test_a_prompt_that_changes_changes_the_code_version():
    spec = next(iter(keywords.expanded_keywords.specs))
    assert len(spec.code_version) == 16
