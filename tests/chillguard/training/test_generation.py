import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chillguard.calls import call
from chillguard.cleaning import survivors
from chillguard.labeling import jury
from chillguard.release import decontamination
from chillguard.rows import guards
from chillguard.tables import training
from chillguard.training import generation
from tests.chillguard.builders import SMALL, Ask, by_id, labeled, mixed, record, released

CONFIG = generation.GenerationConfig()
CLEANING = survivors.CleaningConfig()
NO_BENCHMARK = decontamination.benchmark_rows([])


def _train(*keys, **columns):
    rows = [labeled(key, mixed(key), "M1a" if n % 2 else None, **columns)
            for n, key in enumerate(keys)]  # fmt: skip
    return released("train", rows)


def _test(*texts):
    return released("test", [labeled(f"t{n}", text) for n, text in enumerate(texts)])


def _fresh(request):
    return mixed(f"{request.row_id} fresh")


def _generate(train, answer=_fresh, config=CONFIG):
    ask = Ask(generator=answer)
    return generation.generate(train, SMALL, config, guards.GuardConfig(), ask), ask


def test_every_seed_is_asked_for_four_rewrites_by_the_template_of_its_label():
    train = _train("a", "b")
    _, ask = _generate(train)
    asked = {(r.row_id, r.repeat): r for _, r in ask.asked}
    assert sorted(asked) == [(f"{key}/{n}", n) for key in "ab" for n in range(4)]
    sampling = {(r.sampling.temperature, r.sampling.max_tokens) for r in asked.values()}
    assert sampling == {(0.7, 2048)}
    for key, label in (("a", "safe"), ("b", "unsafe")):
        request = asked[f"{key}/0", 0]
        assert request.template.startswith(f"training/generate_{label}@")
        assert mixed(key) in request.messages[1]["content"]
    assert len({call.call_key("g", "1", r, r.repeat) for r in asked.values()}) == 8


def test_a_row_inherits_label_family_and_terms_of_its_seed():
    train = _train("a", "b", may_redistribute=False, context_post_ids=["p9"])
    rows, _ = _generate(train)
    table = generation.table(rows)
    assert training.GENERATED_PROMPTS.problems(table) == []
    for row in table.to_pylist():
        [seed] = row["parent_ids"]
        assert (row["family_id"], row["context_post_ids"]) == (seed, ["p9"])
        assert row["label"] == row["intended_label"] == ("unsafe" if seed == "b" else "safe")
        assert row["micro_category"] == ("M1a" if seed == "b" else None)
        assert not row["may_redistribute"]
        assert row["drop_reason"] is None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "quarantined"),
        ("", "quarantined"),
        ("抱歉，我无法提供这类内容。", "quarantined"),
        ("改写后：今天去哪里散步好？", "meta_text"),
        ("Where should I go for a walk today?", "language"),
    ],
)
def test_an_answer_that_is_no_prompt_is_a_dropped_row(answer, reason):
    rows, _ = _generate(_train("a"), lambda request: answer)
    assert [row["drop_reason"] for row in rows] == [reason] * 4
    assert all(row["drop_evidence"] for row in rows)


def test_an_answer_that_is_cut_off_is_unreadable():
    with pytest.raises(call.Unreadable, match="cut off"):
        generation.parse(call.Answer("今天去哪里散", "length"))


def test_personal_data_is_replaced_before_anything_else():
    rows, _ = _generate(_train("a"), lambda request: f"{mixed(request.row_id)}联系13812345678。")
    assert all("13812345678" not in row["text"] for row in rows)


def test_duplicates_of_train_and_of_one_another_go_and_name_their_twin():
    train = _train("a", "b")
    texts = {"a/0": mixed("b"), "a/1": mixed("x"), "a/2": mixed("x"), "b/0": mixed("x")}
    rows, _ = _generate(train, lambda r: texts.get(r.row_id, _fresh(r)))
    generation.gate(rows, train, _test("无关的测试句子一条。"), NO_BENCHMARK, CLEANING)
    found = {(row["parent_ids"][0], row["candidate"]): row for row in rows}
    assert found["a", 0]["drop_reason"] == "duplicate"
    assert found["a", 0]["drop_evidence"].startswith("twin=b ")
    same = [found[key]["drop_reason"] for key in (("a", 1), ("a", 2), ("b", 0))]
    assert sorted(same, key=str) == [None, "duplicate", "duplicate"]
    assert sum(row["drop_reason"] is None for row in rows) == 5


def test_copies_and_near_copies_of_test_go_as_leaks_with_twin_and_jaccard():
    train, copy, near = _train("a"), mixed("one", 14), mixed("two", 14)
    texts = {"a/0": copy, "a/1": near.replace("怎么样", "怎样"), "a/2": f"　{copy}！"}
    rows, _ = _generate(train, lambda r: texts.get(r.row_id, _fresh(r)))
    generation.gate(rows, train, _test(copy, near), NO_BENCHMARK, CLEANING)
    found = {row["candidate"]: row for row in rows}
    assert found[0]["drop_reason"] == "leak"
    assert found[0]["drop_evidence"] == "twin=t0 jaccard=1.000"
    assert found[1]["drop_reason"] == "leak"
    assert found[1]["drop_evidence"].startswith("twin=t1 jaccard=0.")
    assert found[2]["drop_reason"] in ("leak", "duplicate")
    assert found[3]["drop_reason"] is None


def test_near_copies_of_a_benchmark_go_as_leaks_and_are_refused_at_the_last_moment():
    train, near = _train("a"), mixed("two", 14)
    benchmarks = decontamination.benchmark_rows([record(near, source="exam")])
    texts = {"a/1": near.replace("怎么样", "怎样")}
    rows, _ = _generate(train, lambda r: texts.get(r.row_id, _fresh(r)))
    untouched = generation.table(rows)
    generation.gate(rows, train, _test("无关的测试句子一条。"), benchmarks, CLEANING)
    assert [row["candidate"] for row in rows if row["drop_reason"] == "leak"] == [1]
    [gone] = [row for row in rows if row["drop_reason"]]
    assert gone["drop_evidence"].startswith("benchmark=exam row=")
    none = _test("无关的测试句子一条。")
    generation.refuse_leaks(generation.table(rows), none, benchmarks, CLEANING)
    with pytest.raises(ValueError, match="is a near-copy of benchmark exam, row "):
        generation.refuse_leaks(untouched, none, benchmarks, CLEANING)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_no_row_is_lost_and_none_that_is_kept_is_near_to_test(data):
    train, tests = _train("a", "b", "c"), [mixed(f"t{n}") for n in range(3)]
    pool = [*tests, *(text[:-2] for text in tests), *(mixed(f"x{n}") for n in range(4)), None, "短"]
    drawn = {
        f"{key}/{n}": data.draw(st.sampled_from(pool))
        for key in "abc"
        for n in range(CONFIG.per_seed)
    }
    rows, _ = _generate(train, lambda r: drawn[r.row_id])
    generation.gate(rows, train, _test(*tests), NO_BENCHMARK, CLEANING)
    table = generation.table(rows)
    assert generation.problems(table, train, CONFIG) == []
    assert all(row["drop_evidence"] for row in rows if row["drop_reason"])
    kept = [row for row in rows if row["drop_reason"] is None]
    assert survivors.leaks(kept, _test(*tests).to_pylist(), CLEANING) == []
    generation.refuse_leaks(table, _test(*tests), NO_BENCHMARK, CLEANING)


def test_a_table_that_is_older_than_the_release_is_refused_at_the_last_moment():
    train = _train("a")
    rows, _ = _generate(train)
    table = generation.table(rows)
    kept = table.to_pylist()[0]
    with pytest.raises(ValueError, match=f"{kept['prompt_id']} is a near-copy of Test row t0"):
        generation.refuse_leaks(table, _test(kept["text"]), NO_BENCHMARK, CLEANING)


def test_missing_and_strange_rewrites_are_told():
    train = _train("a", "b")
    rows, _ = _generate(train)
    table = generation.table(row for row in rows if row["parent_ids"] != ["a"] or row["candidate"])
    assert generation.problems(table, train, CONFIG) == ["seed a has 3 of 4 rewrites"]
    told = generation.problems(generation.table(rows), _train("b"), CONFIG)
    assert told == ["rewrites of a, which is no seed"]


def test_a_draw_of_seeds_is_stable():
    config = generation.GenerationConfig(max_seeds=3)
    keys = [f"k{n}" for n in range(12)]
    drawn = {row["prompt_id"] for row in generation.seeds(_train(*keys), config)}
    assert len(drawn) == 3
    fewer = [key for key in keys if key in drawn or key > "k5"]
    again = {row["prompt_id"] for row in generation.seeds(_train(*fewer), config)}
    assert again == drawn


def _votes(labels):
    return {f"juror_{n}": lambda request, label=label: label for n, label in enumerate(labels, 1)}


@pytest.mark.parametrize(
    ("votes", "tie", "reason"),
    [
        (("safe", "safe", "safe", "unsafe"), None, None),
        (("unsafe", "unsafe", "unsafe", "safe"), None, "label_flipped"),
        (("safe", "safe", "unsafe", "unsafe"), "safe", None),
        (("safe", "safe", "unsafe", "unsafe"), "unsafe", "label_flipped"),
        ((None, None, "safe", "safe"), None, "unresolved"),
    ],
)
def test_a_second_jury_drops_what_it_labels_otherwise(votes, tie, reason):
    rows, _ = _generate(_train("a"))
    rows[0]["drop_reason"] = "leak"
    ask = Ask(tie_breaker=lambda request: tie, **_votes(votes))
    config = jury.LabelingConfig()
    generation.rejudge(rows, [f"juror_{n}" for n in range(1, 5)], SMALL, config, ask)
    assert [row["drop_reason"] for row in rows] == ["leak", reason, reason, reason]
    assert rows[0]["prompt_id"] not in ask.rows("juror_1")


@pytest.mark.parametrize(
    ("text", "score"),
    [("4", 4), (" 1\n", 1), ("6", None), ("4分", None), ("", None), ("3.5", None)],
)
def test_a_score_is_one_of_five_numbers_or_missing(text, score):
    rows, _ = _generate(_train("a"))
    rows[0]["drop_reason"] = "leak"
    ask = Ask(scorer=lambda request: text)
    asked = generation.scoring_requests(generation.table(rows), _train("a"), CONFIG)
    found = generation.scores(ask("scorer", asked, generation.parse_score))
    assert set(found) == {row["prompt_id"] for row in rows[1:]}
    for one in found.values():
        assert one["score"] == score
        assert (one["reason"] is None) is (score is not None)


def test_a_prompt_of_a_seed_that_is_gone_is_not_scored():
    rows, _ = _generate(_train("a"))
    table = by_id(generation.table(rows))
    with pytest.raises(ValueError, match="not in Train of this release"):
        list(generation.scoring_requests(generation.table(table.values()), _train("b"), CONFIG))
