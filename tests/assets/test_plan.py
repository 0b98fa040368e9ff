import dagster as dg
import pytest

from assets import plan

JURORS = [f"juror_{slot}" for slot in range(1, 5)]
LINES = ('{"text": "请介绍一下垃圾分类的规定有哪些", "label": "safe"}',)


@pytest.fixture
def planned(bench, source, files):
    columns = {"text": "text", "label": "label"}
    bench.more["real_prompt_files"] = files(source(*LINES, columns=columns))
    bench.more["public_files"] = files()
    bench.set(keywords={"target": 20, "targets": {"A1": 22}}, rewriting={"rewrites_per_prompt": 1})
    with dg.DagsterInstance.ephemeral() as instance:
        asset = plan.refresh_plan(JURORS)
        run = dg.materialize([asset], resources=bench._resources(), instance=instance)
    [event] = run.asset_materializations_for_node("refresh_plan")
    return {name: value.value for name, value in event.metadata.items()}


def test_a_plan_counts_per_stage_and_role_what_a_refresh_would_ask(planned):
    asked = _lines(planned)
    # Six rounds at most, each answer twice at most.
    expander = asked["expanded_keywords", "expander"]
    assert (expander["at least"], expander["at most"], expander["in ledger"]) == (1, 12, 0)
    assert {("jury_votes/" + juror, juror) for juror in JURORS} <= asked.keys()
    assert planned["calls_in_ledger"] == 0
    assert planned["new_calls"] == sum(line["at least"] for line in asked.values()) > 0
    assert planned["new_calls_at_most"] == sum(line["at most"] for line in asked.values())


def test_a_plan_pays_for_nothing(bench, planned):
    assert bench.ledger.count() == 0
    assert "refresh_plan" not in bench.tables
    assert planned["cost"] == planned["cost_at_most"] == "unpriced"


def test_a_plan_tells_what_it_cannot_foresee(planned):
    told = {line: facts["not foreseen"] for line, facts in _lines(planned).items()}
    assert "posts are not read yet" in told["synthesized_prompts", "synthesizer"]
    assert "1 answers with keywords are to come" in told["synthesized_prompts", "synthesizer"]
    assert "prompts may come" in told["jury_votes/juror_1", "juror_1"]


def _lines(planned):
    return {
        (record.data["asset"], record.data["role"]): record.data
        for record in planned["plan"].records
    }
