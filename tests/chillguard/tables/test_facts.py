"""A column that is added to a table is treated by what it says of itself, without another edit."""

import dataclasses
import json

import pyarrow as pa
import pytest

from chillguard import tables
from chillguard.cleaning import survivors
from chillguard.lineage import takedown, trace
from chillguard.release import card, integrity, publishing
from chillguard.tables import jury, lineage, training
from chillguard.tables.table import Column, SchemaError, Table
from chillguard.training import inputs
from tests.chillguard import builders

SECRET = "河边的芦苇长得比人还高"
MODULES = (lineage, training, jury)
NAMES = sorted(tables.ALL)
OF_ROWS = [name for name in NAMES if tables.ALL[name].holds_rows_of]
HOLDING = [name for name in NAMES if tables.ALL[name].where("holds_text")]


def _added(name, **facts):
    """The table with one more column."""
    table = tables.ALL[name]
    more = Column("rationale", pa.string(), "why the author says so", nullable=True, **facts)
    return dataclasses.replace(table, columns=(*table.columns, more))


@pytest.fixture
def add(monkeypatch):
    """Adds a column with these facts to every table, or to those that are named."""

    def add(*names, **facts):
        new = {name: _added(name, **facts) for name in names or NAMES}
        monkeypatch.setattr(tables, "ALL", {**tables.ALL, **new})
        for module in MODULES:
            held = {key: kind for key, kind in vars(module).items() if isinstance(kind, Table)}
            for key, kind in held.items():
                if new.get(kind.name):
                    monkeypatch.setattr(module, key, new[kind.name])
            if hasattr(module, "TABLES"):
                own = {key: new.get(key, kind) for key, kind in module.TABLES.items()}
                monkeypatch.setattr(module, "TABLES", own)

    return add


def _row(name, key):
    """A row of a table, every column filled: text with the secret, the rest with what fits."""
    fill = {
        pa.string(): "x",
        pa.int64(): 1,
        pa.float64(): 0.5,
        pa.bool_(): True,
        pa.list_(pa.string()): ["x"],
    }
    table = tables.ALL[name]
    row = {c.name: c.values[0] if c.values else fill[c.type] for c in table.columns}
    row |= {column.name: SECRET for column in table.where("holds_text")}
    row |= {name: None for name in ("drop_reason", "drop_evidence") if name in _nullable(table)}
    own = {name: key for name in table.key if name in ("source", "native_id", "juror")}
    return row | own | {table.holds_rows_of: key}


def _nullable(table):
    return {column.name for column in table.columns if column.nullable}


@pytest.mark.parametrize("name", OF_ROWS)
def test_text_in_any_table_of_prompts_or_posts_is_taken_down(add, name):
    add(name, holds_text=True)
    table = tables.ALL[name]
    rows = table.enforce(table.build([_row(name, "gone"), _row(name, "here")]))
    found = takedown.Traces(post_ids={"gone"}, prompt_ids={"gone"})
    clean = takedown.redacted(name, rows, found)
    assert table.problems(clean) == []
    left = {row[table.holds_rows_of]: row for row in clean.to_pylist()}
    assert SECRET not in str(left.get("gone"))
    assert left["here"]["rationale"] == SECRET


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(OF_ROWS)))
def test_text_that_a_takedown_could_not_find_is_refused(name):
    with pytest.raises(SchemaError, match="no column prompt_id or post_id"):
        _added(name, holds_text=True)


@pytest.mark.parametrize("name", [name for name in OF_ROWS if tables.ALL[name].may_drop])
def test_text_that_may_not_be_null_is_refused_where_a_dropped_row_stays(name):
    table = tables.ALL[name]
    more = Column("rationale", pa.string(), "why", holds_text=True)
    with pytest.raises(SchemaError, match="let it be null"):
        dataclasses.replace(table, columns=(*table.columns, more))


@pytest.mark.parametrize("name", HOLDING)
def test_text_is_masked_wherever_a_row_is_shown(add, name):
    add(name, holds_text=True)
    shown = card.masked({"prompt_id": "a", **_row(name, "a")})
    assert shown["rationale"] == card.mask(SECRET)
    assert SECRET not in str(shown)


@pytest.mark.parametrize(("published", "text"), [(False, False), (True, False), (True, True)])
def test_a_column_is_published_if_and_only_if_it_says_so(add, published, text):
    add("train_set", "test_set", published=published, holds_text=text)
    rows = [
        builders.labeled(key, rationale=SECRET, split="train", may_redistribute=free)
        for key, free in (("free", True), ("barred", False))
    ]
    table = publishing.published(lineage.TRAIN_SET.build(rows))
    described = {column["name"] for column in json.loads(publishing.described())}
    assert described == set(table.column_names)
    assert ("rationale" in described) == published
    if published:
        by_id = builders.by_id(table)
        assert by_id["free"]["rationale"] == SECRET
        assert by_id["barred"]["rationale"] == (None if text else SECRET)


@pytest.mark.parametrize("trained", [False, True])
def test_a_column_is_trained_on_if_and_only_if_it_says_so(add, trained):
    add("train_set", "generated_prompts", trained=trained)
    rows = [builders.labeled("a", rationale="weil", split="train")]
    (stage,) = inputs.classifier(lineage.TRAIN_SET.build(rows), None, "single")
    assert ("rationale" in stage.column_names) == trained


@pytest.mark.parametrize("name", HOLDING)
def test_what_tells_a_person_is_in_no_preview(add, name):
    add(name, personal=True)
    assert "rationale" not in card.masked({"prompt_id": "a", **_row(name, "a")})


@pytest.mark.parametrize("fact", ["published", "trained"])
def test_what_tells_a_person_is_never_handed_out(fact):
    with pytest.raises(SchemaError, match="column rationale is personal"):
        Column("rationale", pa.string(), "who", personal=True, **{fact: True})


@pytest.mark.parametrize("name", ["synthesized_prompts", "labeled_prompts"])
def test_the_call_behind_a_column_is_forgotten_with_the_post(add, name):
    add(name, is_call_key=True)
    row = builders.labeled("a", family_id="post") | {"rationale": "key"}
    found = takedown.Traces(post_ids={"post"})
    takedown.follow(found, tables.ALL[name].build([row]))
    assert "key" in found.call_keys


@pytest.mark.parametrize("traced", [True, False])
def test_the_walk_shows_what_is_traced(add, traced):
    add("clean_prompts", traced=traced)
    born = builders.prompt("a", "今天适合散步吗？")
    made = {
        "public_prompts": lineage.PUBLIC_PROMPTS.build([born | {"origin": "public"}]),
        "clean_prompts": lineage.CLEAN_PROMPTS.build([born | {"rationale": "so"}]),
    }
    steps = {step.table: step.facts for step in trace.Walker(made, {}).walk("a")}
    assert ("rationale" in steps["clean_prompts"]) == traced


def test_personal_data_is_replaced_and_looked_for_in_every_text(add):
    add("candidate_prompts", "clean_prompts", "train_set", holds_text=True)
    phone = "电话13900000000"
    row = builders.labeled("a", "今天适合散步吗？") | {"rationale": phone, "split": "train"}
    assert integrity.personal([lineage.TRAIN_SET.build([row])]) == ["row a still holds <PHONE>"]
    clean = survivors.clean(
        lineage.CANDIDATE_PROMPTS.build([row]), set(), survivors.CleaningConfig()
    )
    assert clean["rationale"].to_pylist() == ["电话<PHONE>"]


@pytest.mark.parametrize("name", NAMES)
def test_every_column_is_described(add, name):
    add()
    described = tables.ALL[name].described()[-1]
    assert described["name"] == "rationale"
    assert described["description"] == "why the author says so"


def test_a_name_means_the_same_in_every_table():
    kinds = {}
    for table in tables.ALL.values():
        for column in table.columns:
            kinds.setdefault(column.name, set()).add((column.holds_text, column.personal))
    assert {name: facts for name, facts in kinds.items() if len(facts) > 1} == {}


PUBLISHED = "prompt_id text label macro_category micro_category origin method family_id split lang "
PUBLISHED += "is_twin decided_by n_valid_votes agreement may_redistribute"


def test_the_published_and_trained_columns_stand_in_the_order_that_readers_know():
    assert publishing.form().names == PUBLISHED.split()
    trained = [column.name for column in lineage.TRAIN_SET.where("trained")]
    assert trained == ["prompt_id", "text", "label", "micro_category"]
