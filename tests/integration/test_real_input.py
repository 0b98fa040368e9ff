"""Real data beside the project, through the whole lineage: same bytes twice, every row walks."""

from pathlib import Path

import pytest

from resources.models.ledger import Ledger
from tests.integration.conftest import SMALL
from tests.integration.test_trace import SAMPLE, keys_of_calls, lacks, walks

SHARED = Path(__file__).parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.pipeline,
    pytest.mark.shared,
    pytest.mark.skipif(
        not SHARED.is_dir(), reason="the shared real data is not beside the project"
    ),
]
LABELED = {"text": "text", "label": "label"}


@pytest.fixture(scope="module")
def house(make_house):
    """Reviews as posts, comments as real prompts, English prompts as public ones; run once."""
    made = make_house(
        "real_input",
        posts=[{"name": "reviews", "path": f"{SHARED}/review_corpus.jsonl.gz", "limit": 2000}],
        real_prompts=[
            {"name": "cold", "path": f"{SHARED}/cold_prompts.jsonl.gz", "columns": LABELED}
            | {"limit": 400}
        ],
        public_prompts=[
            {"name": "xstest", "path": f"{SHARED}/xstest_en.jsonl", "columns": LABELED}
        ],
        settings=SMALL,
    )
    assert made.run().success
    return made


def test_a_thousand_random_rows_of_real_input_walk_back_without_a_dead_end(house, monkeypatch):
    found = walks(house, monkeypatch)
    assert len(found) == SAMPLE
    wrong = {row: told for row, steps in found.items() if (told := lacks(house, steps, row[0]))}
    assert not wrong
    tables = {"synthesized_prompts", "rewritten_prompts", "public_prompts", "candidate_prompts"}
    assert tables <= {table for table, _ in found}
    ledger = Ledger(url=f"sqlite:///{house.home / 'ledger.db'}")
    keys = {pair for steps in found.values() for pair in keys_of_calls(steps)}
    assert not [pair for pair in keys if "@" not in (ledger.record(pair[1]) or {})["template"]]


def test_real_data_runs_end_to_end_twice_with_the_same_bytes(house):
    before, calls = house.bytes(), house.calls()
    assert house.run().success
    assert (house.bytes(), house.calls()) == (before, calls)
