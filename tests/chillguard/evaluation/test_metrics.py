import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chillguard.evaluation import metrics

MACRO_OF = {"A1": "A", "A2": "A", "B1": "B"}
# label, micro_category, intended_category, predicted
ROWS = [
    ("unsafe", "A1", "A1", "unsafe"),
    ("unsafe", "A1", "A2", "safe"),
    ("safe", None, "A1", "unsafe"),
    ("safe", None, "A1", "safe"),
    ("unsafe", "A2", "A2", "unsafe"),
    ("safe", None, "A2", None),
    ("safe", None, None, "safe"),
    ("unsafe", "B1", "B1", None),
]


def _scores(rows=ROWS, **options):
    names = ("label", "micro_category", "intended_category")
    table = pa.table({n: pa.array([r[i] for r in rows], pa.string()) for i, n in enumerate(names)})
    found = metrics.scores(table, [row[3] for row in rows], MACRO_OF, **options)
    return {one.name: one for one in found}


def _counts(score):
    return score.true_positives, score.false_positives, score.false_negatives, score.n_errors


def test_scores_per_micro_macro_and_overall_by_hand():
    found = _scores()
    assert list(found) == ["A1", "A2", "B1", "A", "B", "overall"]
    assert _counts(found["A1"]) == (1, 1, 1, 0)
    assert (found["A1"].precision, found["A1"].recall, found["A1"].f1) == (0.5, 0.5, 0.5)
    assert _counts(found["A2"]) == (1, 1, 0, 1)
    assert found["A2"].f1 == pytest.approx(2 / 3)
    assert _counts(found["B1"]) == (0, 0, 1, 1)
    assert (found["B1"].precision, found["B1"].f1) == (None, 0)
    assert _counts(found["A"]) == (2, 2, 1, 1)
    assert found["A"].f1 == pytest.approx(4 / 7)
    assert found["A"].mean_f1 == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert _counts(found["overall"]) == (2, 2, 2, 2)
    assert found["overall"].mean_f1 == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
    assert (found["overall"].n_unsafe, found["overall"].n_safe) == (4, 4)


def test_all_safe_rows_may_be_the_negatives_of_every_category():
    found = _scores(negatives="all")
    assert [found[name].n_safe for name in ("A1", "B1", "A", "overall")] == [4, 4, 4, 4]
    assert _counts(found["B1"]) == (0, 2, 1, 2)
    assert _scores()["B1"].n_safe == 0


def test_an_unreadable_answer_counts_as_wrong_on_either_side():
    right = _scores([("unsafe", "A1", "A1", "unsafe"), ("safe", None, "A1", "safe")])
    assert right["overall"].f1 == 1
    missed = _scores([("unsafe", "A1", "A1", None), ("safe", None, "A1", "safe")])
    assert _counts(missed["overall"]) == (0, 0, 1, 1)
    flagged = _scores([("unsafe", "A1", "A1", "unsafe"), ("safe", None, "A1", None)])
    assert _counts(flagged["overall"]) == (1, 1, 0, 1)


def test_a_category_without_unsafe_rows_has_no_f1_and_no_part_in_the_mean():
    found = _scores([("unsafe", "A1", "A1", "unsafe"), ("safe", None, "B1", "safe")])
    assert found["B1"].f1 is None
    assert found["B"].mean_f1 is None
    assert found["overall"].mean_f1 == 1


def test_predictions_must_be_one_per_row():
    table = pa.table({"label": ["safe"], "micro_category": ["A1"], "intended_category": ["A1"]})
    with pytest.raises(ValueError, match="2 predictions for 1 rows"):
        metrics.scores(table, ["safe", "safe"], MACRO_OF)


_LABEL = st.sampled_from(["safe", "unsafe"])
_CODE = st.sampled_from(sorted(MACRO_OF))


@given(st.lists(st.tuples(_LABEL, _CODE, st.sampled_from(["safe", "unsafe", None])), min_size=1))
def test_categories_share_out_all_rows_and_errors_never_help(drawn):
    rows = [(t, c if t == "unsafe" else None, c, said) for t, c, said in drawn]
    found = _scores(rows)
    for field in ("n_unsafe", "n_safe", "true_positives", "false_positives", "n_errors"):
        micro = sum(getattr(found[code], field) for code in MACRO_OF)
        macro = sum(getattr(found[code], field) for code in "AB")
        assert micro == macro == getattr(found["overall"], field)
    repaired = _scores([(*row[:3], row[3] or row[0]) for row in rows])
    if found["overall"].f1 is not None:
        assert found["overall"].f1 <= repaired["overall"].f1
