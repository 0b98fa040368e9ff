import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chillguard.text import matching, near_duplicates
from tests.chillguard import builders

CONFIG = near_duplicates.NearDuplicateConfig()
HAN = [chr(c) for c in range(0x4E00, 0x4E00 + 2000)]


def _texts(seed, count=40, shortest=6, longest=40):
    """Random Chinese texts, most of them with a planted near-copy."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        text = [rng.choice(HAN) for _ in range(rng.randint(shortest, longest))]
        found.append("".join(text))
        for _ in range(rng.randint(0, 2)):
            copy = list(text)
            for _ in range(rng.randint(0, max(1, len(text) // 12))):
                copy[rng.randrange(len(copy))] = rng.choice(HAN)
            found.append("".join(copy))
    rng.shuffle(found)
    return found


def _brute(texts, threshold, config=CONFIG):
    shingled = [matching.shingles(text, config.shingle) for text in texts]
    scores = (
        (i, j, matching.jaccard(shingled[i], shingled[j]))
        for i, j in itertools.combinations(range(len(texts)), 2)
    )
    return {(i, j): score for i, j, score in scores if score >= threshold}


def _found(texts, threshold, config=CONFIG):
    pairs = list(near_duplicates.neighbours(texts, threshold, config))
    assert len({(i, j) for i, j, _ in pairs}) == len(pairs)
    return {(i, j): score for i, j, score in pairs}


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9])
def test_neighbours_are_those_of_a_brute_force_search(threshold):
    texts = _texts(7, count=500)
    wanted, found = _brute(texts, threshold), _found(texts, threshold)
    assert found.items() <= wanted.items()
    assert len(wanted) > 150
    assert len(found) >= 0.98 * len(wanted)


@pytest.mark.parametrize("threshold", [0.5, 0.7])
def test_neighbours_of_very_short_texts_too(threshold):
    rng = random.Random(3)
    texts = ["".join(rng.choices("今天散步", k=rng.randint(0, 7))) for _ in range(250)]
    wanted, found = _brute(texts, threshold), _found(texts, threshold)
    assert found.items() <= wanted.items()
    assert len(found) >= 0.98 * len(wanted)


@settings(max_examples=30)
@given(st.lists(st.text("今天散步吗", max_size=12), max_size=15), st.sampled_from([0.4, 0.7, 0.95]))
def test_every_pair_named_is_verified_and_equal_texts_are_always_found(texts, threshold):
    wanted, found = _brute(texts, threshold), _found(texts, threshold)
    assert found.items() <= wanted.items()
    equal = {pair for pair in wanted if texts[pair[0]] == texts[pair[1]]}
    assert equal <= set(found)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_the_order_of_texts_is_irrelevant(seed, rng):
    texts = sorted(set(_texts(seed, count=10)))
    order = rng.sample(range(len(texts)), len(texts))
    shuffled = _found([texts[i] for i in order], 0.7)
    back = {tuple(sorted((order[i], order[j]))): score for (i, j), score in shuffled.items()}
    assert back == _found(texts, 0.7)


@pytest.mark.parametrize(
    ("texts", "pairs"),
    [
        ([], {}),
        (["今天适合散步吗"], {}),
        ([""], {}),
        (["", ""], {(0, 1): 1.0}),
        (["今", "今"], {(0, 1): 1.0}),
        (["今天", "今天", "明天"], {(0, 1): 1.0}),
        (["今天好", "今天好"], {(0, 1): 1.0}),
        (["今", "今天", "今天好"], {}),
        (["", "今"], {}),
    ],
)
def test_empty_single_and_short_texts(texts, pairs):
    assert _found(texts, 0.7) == pairs


def test_signatures_depend_on_the_set_of_shingles_only():
    one, two, other = near_duplicates.signatures(["哈哈哈哈", "哈哈哈哈哈哈", "呵呵呵呵"], CONFIG)
    assert (one == two).all()
    assert not (one == other).any()


def test_a_signature_does_not_depend_on_the_texts_beside_it():
    texts = _texts(1, count=20, shortest=0)
    together = near_duplicates.signatures(texts, CONFIG)
    for row, text in zip(together, texts, strict=True):
        assert (near_duplicates.signatures([text], CONFIG)[0] == row).all()


@pytest.mark.parametrize("shingle", [1, 2, 3, 5])
def test_signatures_estimate_jaccard(shingle):
    config = CONFIG.model_copy(update={"shingle": shingle, "num_perm": 512})
    rng = random.Random(5)
    errors = []
    for _ in range(30):
        base = [rng.choice(HAN) for _ in range(60)]
        copy = [c if rng.random() > 0.08 else rng.choice(HAN) for c in base]
        pair = ["".join(base), "".join(copy)]
        exact = matching.jaccard(*(matching.shingles(text, shingle) for text in pair))
        left, right = near_duplicates.signatures(pair, config)
        errors.append(float(np.mean(left == right)) - exact)
    assert abs(np.mean(errors)) < 0.02
    assert max(map(abs, errors)) < 0.09


@pytest.mark.parametrize("step", [1, 7])
def test_signatures_estimate_jaccard_of_regular_texts_too(step):
    config = CONFIG.model_copy(update={"num_perm": 512})
    for shift in range(0, 60, 4):
        pair = [
            "".join(chr(0x4E00 + step * (start + i)) for i in range(60)) for start in (0, shift)
        ]
        exact = matching.jaccard(*(matching.shingles(text, 3) for text in pair))
        left, right = near_duplicates.signatures(pair, config)
        assert abs(float(np.mean(left == right)) - exact) < 0.06


@pytest.mark.parametrize("count", [0, 1, 3])
def test_signatures_and_buckets_have_a_row_per_text(count):
    found = near_duplicates.signatures([builders.mixed(n) for n in range(count)], CONFIG)
    assert found.shape == (count, 128)
    numbers = near_duplicates.Buckets(found, 0.7, CONFIG)
    assert [numbers[row] for row in range(count)] == [[]] * count


def test_equal_signatures_share_a_bucket_of_their_own_in_every_band():
    texts = [builders.mixed(n % 5) for n in range(10)]
    numbers = near_duplicates.Buckets(near_duplicates.signatures(texts, CONFIG), 0.7, CONFIG)
    rows = [numbers[row] for row in range(10)]
    assert rows[:5] == rows[5:]
    bands = len(rows[0])
    assert bands > 20
    assert len({number for row in rows for number in row}) == 5 * bands


def test_pairs_just_above_the_threshold_are_found():
    rng = random.Random(11)
    texts = []
    for _ in range(600):
        text = "".join(rng.choices(HAN, k=60))
        # Three characters far apart change 9 of 58 shingles: Jaccard 49 / 67 = 0.731.
        letters = list(text)
        for place in (10, 30, 50):
            letters[place] = rng.choice(HAN)
        texts += [text, "".join(letters)]
    wanted, found = _brute_of_twins(texts, 0.7), _found(texts, 0.7)
    assert all(0.7 <= score < 0.76 for score in wanted.values())
    assert len(wanted) > 590
    assert len(found.keys() & wanted.keys()) >= 0.98 * len(wanted)


def _brute_of_twins(texts, threshold):
    shingled = [matching.shingles(text, CONFIG.shingle) for text in texts]
    scores = {(i, i + 1): matching.jaccard(*shingled[i : i + 2]) for i in range(0, len(texts), 2)}
    return {pair: score for pair, score in scores.items() if score >= threshold}


def test_rows_that_are_not_kept_are_found_by_none():
    texts = [builders.mixed(1)] * 300
    found = near_duplicates.signatures(texts, CONFIG)
    finder = near_duplicates.Finder(found, texts.__getitem__, 0.7, CONFIG)
    seen = []
    for row, others in finder.candidates():
        seen.append(others)
        if row % 200 == 7:
            finder.keep(row)
    assert seen == [[]] * 8 + [[7]] * 200 + [[7, 207]] * 92
