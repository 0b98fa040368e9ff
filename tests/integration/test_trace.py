"""Every prompt of a run can be followed back to what it was made from, and to the calls paid."""

import random

import pytest

from pipelines import trace
from resources.home.tables import Tables
from resources.models.ledger import Ledger

pytestmark = pytest.mark.pipeline
SAMPLE = 1000


def sample(house):
    """Random rows over all tables that hold prompts, as (table, id): of small tables too."""
    source, draw = Tables(folder=str(house.home / "tables")), random.Random(11)
    tables = {"/".join(key): source.read(*key) for key in source.made()}
    rows = {
        name: [(name, key) for key in table["prompt_id"].to_pylist()]
        for name, table in tables.items()
        if "prompt_id" in table.column_names
    }
    share = SAMPLE // len(rows)
    drawn = {one for some in rows.values() for one in draw.sample(some, min(share, len(some)))}
    rest = [one for some in rows.values() for one in some if one not in drawn]
    return sorted(drawn | set(draw.sample(rest, SAMPLE - len(drawn))))


def walks(house, monkeypatch):
    """The walks of a sample, by table and id; a walk that ends nowhere raises."""
    monkeypatch.setenv("CHILLGUARD_HOME", str(house.home))
    walker = trace.walker(house.profile)
    return {(table, key): walker.walk(key) for table, key in sample(house)}


def lacks(house, steps, table):
    """What is wrong with the walk of a row of `table`: nothing, or one sentence."""
    root, names = steps[0], {step.table for step in steps}
    sources = {one.name for one in (*house.profile.real_prompts, *house.profile.public_prompts)}
    # A kept real prompt is the same row in the table of the annotated ones.
    if table not in names and not (table == "real_prompts" and "annotated_prompts" in names):
        return f"does not pass {table}"
    if root.table == "queries":
        posts = [step for step in steps if step.table.startswith("crawled_posts/")]
        whole = root.facts["keywords"] and posts and all("source" in one.facts for one in posts)
        return None if whole else "has no keyword, or no post"
    of_file = root.facts["origin"] in ("real", "public") and root.facts["method"] in sources
    return None if of_file else f"begins at {root.table} {root.id}, which is of no file"


def keys_of_calls(steps):
    names = ("call_key", "category_call_key")
    return {(s.table, s.facts[name]) for s in steps for name in names if name in s.facts}


def test_a_thousand_random_rows_walk_back_to_keyword_and_post_or_to_a_file(offline, monkeypatch):
    found = walks(offline, monkeypatch)
    assert len(found) == SAMPLE
    wrong = {row: told for row, steps in found.items() if (told := lacks(offline, steps, row[0]))}
    assert not wrong


def test_each_call_on_the_way_is_in_the_ledger_with_its_template(offline, monkeypatch):
    ledger = Ledger(url=f"sqlite:///{offline.home / 'ledger.db'}")
    found = {
        pair for steps in walks(offline, monkeypatch).values() for pair in keys_of_calls(steps)
    }
    by_role = {}
    for table, key in found:
        record = ledger.record(key)
        assert record, f"{table}: {key} is not in the ledger"
        assert "@" in (record["template"] or ""), f"{table}: {key} was asked by no template"
        by_role.setdefault(record["role"], set()).add(record["template"].split("@")[0])
    jurors = [f"juror_{slot}" for slot in range(1, len(offline.profile.jurors) + 1)]
    assert {"synthesizer", "rewriter", "categorizer", *jurors} <= by_role.keys()
    assert by_role["synthesizer"] == {"synthesis/generate", "synthesis/twin"}
    assert by_role["rewriter"] == {"rewriting/rewrite"}


def test_every_call_that_was_ever_paid_names_its_template(offline):
    ledger = Ledger(url=f"sqlite:///{offline.home / 'ledger.db'}")
    unnamed = ledger.spent(template=None).calls
    assert ledger.count() > 0
    assert unnamed == 0
