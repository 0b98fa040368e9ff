import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from assets import checks, release
from chillguard.settings import Settings
from chillguard.tables.lineage import (
    CANDIDATE_PROMPTS,
    POST_INDEX,
    REJECTED_ROWS,
    RELEASE_DROPS,
    SEED_KEYWORDS,
    TABLES,
    TEST_SET,
    TRAIN_SET,
)
from resources.home.releases import Releases
from resources.home.state import State
from tests.chillguard.builders import prompt

NO_ROOTS = (CANDIDATE_PROMPTS.build([]), POST_INDEX.build([]))
CLEAN = ("周末社区图书馆几点开门", "公园里的桂花什么时候开花", "楼下新开的面包店好不好吃")
ALL_CHECKS = {
    "no_leak": checks.no_leak,
    "no_benchmark_row": checks.no_benchmark_row,
    "no_personal_data": checks.no_personal_data,
    "frozen_sides": checks.frozen_sides,
    "terms_obeyed": checks.terms_obeyed,
    "coverage": checks.coverage,
    "balance": checks.balance,
    "agreement": checks.agreement,
    "leak_share": checks.leak_share,
}


@pytest.fixture
def sides(sample):
    """A sound release: function from changes of single rows to (train, test)."""

    def make(first=None, second=None, third=None):
        rows = [
            sample(CLEAN[0], "train") | (first or {}),
            sample(CLEAN[1], "train", "safe") | (second or {}),
            sample(CLEAN[2], "test") | (third or {}),
        ]
        train = [row for row in rows if row["split"] == "train"]
        test = [row for row in rows if row["split"] == "test"]
        return TRAIN_SET.build(train), TEST_SET.build(test)

    return make


@pytest.fixture
def state(tmp_path):
    return State(folder=str(tmp_path / "state"), profile="bench")


@pytest.fixture
def frozen_sides(tmp_path, state):
    """The check on (train, test), after releases with the given sides."""

    def check(train, test, *released):
        releases = Releases(folder=str(tmp_path / "release"))
        for number, (one, other) in enumerate(released):
            releases.write(f"v{number}", {"train": one, "test": other}, {}, {})
        context = dg.build_asset_check_context()
        return checks.frozen_sides(context, train, test, NO_ROOTS[0], state, releases)

    return check


def _settings(**bounds):
    open_bounds = dict.fromkeys(("min_per_category", "min_safe_share", "max_safe_share"))
    return Settings.model_validate({"bounds": {**open_bounds, "min_agreement": None, **bounds}})


def _sentence(result):
    return result.metadata["first_problems"].value


def test_every_release_check_is_tested_here_and_only_leak_share_merely_warns():
    assert set(ALL_CHECKS.values()) == set(checks.RELEASE_CHECKS)
    blocking = {
        spec.name: spec.blocking for check in checks.RELEASE_CHECKS for spec in check.check_specs
    }
    assert blocking == {name: name != "leak_share" for name in ALL_CHECKS}


def test_a_sound_release_passes(sides, frozen_sides, bench):
    train, test = sides()
    settings = _settings()
    results = [
        checks.no_leak(train, test, *NO_ROOTS, settings),
        checks.no_benchmark_row(train, bench.tables["benchmark_prompts"], settings),
        checks.no_personal_data(train, test),
        frozen_sides(train, test),
        checks.terms_obeyed(train, test),
        checks.coverage(train, test, bench.tables["taxonomy"], settings),
        checks.balance(train, test, settings),
        checks.agreement(train, test, settings),
        checks.leak_share(train, RELEASE_DROPS.build([]), settings),
    ]
    assert [result.passed for result in results] == [True] * 9
    assert {result.metadata["problems"].value for result in results} == {0}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"text": CLEAN[0]}, "same text"),
        ({"text": "周末、社区图书馆，几点开门？"}, "same match_text"),
        ({"text": CLEAN[0] + "呀"}, "Jaccard"),
    ],
)
def test_a_text_on_both_sides_is_a_leak(sides, change, what):
    result = checks.no_leak(*sides(third=change), *NO_ROOTS, _settings())
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert what in _sentence(result)


def test_a_family_on_both_sides_is_a_leak(sides):
    both = {"family_id": "f"}
    result = checks.no_leak(*sides(first=both, third=both), *NO_ROOTS, _settings())
    assert not result.passed
    assert "same family" in _sentence(result)


@pytest.mark.parametrize("row", ["first", "third"])
@pytest.mark.parametrize(
    ("text", "kind"),
    [("请打 13812345678 找我", "<PHONE>"), ("写信到 someone@example.org 吧", "<EMAIL>")],
)
def test_personal_data_on_either_side_is_found_and_not_quoted(sides, row, text, kind):
    result = checks.no_personal_data(*sides(**{row: {"text": text, "prompt_id": "here"}}))
    assert not result.passed
    assert _sentence(result) == f"- row here still holds {kind}"


def test_a_family_that_changed_sides_is_found(sides, state, frozen_sides):
    families = pa.table({"family_id": ["f"], "split": ["train"]})
    state.append_splits(families, "v1")
    result = frozen_sides(*sides(third={"family_id": "f", "prompt_id": "here"}))
    assert not result.passed
    assert _sentence(result) == "- row here is in test, its family belongs to train"


def test_a_family_that_changed_sides_is_found_though_the_state_is_lost(sides, frozen_sides):
    moved = {"family_id": "f", "prompt_id": "here"}
    before = sides(first=moved)
    assert frozen_sides(*before, before).passed
    other = {**moved, "text": "换了一句说法的提问也算"}
    result = frozen_sides(*sides(first={"text": "别的提问在这里"}, third=other))
    assert _sentence(result) == "- row here is in test, its family belongs to train"


def test_a_text_that_changed_sides_under_new_ids_is_found(sides, frozen_sides):
    before = sides(first={"prompt_id": "old", "family_id": "f"})
    old = before[0].filter(pc.equal(before[0]["prompt_id"], "old")).to_pylist()[0]
    now = {"prompt_id": "new", "family_id": "g", "text": old["text"]}
    train, test = sides(third={**now, "text_hash": old["text_hash"]})
    result = frozen_sides(train, test, before)
    assert "- row new is in test, its text was released in train" in _sentence(result)


def test_roots_alike_on_both_sides_are_a_leak_though_no_rows_are(sides):
    roots = [
        prompt("r1", "河边的栈道晚上开不开灯", origin="real", family_id="f"),
        prompt("r2", "河边的栈道，晚上開不開燈？", origin="real", family_id="g"),
    ]
    tables = (CANDIDATE_PROMPTS.build(roots), NO_ROOTS[1])
    both = sides(first={"family_id": "f"}, third={"family_id": "g"})
    result = checks.no_leak(*both, *tables, _settings())
    assert "roots of Train family f and Test family g" in _sentence(result)


def test_a_public_row_outside_train_is_found(sides, frozen_sides):
    assert not frozen_sides(*sides(third={"origin": "public"})).passed


@pytest.mark.parametrize("row", ["second", "third"])
def test_a_row_that_may_not_be_trained_on_is_found(sides, row):
    result = checks.terms_obeyed(*sides(**{row: {"may_train": False, "prompt_id": "here"}}))
    assert not result.passed
    assert _sentence(result) == "- row here"


def test_a_category_with_too_few_rows_is_found(sides, bench):
    train, test = sides()
    result = checks.coverage(train, test, bench.tables["taxonomy"], _settings(min_per_category=2))
    assert not result.passed
    assert result.metadata["problems"].value == 30
    assert "- A1 has" not in _sentence(result)
    assert "- A2 has 0 rows of 2" in _sentence(result)
    assert _sentence(result).count("\n") == 19


@pytest.mark.parametrize(
    ("bounds", "passed"),
    [
        ({"min_safe_share": 0.3}, True),
        ({"min_safe_share": 0.4}, False),
        ({"max_safe_share": 0.3}, False),
        ({"max_safe_share": 0.4}, True),
    ],
)
def test_the_share_of_safe_rows_must_be_within_its_bounds(sides, bounds, passed):
    result = checks.balance(*sides(), _settings(**bounds))
    assert result.passed is passed
    assert passed or "33.3% of rows are safe" in _sentence(result)


@pytest.mark.parametrize(("bound", "passed"), [(0.75, True), (0.85, False)])
def test_the_jury_must_agree_as_much_as_the_bound(sides, bound, passed):
    train, test = sides(first={"agreement": 0.6}, second={"agreement": None})
    result = checks.agreement(train, test, _settings(min_agreement=bound))
    assert result.passed is passed


@pytest.mark.parametrize(("reason", "passed"), [("leak", False), ("balance", True)])
def test_many_leak_pairs_only_warn(sides, reason, passed):
    train, _ = sides()
    gone = {"prompt_id": "x", "family_id": "x", "split": "train", "drop_reason": reason}
    drops = RELEASE_DROPS.build([gone])
    result = checks.leak_share(train, drops, _settings(max_leak_share=0.3))
    assert (result.passed, result.severity) == (passed, dg.AssetCheckSeverity.WARN)
    assert passed or "33.3% of Train lost to leak pairs" in _sentence(result)


def _table(breach):
    rows = [
        {"keyword_id": key, "micro_category": "A1", "zh": "词", "en": "word"} for key in ("a", "b")
    ]
    table = SEED_KEYWORDS.build(rows)
    return {
        "none": table,
        "null": table.set_column(2, "zh", [[None, "词"]]),
        "order": table.take([1, 0]),
        "column": table.drop_columns(["en"]),
    }[breach]


@pytest.mark.parametrize("breach", ["none", "null", "order", "column"])
def test_a_schema_check_finds_a_breach_of_its_table(breach):
    check = checks.schema_check(dg.AssetKey("seed_keywords"))
    [spec] = check.check_specs
    assert (spec.name, spec.blocking) == ("schema", True)
    assert check(_table(breach)).passed is (breach == "none")


def test_a_schema_check_of_a_key_of_several_parts_uses_the_first():
    check = checks.schema_check(dg.AssetKey(["rejected_rows", "crawled_posts", "x"]))
    assert check(REJECTED_ROWS.build([])).passed
    assert not check(_table("none")).passed


@pytest.mark.parametrize("breach", ["none", "null"])
def test_a_breach_blocks_what_comes_after(breach):
    @dg.asset(key="seed_keywords")
    def seeds() -> pa.Table:
        return _table(breach)

    made = []

    @dg.asset(ins={"found": dg.AssetIn("seed_keywords")})
    def after(found: pa.Table) -> None:
        made.append(found)

    check = checks.schema_check(dg.AssetKey("seed_keywords"))
    run = dg.materialize(
        [seeds, after, check],
        resources={"io_manager": dg.mem_io_manager},
        raise_on_error=False,
    )
    assert run.success is (breach == "none")
    assert len(made) == (breach == "none")


FUNNEL = (
    "crawled_posts/one",
    "post_index",
    "synthesized_prompts",
    "real_prompts",
    "annotated_prompts",
    "rewritten_prompts",
    "public_prompts",
    "candidate_prompts",
    "clean_prompts",
    "labeled_prompts",
    "train_set",
    "test_set",
    "release_drops",
)


@pytest.fixture
def lineage(sample):
    """Tables of a lineage with one real prompt, from file to Train."""
    tables = {name: TABLES[name.split("/")[0]].build([]) for name in FUNNEL}
    row = sample(CLEAN[0], "train", origin="real")
    stages = ("real_prompts", "annotated_prompts", "candidate_prompts", "clean_prompts")
    for name in (*stages, "labeled_prompts", "train_set"):
        names = tables[name].schema.names
        found = {key: value for key, value in row.items() if key in names}
        tables[name] = TABLES[name].build([found])
    return tables


def _funnel(tables):
    check = checks.funnel_check([dg.AssetKey(name.split("/")) for name in FUNNEL])
    [result] = check(**{name.replace("/", "__"): table for name, table in tables.items()})
    return result


def test_a_lineage_in_which_every_row_is_accounted_for_passes(lineage):
    assert _funnel(lineage).passed


@pytest.mark.parametrize(
    ("stage", "sentence"),
    [
        ("annotated_prompts", "annotated_prompts: 1 rows vanished"),
        ("clean_prompts", "clean_prompts: 1 rows vanished"),
        ("train_set", "release: 1 rows vanished"),
        ("real_prompts", "annotated_prompts: 1 rows from nowhere"),
    ],
)
def test_a_row_that_vanishes_or_appears_is_found(lineage, stage, sentence):
    lineage[stage] = lineage[stage].slice(1)
    result = _funnel(lineage)
    assert not result.passed
    assert sentence in _sentence(result)


def test_the_funnel_check_blocks_and_waits_for_the_whole_lineage():
    keys = [dg.AssetKey(name.split("/")) for name in FUNNEL]
    [spec] = checks.funnel_check(keys).check_specs
    assert spec.blocking
    assert spec.asset_key == dg.AssetKey("train_set")
    waits_for = {dep.asset_key for dep in spec.additional_deps}
    assert waits_for == set(keys) - {dg.AssetKey("train_set")}


def test_every_release_check_is_about_an_asset_of_the_release_stage():
    keys = {spec.asset_key for check in checks.RELEASE_CHECKS for spec in check.check_specs}
    assert keys <= set(release.split_sets.keys)
