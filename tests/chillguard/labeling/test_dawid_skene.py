import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chillguard.labeling import dawid_skene

# Of 200 rows: what four jurors of known sensitivity and specificity say, two of them poor.
TRUTH = np.array([1] * 80 + [0] * 120)
SKILLS = [(0.95, 0.97), (0.9, 0.92), (0.7, 0.65), (0.6, 0.7)]


def _votes(seed=3):
    rng = np.random.default_rng(seed)
    columns = []
    for sensitivity, specificity in SKILLS:
        right = rng.random(len(TRUTH)) < np.where(TRUTH == 1, sensitivity, specificity)
        columns.append(np.where(right, TRUTH, 1 - TRUTH))
    votes = np.stack(columns, axis=1).astype(np.int8)
    votes[rng.random(votes.shape) < 0.05] = -1
    return votes


def test_good_jurors_are_told_from_poor_ones_and_outweigh_them():
    votes = _votes()
    found = dawid_skene.fit(votes)
    estimated = (found.p_unsafe > 0.5).astype(int)
    sums = (votes == 1).sum(axis=1), (votes == 0).sum(axis=1)
    majority = np.where(sums[0] > sums[1], 1, 0)
    assert (estimated == TRUTH).mean() > (majority == TRUTH).mean()
    assert found.sensitivity[:2].min() > found.sensitivity[2:].max()
    for juror, said in enumerate(votes.T):
        for label, skill in ((1, found.sensitivity), (0, found.specificity)):
            known = (said >= 0) & (label == TRUTH)
            assert skill[juror] == pytest.approx((said[known] == label).mean(), abs=0.1)


def _over_rows(votes, iterations=500):
    """EM over rows in plain Python: other code than the product's, for the same model."""
    rows = [[(j, v) for j, v in enumerate(row) if v >= 0] for row in votes.tolist()]
    share = [sum(v for _, v in row) / len(row) for row in rows]
    for _ in range(iterations):
        prior = sum(share) / len(share)
        error = {}
        for j in range(votes.shape[1]):
            for label in (0, 1):
                weights = [p if label else 1 - p for p in share]
                said = [
                    (w, v) for w, row in zip(weights, rows, strict=True) for i, v in row if i == j
                ]
                whole = sum(w for w, _ in said)
                for verdict in (0, 1):
                    part = sum(w for w, v in said if v == verdict)
                    error[j, verdict, label] = max(part, 1e-10) / max(whole, 1e-10)
        odds = []
        for row in rows:
            yes, no = prior, 1 - prior
            for j, v in row:
                yes, no = yes * error[j, v, 1], no * error[j, v, 0]
            odds.append(yes / (yes + no))
        share = odds
    return share


def test_em_over_patterns_is_em_over_rows():
    votes = _votes(5)[:60]
    votes = votes[(votes >= 0).any(axis=1)]
    found = dawid_skene.fit(votes)
    assert found.p_unsafe == pytest.approx(np.array(_over_rows(votes)), abs=1e-4)


_TABLES = st.integers(1, 5).flatmap(
    lambda jurors: st.lists(
        st.lists(st.sampled_from([-1, 0, 1]), min_size=jurors, max_size=jurors),
        min_size=1,
        max_size=12,
    )
)


@given(_TABLES)
def test_any_table_has_probabilities_where_it_has_votes(table):
    votes = np.array(table, np.int8)
    found = dawid_skene.fit(votes)
    silent = (votes < 0).all(axis=1)
    assert np.isnan(found.p_unsafe).tolist() == silent.tolist()
    known = found.p_unsafe[~silent]
    assert ((known >= 0) & (known <= 1)).all()
    for skill in (found.sensitivity, found.specificity):
        assert ((skill >= 0) & (skill <= 1)).all()


@given(_TABLES, st.randoms(use_true_random=False))
def test_the_order_of_rows_is_irrelevant(table, rng):
    order = rng.sample(range(len(table)), len(table))
    one = dawid_skene.fit(np.array(table, np.int8)).p_unsafe
    two = dawid_skene.fit(np.array([table[n] for n in order], np.int8)).p_unsafe
    assert np.allclose(one[order], two, atol=1e-9, equal_nan=True)


@given(st.lists(st.sampled_from([0, 1]), min_size=1, max_size=12))
def test_a_unanimous_jury_is_believed(labels):
    votes = np.repeat(np.array(labels, np.int8)[:, None], 3, axis=1)
    assert np.allclose(dawid_skene.fit(votes).p_unsafe, labels, atol=1e-6)
