import dagster as dg

from assets.plan import PLAN
from pipelines import catalog


@dg.asset(required_resource_keys={"llm", "retrieval"})
def asks_and_searches():
    """One row per answer."""


@dg.asset(key=PLAN)
def plans():
    """No table."""


def test_an_asset_has_an_owner_and_the_kinds_of_what_it_asks_for():
    spec = catalog.catalogued(asks_and_searches).get_asset_spec()
    assert spec.owners == [catalog.OWNER]
    assert spec.kinds == {"llm", "qdrant", "parquet"}
    assert spec.description == "One row per answer."


def test_the_plan_makes_no_table():
    assert catalog.catalogued(plans).get_asset_spec().kinds == set()
