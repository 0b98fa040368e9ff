import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chillguard import identity
from chillguard.cleaning import earlier, survivors
from chillguard.tables import lineage
from chillguard.text import matching, near_duplicates
from tests.chillguard import builders

CONFIG = survivors.CleaningConfig()
RANK = {"real": 0, "rag": 1, "rewrite": 2, "public": 3}
BASE = builders.mixed(1, words=18)


def _clean(rows, released=(), config=CONFIG):
    table = survivors.clean(lineage.CANDIDATE_PROMPTS.build(rows), set(released), config)
    assert lineage.CLEAN_PROMPTS.problems(table) == []
    return builders.by_id(table)


def _drops(rows, released=(), config=CONFIG):
    found = _clean(rows, released, config)
    return {key: (row["drop_reason"], row["drop_evidence"]) for key, row in found.items()}


def _near(text, seed=0, changes=1):
    """The text with characters replaced far from each other's shingles."""
    rng = random.Random(seed)
    letters = list(text)
    for place in rng.sample(range(3, len(letters) - 3), changes):
        letters[place] = rng.choice("甲乙丙丁戊己庚辛")
    return "".join(letters)


@st.composite
def candidates(draw, families=4):
    """Rows over few base texts: copies, copies with symbols, and near-copies."""
    made = []
    for number in range(draw(st.integers(1, 14))):
        base = builders.mixed(draw(st.integers(0, 1)), words=8)
        kind = draw(st.sampled_from(["same", "symbols", "near", "far"]))
        if kind == "symbols":
            base = base.replace(base[3], base[3] + "·", 1)
        elif kind == "near":
            base = _near(base, draw(st.integers(0, 5)), changes=1)
        elif kind == "far":
            base = _near(base, draw(st.integers(0, 5)), changes=7)
        key = identity.digest(number)[:6]
        made.append(
            builders.prompt(
                key,
                base,
                origin=draw(st.sampled_from(lineage.ORIGINS)),
                family_id=f"f{draw(st.integers(0, families - 1))}" if families else key,
            )
        )
    return made


def _are_roots(one, two):
    return {one["origin"], two["origin"]} <= {"real", "public"}


def _score(one, two):
    left, right = (matching.shingles(matching.match_text(r["text"]), 3) for r in (one, two))
    return matching.jaccard(left, right)


@settings(max_examples=50)
@given(candidates())
def test_a_row_goes_only_for_a_kept_row_that_precedes_it_and_is_named(rows):
    found = _clean(rows)
    assert set(found) == {row["prompt_id"] for row in rows}
    for row in found.values():
        if row["drop_reason"] is None:
            continue
        assert row["drop_reason"] in {"duplicate", "near_duplicate"}
        key, score = re.fullmatch(r"twin=(\w+) jaccard=(\d\.\d{3})", row["drop_evidence"]).groups()
        twin = found[key]
        assert twin["drop_reason"] is None
        assert (RANK[twin["origin"]], key) < (RANK[row["origin"]], row["prompt_id"])
        if row["family_id"] == twin["family_id"] and not _are_roots(row, twin):
            assert (row["drop_reason"], row["text"]) == ("duplicate", twin["text"])
        else:
            assert _score(row, twin) >= CONFIG.duplicate_threshold
            assert score == f"{_score(row, twin):.3f}"
            same = row["match_text"] == twin["match_text"]
            assert (row["drop_reason"] == "duplicate") == same


@settings(max_examples=50)
@given(candidates())
def test_no_two_kept_rows_are_equal(rows):
    kept = [row for row in _clean(rows).values() if row["drop_reason"] is None]
    assert kept
    for i, one in enumerate(kept):
        for two in kept[:i]:
            if one["family_id"] == two["family_id"] and not _are_roots(one, two):
                assert one["text"] != two["text"]
            else:
                assert one["match_text"] != two["match_text"]


@settings(max_examples=50)
@given(candidates(families=0))
def test_a_run_after_the_release_gives_the_same_rows_and_evidence(rows):
    before = _drops(rows)
    released = {key for key, (reason, _) in before.items() if reason is None}
    assert _drops(rows, released) == before


@settings(max_examples=50)
@given(candidates())
def test_a_run_after_the_release_keeps_the_same_rows_within_families_too(rows):
    before = _drops(rows)
    released = {key for key, (reason, _) in before.items() if reason is None}
    after = _drops(rows, released)
    assert {key for key, (reason, _) in after.items() if reason is None} == released


@settings(max_examples=30)
@given(candidates(), candidates())
def test_a_released_row_stays_whatever_is_new(rows, more):
    released = {key for key, (reason, _) in _drops(rows).items() if reason is None}
    new = [{**row, "prompt_id": "0" + row["prompt_id"], "origin": "real"} for row in more]
    after = _drops([*rows, *new], released)
    assert all(after[key] == (None, None) for key in released)


@settings(max_examples=30)
@given(candidates(), st.randoms(use_true_random=False))
def test_the_order_of_candidates_is_irrelevant(rows, rng):
    assert _drops(rng.sample(rows, len(rows))) == _drops(rows)


def _earlier(rows):
    released = lineage.TRAIN_SET.build(
        {**row, "split": "train", "label": "safe", "votes": [], "n_valid_votes": 0} for row in rows
    )
    nothing = lineage.CANDIDATE_PROMPTS.build([])
    return earlier.departed([released], nothing, (), [], CONFIG.shingles, {})


@settings(max_examples=15)
@given(candidates(), candidates(), st.booleans())
def test_rows_of_earlier_releases_that_are_gone_count_as_kept(rows, more, all_released):
    """Whatever goes for one names it or a kept row; a released candidate never goes for one."""
    gone = [
        {**row, "prompt_id": "g" + row["prompt_id"], "family_id": "g" + row["family_id"]}
        for row in more
    ]
    released = {row["prompt_id"] for row in rows[::2]} if all_released else set()
    alone = _drops(rows, released)
    table = survivors.clean(lineage.CANDIDATE_PROMPTS.build(rows), released, CONFIG, _earlier(gone))
    found = builders.by_id(table)
    assert set(found) == set(alone)
    texts = {row["prompt_id"]: row for row in gone}
    for key, row in found.items():
        near = [twin for twin in gone if _score(row, twin) >= CONFIG.duplicate_threshold]
        if key in released:
            assert (row["drop_reason"], row["drop_evidence"]) == alone[key]
        elif near:
            assert row["drop_reason"] is not None
        elif row["drop_reason"]:
            twin = row["drop_evidence"].split()[0].removeprefix("twin=")
            assert twin not in texts
            assert found[twin]["drop_reason"] is None
    kept = {key for key, row in found.items() if row["drop_reason"] is None}
    again = survivors.clean(
        lineage.CANDIDATE_PROMPTS.build(rows), released | kept, CONFIG, _earlier(gone)
    )
    assert {row["prompt_id"] for row in again.to_pylist() if row["drop_reason"] is None} == kept


def _row(key, origin="rag", text=BASE, **columns):
    return builders.prompt(key, text, origin=origin, **columns)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (_row("9", "real"), _row("1", "rag")),
        (_row("9", "rag"), _row("1", "rewrite")),
        (_row("9", "rewrite"), _row("1", "public")),
        (_row("1", "rag"), _row("9", "rag")),
    ],
)
@pytest.mark.parametrize("change", [lambda text: text, lambda text: _near(text)])
def test_precedence_is_by_origin_then_id_unless_released(first, second, change):
    second = {**second, "text": change(second["text"])}
    reason = "duplicate" if second["text"] == first["text"] else "near_duplicate"
    score = _score(first, second)
    found = _drops([second, first])
    evidence = f"twin={first['prompt_id']} jaccard={score:.3f}"
    assert found[first["prompt_id"]] == (None, None)
    assert found[second["prompt_id"]] == (reason, evidence)
    found = _drops([second, first], released=[second["prompt_id"]])
    assert found[second["prompt_id"]] == (None, None)
    assert found[first["prompt_id"]] == (
        reason,
        f"twin={second['prompt_id']} jaccard={score:.3f}",
    )


def test_inside_a_family_only_the_same_stored_text_is_a_duplicate():
    rows = [
        _row("a", family_id="f"),
        _row("b", text=_near(BASE), family_id="f"),
        _row("c", text=BASE[:4] + "·" + BASE[4:], family_id="f"),
        _row("d", family_id="f"),
    ]
    assert _drops(rows) == {
        "a": (None, None),
        "b": (None, None),
        "c": (None, None),
        "d": ("duplicate", "twin=a jaccard=1.000"),
    }


def test_across_families_evasion_characters_hide_nothing():
    rows = [_row("a"), _row("b", text="·".join(BASE)), _row("c", text=BASE.replace("", "\u200b"))]
    assert _drops(rows) == {
        "a": (None, None),
        "b": ("duplicate", "twin=a jaccard=1.000"),
        "c": ("duplicate", "twin=a jaccard=1.000"),
    }


def test_of_two_equal_twins_in_one_family_the_one_that_precedes_by_birth_is_named():
    rows = [
        _row("z", "real", family_id="f"),
        _row("a", "rewrite", text=BASE[:4] + "·" + BASE[4:], family_id="f"),
        _row("m", "rag"),
    ]
    expected = {"z": (None, None), "a": (None, None), "m": ("duplicate", "twin=z jaccard=1.000")}
    assert _drops(rows) == expected
    assert _drops(rows, released={"a", "z"}) == expected


def test_stored_text_keeps_its_evasion_characters():
    row = _clean([_row("a", text="·".join(BASE))])["a"]
    assert row["text"] == "·".join(BASE)
    assert row["match_text"] == matching.match_text(BASE)


def test_a_dropped_row_drops_no_other():
    between = _near(_near(BASE, 1, changes=3), 2, changes=0)
    far = _near(between, 3, changes=3)
    config = CONFIG.model_copy(update={"duplicate_threshold": 0.6})
    rows = [_row("a"), _row("b", text=between), _row("c", text=far)]
    assert _score(rows[0], rows[1]) >= 0.6
    assert _score(rows[1], rows[2]) >= 0.6
    assert _score(rows[0], rows[2]) < 0.6
    assert [reason for reason, _ in _drops(rows, config=config).values()] == [
        None,
        "near_duplicate",
        None,
    ]


def test_the_threshold_decides():
    rows = [_row("a"), _row("b", text=_near(BASE))]
    score = _score(*rows)
    for threshold, reason in ((score - 0.01, "near_duplicate"), (score + 0.01, None)):
        config = CONFIG.model_copy(update={"duplicate_threshold": threshold})
        assert _drops(rows, config=config)["b"][0] == reason


@pytest.mark.parametrize(
    ("text", "drop"),
    [
        ("今天好吗", ("too_short", "4 characters")),
        ("今天好吗？", (None, None)),
        (("今天适合去散步吗？" * 200)[:1001], ("too_long", "1001 characters")),
        (("今天适合去散步吗？" * 200)[:1000], (None, None)),
        ("哈哈哈哈哈哈！", ("meaningless", "1 distinct letters")),
        ("？！？！？！", ("meaningless", "0 distinct letters")),
        ("哈哈呵呵嘿嘿", (None, None)),
        ("😀😁😂🤣😃😄", ("meaningless", "0 distinct letters")),
        ("12345678906", ("meaningless", "0 distinct letters")),
        ("<PHONE> <EMAIL>，<ADDRESS>", ("meaningless", "0 distinct letters")),
        ("asdfghjkl", ("meaningless", "keys in a row")),
        ("asdasdasd qwertyuiop", ("meaningless", "keys in a row")),
        ("how are you today", (None, None)),
        ("<PHONE>是谁的号码", (None, None)),
    ],
)
def test_length_and_meaning_bound_a_text(text, drop):
    assert _drops([_row("a", text=text)])["a"] == drop


def test_a_row_out_of_bounds_is_nobodys_twin():
    short = [_row("a", text="短的"), _row("b", text="短的")]
    assert {reason for reason, _ in _drops(short).values()} == {"too_short"}


def test_the_second_pass_replaces_what_translation_brought():
    text = "有事请打13900000000找我吧"
    row = _clean([_row("a", text=text)])["a"]
    assert row["text"] == "有事请打<PHONE>找我吧"
    assert row["text_hash"] == identity.text_hash(row["text"])
    assert row["match_text"] == matching.match_text(row["text"])
    assert row["prompt_id"] == "a"


def test_dropped_candidates_do_not_come_again():
    rows = [_row("a", drop_reason="language"), _row("b")]
    assert _drops(rows) == {"b": (None, None)}


def test_no_candidates_make_an_empty_table():
    assert _drops([]) == {}


def test_leaks_are_the_verified_pairs_of_the_two_sides():
    train = [_row("a"), _row("b", text=builders.mixed(5)), _row("c", text=_near(BASE, 1))]
    test = [
        _row("x", text=_near(BASE, 2)),
        _row("y", text=builders.mixed(6)),
        _row("z", text="·".join(BASE)),
    ]
    config = CONFIG.model_copy(update={"leak_threshold": 0.6})
    found = {
        (row["prompt_id"], twin["prompt_id"]): score
        for row, twin, score in survivors.leaks(train, test, config)
    }
    assert set(found) == {("a", "x"), ("a", "z"), ("c", "x"), ("c", "z")}
    assert found["a", "z"] == 1.0
    assert found["a", "x"] == _score(train[0], test[0])
    assert survivors.leaks(train, [], config) == survivors.leaks([], test, config) == []


def test_the_self_test_passes_and_refuses_shingles_that_cannot_work(monkeypatch):
    survivors.self_test(near_duplicates.NearDuplicateConfig())
    with pytest.raises(ValueError, match="shingle length 60"):
        survivors.self_test(near_duplicates.NearDuplicateConfig(shingle=60))
    with pytest.raises(ValueError, match="shingle length 1 "):
        survivors.self_test(near_duplicates.NearDuplicateConfig(shingle=1))
    with monkeypatch.context() as words:
        words.setattr(matching, "shingles", lambda match, size: set(match.split()))
        with pytest.raises(ValueError, match="shingle length 3 "):
            survivors.self_test(near_duplicates.NearDuplicateConfig())
    signatures = near_duplicates.signatures
    monkeypatch.setattr(
        near_duplicates, "signatures", lambda t, c: signatures([t[0], t[1][::-1]], c)
    )
    with pytest.raises(ValueError, match="signatures"):
        survivors.self_test(near_duplicates.NearDuplicateConfig())
