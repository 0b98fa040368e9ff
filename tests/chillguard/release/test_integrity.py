import pytest

from chillguard.cleaning import survivors
from chillguard.release import integrity
from chillguard.tables import lineage
from chillguard.text import personal_data
from tests.chillguard import builders

GATE = survivors.CleaningConfig()
BASE = builders.mixed(1, words=18)
FREE = integrity.Bounds(
    min_per_category=None, min_safe_share=None, max_safe_share=None, min_agreement=None
)


def _sides(train, test):
    return builders.released("train", train), builders.released("test", test)


@pytest.fixture
def clean():
    rows = [
        builders.labeled(f"k{n}", builders.mixed(n), "M1a" if n % 2 else None) for n in range(8)
    ]
    return _sides(rows[:5], rows[5:])


def test_clean_sides_have_no_breach(clean):
    assert integrity.leaks(*clean, GATE) == []
    assert integrity.personal(clean) == []
    assert integrity.moved(*clean, {"k0": "train", "k7": "test", "gone": "test"}, {}) == []
    assert integrity.barred(clean) == []


def test_empty_sides_have_no_breach():
    empty = _sides([], [])
    assert integrity.leaks(*empty, GATE) == []
    assert integrity.personal(empty) == integrity.barred(empty) == []
    assert integrity.moved(*empty, {}, {}) == []
    assert integrity.leak_share(empty[0], lineage.RELEASE_DROPS.build([])) == 0.0


@pytest.mark.parametrize(
    ("train", "test", "sentences"),
    [
        (
            ("a", BASE),
            ("b", BASE),
            [
                "same text of Train row a and Test row b",
                "same match_text of Train row a and Test row b",
                "Jaccard 1.000 of Train row a and Test row b",
            ],
        ),
        (
            ("a", BASE),
            ("b", "·".join(BASE)),
            [
                "same match_text of Train row a and Test row b",
                "Jaccard 1.000 of Train row a and Test row b",
            ],
        ),
        (
            ("a", builders.mixed(2), "f"),
            ("b", BASE, "f"),
            ["same family of Train row a and Test row b"],
        ),
        (("a", BASE), ("b", BASE[:-4] + "甲" + BASE[-3:]), ["Jaccard 0."]),
    ],
)
def test_a_planted_leak_is_named_with_both_rows(train, test, sentences):
    def row(key, text, family=None):
        return builders.labeled(key, text, family_id=family or key)

    other = builders.labeled("c", builders.mixed(3))
    found = integrity.leaks(*_sides([row(*train), other], [row(*test)]), GATE)
    assert len(found) == len(sentences)
    for sentence, start in zip(found, sentences, strict=True):
        assert sentence.startswith(start)
        assert sentence.endswith("b")


def test_personal_data_in_either_side_is_named():
    row = builders.labeled("a", "电话是13900000000，请回电")
    for sides in (_sides([row], []), _sides([], [row])):
        assert integrity.personal(sides) == ["row a still holds <PHONE>"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("电话是139 0000.0000，请回电", "<PHONE>"),
        ("电话是1\u00a03 9:0;0\u2028000!000，请回电", "<PHONE>"),
        ("写信到someone@\u200bexample.com吧", "<EMAIL>"),
    ],
)
def test_what_the_pass_overlooks_is_named_by_the_check(monkeypatch, text, kind):
    monkeypatch.setattr(personal_data, "replace", lambda text: text)
    assert integrity.personal(_sides([builders.labeled("a", text)], [])) == [
        f"row a still holds {kind}"
    ]


def test_a_spelling_that_the_pass_does_not_know_fails_the_check():
    text = f"电话是{'——！！——'.join('13900000000')}，请回电"
    assert personal_data.replace(text) == text
    rows = [builders.labeled("a", text)]
    assert integrity.personal(_sides(rows, [])) == ["row a still holds <PHONE>"]


def test_placeholders_are_no_personal_data():
    rows = [builders.labeled("a", "电话是<PHONE>，邮箱是<EMAIL>，<HANDLE> <ID_CARD><BANK_CARD>")]
    assert integrity.personal(_sides(rows, [])) == []


@pytest.mark.parametrize(
    ("side", "given", "there"), [("train", "test", "test"), ("test", "train", "train")]
)
def test_a_family_on_another_side_than_before_is_named(side, given, there):
    rows = [builders.labeled("a", family_id="f")]
    sides = _sides(rows, []) if side == "train" else _sides([], rows)
    assert integrity.moved(*sides, {"f": given}, {}) == [
        f"row a is in {side}, its family belongs to {there}"
    ]


@pytest.mark.parametrize("before", ["train", "test"])
def test_a_text_on_another_side_than_before_is_named_whatever_its_ids(before):
    row = builders.labeled("new", BASE, family_id="new family")
    texts = {row["text_hash"]: before}
    assert integrity.moved(*_sides([row], []), {}, texts) == (
        [] if before == "train" else ["row new is in train, its text was released in test"]
    )


@pytest.mark.parametrize(
    ("root", "how"),
    [
        (BASE, "read the same"),
        ("\u200b".join(BASE), "read the same"),
        (BASE[:-4] + "甲" + BASE[-3:], "jaccard=0."),
        (builders.mixed(7), None),
    ],
)
def test_roots_alike_on_both_sides_are_named_though_their_rows_are_not(root, how):
    sides = _sides(
        [builders.labeled("a", builders.mixed(2), family_id="f")],
        [builders.labeled("b", builders.mixed(3), family_id="g")],
    )
    found = integrity.leaks(*sides, GATE, {"f": BASE, "g": root})
    assert integrity.leaks(*sides, GATE) == []
    assert bool(found) == bool(how)
    if how:
        assert found[0].startswith(how)
        assert found[0].endswith("roots of Train family f and Test family g")


def test_a_public_row_in_test_is_named():
    rows = [builders.labeled("a", origin="public")]
    assert integrity.moved(*_sides([], rows), {}, {}) == [
        "row a is in test, its family belongs to train"
    ]
    assert integrity.moved(*_sides(rows, []), {}, {}) == []


def test_a_row_whose_terms_bar_training_is_named():
    rows = [builders.labeled("a", may_train=False), builders.labeled("b", may_redistribute=False)]
    assert integrity.barred(_sides(rows, [])) == ["row a"]
    assert integrity.barred(_sides([], rows)) == ["row a"]


@pytest.mark.parametrize(
    ("least", "sentences"),
    [
        (None, []),
        (1, ["M1b has 0 rows of 1"]),
        (4, ["M1b has 0 rows of 4"]),
        (5, ["M1a has 4 rows of 5", "M1b has 0 rows of 5"]),
    ],
)
def test_a_category_below_the_bound_is_named(clean, least, sentences):
    bounds = FREE.model_copy(update={"min_per_category": least})
    assert integrity.uncovered(clean, ("M1a", "M1b"), bounds) == sentences


@pytest.mark.parametrize(
    ("low", "high", "breach"),
    [
        (None, None, False),
        (0.5, 0.5, False),
        (0.51, None, True),
        (None, 0.49, True),
        (0.2, 0.8, False),
    ],
)
def test_a_share_of_safe_rows_out_of_bounds_is_named(clean, low, high, breach):
    bounds = FREE.model_copy(update={"min_safe_share": low, "max_safe_share": high})
    sentence = f"50.0% of rows are safe, bounds are {low} to {high}"
    assert integrity.unbalanced(clean, bounds) == ([sentence] if breach else [])


@pytest.mark.parametrize(("low", "breach"), [(None, False), (0.75, False), (0.76, True)])
def test_a_mean_agreement_below_the_bound_is_named(low, breach):
    shares = [0.5, 1.0, None]
    rows = [builders.labeled(str(n), agreement=share) for n, share in enumerate(shares)]
    bounds = FREE.model_copy(update={"min_agreement": low})
    sentence = f"mean agreement is 0.750, bound is {low}"
    assert integrity.disagreeing(_sides(rows[:1], rows[1:]), bounds) == (
        [sentence] if breach else []
    )


def test_the_leak_share_is_of_train_before_the_leaks_left():
    train, _ = _sides([builders.labeled(str(n)) for n in range(6)], [])
    drops = lineage.RELEASE_DROPS.build(
        {"prompt_id": f"d{n}", "family_id": "f", "drop_reason": reason}
        for n, reason in enumerate(["leak", "leak", "balance"])
    )
    assert integrity.leak_share(train, drops) == 0.25


def test_the_bounds_are_the_documented_ones():
    assert integrity.Bounds().max_leak_share == 0.02
    assert integrity.Bounds().min_per_category == 100


def _votes(abstained, count=100, reason="rejected: HTTP 400"):
    return lineage.JURY_VOTES.build(
        {
            "prompt_id": f"p{number:03}",
            "juror": "juror_1",
            "model": "m",
            "verdict": "abstain" if number < abstained else "safe",
            "reason": reason if number < abstained else None,
        }
        for number in range(count)
    )


@pytest.mark.parametrize(("abstained", "count"), [(90, 100), (0, 100), (49, 49)])
def test_a_juror_may_abstain_often_or_on_few_prompts(abstained, count):
    assert integrity.abstaining(_votes(abstained, count), integrity.Bounds()) == []


def test_a_juror_that_nearly_always_abstains_is_named_with_its_reason():
    assert integrity.abstaining(_votes(91), integrity.Bounds()) == [
        "juror_1 abstains on 91 of 100 prompts, mostly for 'rejected: HTTP 400'; mend its role, or "
        "take it off the jury"
    ]
    assert integrity.abstaining(_votes(100), integrity.Bounds(max_abstentions=None)) == []
