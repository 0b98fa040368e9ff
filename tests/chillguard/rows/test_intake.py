import pytest

from chillguard import identity
from chillguard.rows import intake
from chillguard.tables import lineage
from chillguard.text import matching, personal_data, screening
from tests.chillguard import builders


@pytest.fixture
def forbidden():
    """A text that the shipped screen stops, put together from its own lists."""
    return "，".join(group[0] for group in screening.rules()[1].all_of)


def test_a_text_is_stripped_and_loses_its_personal_data():
    found = intake.admit("  电话13900000000 \n")
    clean = "电话<PHONE>"
    assert found == intake.Admitted(clean, identity.text_hash(clean), None, None)


def test_a_screened_text_leaves_only_its_hash(forbidden):
    found = intake.admit(forbidden)
    assert found.text is None
    assert found.text_hash == identity.text_hash(forbidden)
    assert found.drop_reason == "screened"
    assert found.drop_evidence == "rule mass_harm_instructions"
    assert forbidden not in str(found)


def test_a_text_over_the_bound_leaves_only_its_hash_and_is_read_by_no_pattern(monkeypatch):
    monkeypatch.setattr(personal_data, "replace", None)
    text = "天" * (intake.MAX_CHARS + 1)
    found = intake.admit(text)
    evidence = f"{intake.MAX_CHARS + 1} characters, at most {intake.MAX_CHARS} are read"
    assert found == intake.Admitted(None, identity.text_hash(text), "too_long", evidence)
    row = intake.prompt("real", "file", [], text)
    assert (row["text"], row["drop_reason"], row["drop_evidence"]) == (None, "too_long", evidence)


@pytest.mark.parametrize(
    "shape", ["1 ", "1\u00a0２", "@", "((", "a.a.a.a@", "一三八", "0a1b:", "路1号"]
)
def test_a_text_as_long_as_the_bound_is_admitted_whatever_it_is_made_of(shape):
    text = (shape * intake.MAX_CHARS)[: intake.MAX_CHARS - 1] + "x"
    found = intake.admit(text)
    assert found.drop_reason is None
    assert found.text


def test_a_prompt_is_the_root_of_its_own_family_unless_told():
    row = intake.prompt("real", "file", [], "今天适合散步吗？")
    assert row["family_id"] == matching.family_id("今天适合散步吗？")
    assert row["lang"] == "zh"
    child = intake.prompt("rewrite", "m", [row["prompt_id"]], "明天呢？", family_id="root")
    assert child["family_id"] == "root"
    assert child["parent_ids"] == [row["prompt_id"]]
    assert lineage.REAL_PROMPTS.problems(lineage.REAL_PROMPTS.build([row, child])) == []


def test_a_given_language_is_believed():
    assert intake.prompt("real", "file", [], "今天适合散步吗？", lang="ja")["lang"] == "ja"
    assert intake.prompt("real", "file", [], "今天适合散步吗？", lang=None)["lang"] == "zh"


@pytest.mark.parametrize(
    "other",
    [
        {"origin": "rag"},
        {"method": "n"},
        {"parents": ["q"]},
        {"text": "后天适合散步吗？"},
        {"repeat": 1},
        {"born_from": ["query"]},
    ],
)
def test_whatever_tells_two_births_apart_gives_another_id(other):
    birth = {"origin": "real", "method": "m", "parents": ["p"], "text": "今天适合散步吗？"}
    one, two = intake.prompt(**birth), intake.prompt(**{**birth, **other})
    assert one["prompt_id"] != two["prompt_id"]


def test_the_name_of_a_source_is_no_part_of_an_id_and_stays_as_provenance():
    one, two = (intake.prompt("real", name, [], "今天适合散步吗？") for name in ("may", "june"))
    assert one == two | {"method": "may"}


def test_copies_in_other_spellings_are_rows_of_their_own_in_one_family():
    spellings = (
        "今天适合散步吗？",
        "今天适合散步吗",
        "今天適合散步嗎？",
        "今\u200b天适合散步吗？😀",
    )
    rows = [intake.prompt("real", "m", [], text) for text in spellings]
    assert len({row["prompt_id"] for row in rows}) == len(spellings)
    assert len({row["family_id"] for row in rows}) == 1
    public = intake.prompt("public", "m", [], spellings[0])
    assert public["prompt_id"] != rows[0]["prompt_id"]
    assert public["family_id"] == rows[0]["family_id"]


def test_columns_of_a_row_are_no_part_of_its_identity():
    birth = ("real", "m", [], "今天适合散步吗？")
    one, two = intake.prompt(*birth), intake.prompt(*birth, source_label="safe", may_train=False)
    assert one["prompt_id"] == two["prompt_id"]


def test_an_empty_slot_is_a_row_without_text():
    row = intake.prompt("rag", "rag", ["p"], None, drop_reason="no_source", drop_evidence="e")
    assert row["text"] is None
    assert row["lang"] is None
    assert row["drop_reason"] == "no_source"


def test_a_screened_prompt_is_dropped_without_its_text(forbidden):
    row = intake.prompt("rag", "rag", ["p"], forbidden)
    assert row["text"] is None
    assert row["drop_reason"] == "screened"
    assert forbidden not in str(row)
    other = intake.prompt("rag", "rag", ["p"], forbidden + "吗")
    assert row["prompt_id"] != other["prompt_id"]


@pytest.mark.parametrize(
    ("flags", "strictest"),
    [([True], True), ([True, True], True), ([True, False], False), ([False, False], False)],
)
@pytest.mark.parametrize("term", ["may_redistribute", "may_train"])
def test_inherited_terms_are_the_strictest(flags, strictest, term):
    parents = [{**builders.TERMS, term: flag} for flag in flags]
    assert intake.inherited(parents) == {**builders.TERMS, term: strictest}
