import pytest

from chillguard.cleaning import survivors
from chillguard.release import decontamination, integrity, sides, split
from chillguard.tables import lineage
from tests.chillguard import builders

GATE = survivors.CleaningConfig()
BASE = builders.mixed(1, words=18)
NEAR = BASE[:-4] + "甲" + BASE[-3:]


def _benchmark(*texts, name="exam"):
    return decontamination.benchmark_rows(builders.record(text, source=name) for text in texts)


def test_benchmark_rows_are_kept_once_and_personal_data_is_replaced():
    table = _benchmark(BASE, "请打 13812345678 找我", BASE, BASE)
    assert lineage.BENCHMARK_PROMPTS.problems(table) == []
    kept = [row for row in table.to_pylist() if row["drop_reason"] is None]
    assert sorted(row["text"] for row in kept) == sorted([BASE, "请打 <PHONE> 找我"])
    (key,) = [row["prompt_id"] for row in kept if row["text"] == BASE]
    gone = [row for row in table.to_pylist() if row["drop_reason"]]
    assert [row["drop_evidence"] for row in gone] == [f"same text as {key}"] * 2


def test_the_same_text_in_two_benchmarks_stands_in_both():
    rows = [builders.record(BASE, source=name) for name in ("one", "two")]
    table = decontamination.benchmark_rows(rows)
    assert builders.columns(table, "drop_reason") == [None, None]


def _prepare(rows, side, benchmarks):
    table, earlier = lineage.LABELED_PROMPTS.build(rows), sides.Earlier(frozen={"a": side})
    return sides.prepare(table, earlier, split.SplitConfig(), GATE, {}, benchmarks=benchmarks)


@pytest.mark.parametrize("text", [BASE, NEAR, "·".join(BASE)])
def test_train_loses_its_row_of_a_pair_with_a_benchmark(text):
    rows = [builders.labeled(f"k{n}", builders.mixed(n + 10)) for n in range(10)]
    rows.append(builders.labeled("a", BASE))
    benchmarks = _benchmark(text, builders.mixed(99))
    parts = _prepare(rows, "train", benchmarks)
    (row,) = parts.drops.to_pylist()
    (key,) = [r["prompt_id"] for r in benchmarks.to_pylist() if r["text"] == text]
    assert (row["prompt_id"], row["drop_reason"], row["split"]) == ("a", "leak", "train")
    assert row["drop_evidence"].startswith(f"benchmark=exam row={key} jaccard=")
    assert integrity.contaminated(parts.train, benchmarks, GATE) == []


def test_test_may_hold_a_benchmark_row():
    rows = [
        builders.labeled("a", BASE),
        *(builders.labeled(f"k{n}", builders.mixed(n + 10)) for n in range(5)),
    ]
    parts = _prepare(rows, "test", _benchmark(BASE))
    assert parts.drops.num_rows == 0
    assert "a" in parts.test["prompt_id"].to_pylist()


def test_a_translated_row_is_compared_in_its_first_language_too():
    english = "How do I grow roses on a balcony that gets no sun in winter?"
    row = builders.labeled("a", BASE, translated_from=english)
    found = decontamination.overlaps([row], _benchmark(english), GATE)
    assert [(one["prompt_id"], round(score, 3)) for one, _, score in found] == [("a", 1.0)]
    assert found[0][0] is row


def test_the_nearest_row_is_named_once():
    row = builders.labeled("a", BASE)
    table = _benchmark(NEAR, BASE)
    ((_, benchmark, score),) = decontamination.overlaps([row], table, GATE)
    assert (benchmark["text"], score) == (BASE, 1.0)


def test_without_benchmarks_nothing_overlaps():
    assert decontamination.overlaps([builders.labeled("a", BASE)], _benchmark(), GATE) == []


def test_a_benchmark_row_in_train_is_named_with_its_pair():
    table = _benchmark(BASE)
    (key,) = table["prompt_id"].to_pylist()
    train = builders.released("train", [builders.labeled("a", NEAR)])
    (told,) = integrity.contaminated(train, table, GATE)
    assert told.startswith("Jaccard 0.")
    assert told.endswith(f"of Train row a and row {key} of benchmark exam")
