import re

import pytest

from chillguard import keywords, taxonomy
from chillguard.calls import call
from chillguard.tables import lineage
from chillguard.text import matching, screening
from tests.chillguard import builders

SMALL = builders.SMALL
EMPTY = lineage.EXPANDED_KEYWORDS.build([])
PLAIN = {code: [{"zh": f"词{code}", "en": f"term {code}"}] for code in SMALL.codes}
SEEDS = keywords.seed_rows(PLAIN, SMALL, "own.yaml")


def _config(target=4, **columns):
    return keywords.KeywordsConfig(target=target, **columns)


def _pairs(*terms):
    return {"keywords": [{"zh": zh, "en": f"term {zh}"} for zh in terms]}


def _inventive(per_answer=2):
    """An expander that never runs out: each answer depends on its request alone."""

    def reply(request):
        start = len(request.messages[1]["content"])
        return _pairs(*(f"{request.row_id}新{start + n}" for n in range(per_answer)))

    return builders.Ask(expander=reply)


def _grown(ask, pool=EMPTY, config=None):
    return keywords.expand(pool, SEEDS, SMALL, config or _config(), ask)


def _sizes(table):
    return {code: len(rows) for code, rows in keywords.by_category(table).items()}


def test_the_packaged_seeds_are_twenty_per_micro_category():
    whole = taxonomy.parse(taxonomy.packaged("taxonomy.yaml"), "taxonomy.yaml")
    found = keywords.seed_rows(taxonomy.packaged("seed_keywords.yaml"), whole, "seeds")
    assert lineage.SEED_KEYWORDS.problems(found) == []
    assert _sizes(found) == dict.fromkeys(whole.codes, 20)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (None, "categories differ"),
        ([], "categories differ"),
        ({**PLAIN, "X9": []}, "['X9']"),
        ({code: PLAIN[code] for code in SMALL.codes[1:]}, "['M1a']"),
        ({**PLAIN, "M2c": [{"zh": "词 M1a！", "en": "x"}]}, "'词 M1a！' of M2c stands in M1a too"),
        ({**PLAIN, "M2c": PLAIN["M2c"] * 2}, "'词M2c' of M2c stands in M2c too"),
    ],
)
def test_an_unusable_seed_file_is_named_with_the_reason(document, sentence):
    with pytest.raises(taxonomy.TaxonomyError) as caught:
        keywords.seed_rows(document, SMALL, "own.yaml")
    assert str(caught.value).startswith("keyword file own.yaml: ")
    assert sentence in str(caught.value)


def test_every_category_grows_to_its_target_and_not_beyond():
    ask = _inventive(3)
    found = _grown(ask, config=_config(targets={"M2c": 6}))
    assert lineage.EXPANDED_KEYWORDS.problems(found) == []
    assert _sizes(found) == {**dict.fromkeys(SMALL.codes, 4), "M2c": 6}
    assert len(ask.rows("expander")) == 6 + 1


def test_a_request_names_the_existing_terms_and_how_many_are_wanted():
    ask = _inventive()
    _grown(ask)
    (first,) = [request for _, request in ask.asked if request.row_id == "M1a"][:1]
    assert "已有的词：词M1a\n" in first.messages[1]["content"]
    assert "请再给出 3 个新词" in first.messages[1]["content"]
    assert "M1 类M1" in first.messages[1]["content"]


def test_new_keywords_keep_the_call_that_made_them_and_seeds_have_none():
    ask = _inventive()
    found = _grown(ask).to_pylist()
    keys = {call.call_key("expander", "1", request, 0) for _, request in ask.asked}
    assert {row["call_key"] for row in found if row["provenance"] == "expanded"} == keys
    assert {row["call_key"] for row in found if row["provenance"] == "seed"} == {None}


def test_a_term_stands_once_over_all_categories_and_spellings():
    ask = builders.Ask(expander=lambda request: _pairs("同一个词", "同一个 詞", "词M1b", "！！"))
    found = _grown(ask)
    forms = [matching.match_text(zh) for zh in builders.columns(found, "zh")]
    assert sorted(forms) == sorted(
        [*(matching.match_text(f"词{c}") for c in SMALL.codes), "同一个词"]
    )
    assert _sizes(found)["M1a"] == 2


@pytest.mark.parametrize("en", ["term M1b", "Term  M1B", "TERM M1b!"])
def test_an_english_form_that_another_keyword_has_is_not_taken_again(en):
    ask = builders.Ask(expander=lambda request: {"keywords": [{"zh": "新", "en": en}]})
    assert builders.columns(_grown(ask), "zh") == builders.columns(SEEDS, "zh")


def test_a_seed_joins_whatever_its_english_form():
    pool = _grown(_inventive(3), config=_config(target=6))
    same = next(row["en"] for row in pool.to_pylist() if row["provenance"] == "expanded")
    more = {**PLAIN, "M1a": [*PLAIN["M1a"], {"zh": "另一个种子", "en": same}]}
    seeds = keywords.seed_rows(more, SMALL, "own.yaml")
    found = keywords.expand(pool, seeds, SMALL, _config(target=2), _inventive())
    assert "另一个种子" in builders.columns(found, "zh")


def test_thirty_one_categories_can_have_thirty_one_targets():
    whole = taxonomy.parse(taxonomy.packaged("taxonomy.yaml"), "taxonomy.yaml")
    seeds = keywords.seed_rows(taxonomy.packaged("seed_keywords.yaml"), whole, "seeds")
    targets = {code: 21 + number for number, code in enumerate(whole.codes)}
    config = keywords.KeywordsConfig(targets=targets, rounds=40)

    def reply(request):
        asked = len(request.messages[1]["content"])
        terms = [f"{request.row_id}词{asked}之{n}" for n in range(7)]
        return {"keywords": [{"zh": term, "en": f"{term} en"} for term in terms]}

    found = keywords.expand(EMPTY, seeds, whole, config, builders.Ask(expander=reply))
    assert _sizes(found) == targets
    assert len(set(targets.values())) == 31


def test_a_target_of_an_unknown_category_is_refused_before_anything_is_asked():
    ask = _inventive()
    with pytest.raises(taxonomy.TaxonomyError, match=r"targets: .* no category 'M9z'; name one of"):
        _grown(ask, config=_config(targets={"M9z": 200}))
    assert ask.asked == []


def test_a_large_target_is_asked_for_in_answers_that_hold_it():
    wanted = []

    def reply(request):
        (told,) = re.findall(r"\d+", request.messages[-1]["content"].rpartition("词M1a")[2])[:1]
        wanted.append(int(told))
        return _pairs(*(f"{len(wanted)}新{n}" for n in range(int(told))))

    one = keywords.KeywordsConfig(target=1, targets={"M1a": 200})
    found = _grown(builders.Ask(expander=reply), config=one)
    assert _sizes(found)["M1a"] == 200
    assert wanted == [60, 60, 60, 19]
    assert keywords.under_filled(found, SMALL, one) == {}


def test_a_category_is_asked_until_a_round_brings_it_nothing_new():
    def reply(request):
        return _pairs("独一") if request.row_id == "M1a" else None

    ask = builders.Ask(expander=reply)
    found = _grown(ask, config=_config(rounds=9))
    assert sorted(ask.rows("expander")[:-1]) == sorted(SMALL.codes)
    assert ask.rows("expander")[-1] == "M1a"
    assert keywords.under_filled(found, SMALL, _config()) == {
        **dict.fromkeys(SMALL.codes, 3),
        "M1a": 2,
    }


def test_rounds_bound_the_requests():
    ask = _inventive(1)
    assert set(_sizes(_grown(ask, config=_config(target=40, rounds=2))).values()) == {3}
    assert len(ask.asked) == 2 * len(SMALL.codes)


def test_the_pool_keeps_every_keyword_whatever_the_seeds_and_targets_become():
    pool = _grown(_inventive(3), config=_config(target=6))
    ask = _inventive()
    fewer = SEEDS.slice(0, 2)
    found = keywords.expand(pool, fewer, SMALL, _config(target=2), ask)
    assert found.equals(pool)
    assert ask.asked == []


def test_a_new_seed_joins_a_full_pool_and_changes_nothing_else():
    pool = _grown(_inventive(3))
    more = keywords.seed_rows(
        {**PLAIN, "M1a": [*PLAIN["M1a"], {"zh": "新种子", "en": "new"}]}, SMALL, "own.yaml"
    )
    found = keywords.expand(pool, more, SMALL, _config(), _inventive())
    rest = [row for row in found.to_pylist() if row["zh"] != "新种子"]
    assert rest == pool.to_pylist()
    assert found.num_rows == pool.num_rows + 1


def test_a_seed_that_the_pool_holds_as_expanded_stays_as_it_is():
    pool = _grown(builders.Ask(expander=lambda request: _pairs(f"{request.row_id}独有")))
    again = keywords.seed_rows(
        {**PLAIN, "M1a": [*PLAIN["M1a"], {"zh": "M1a独有", "en": "x"}]}, SMALL, "own.yaml"
    )
    nothing = builders.Ask(expander=lambda request: None)
    assert keywords.expand(pool, again, SMALL, _config(), nothing).equals(pool)


def test_the_same_pool_gives_the_same_requests():
    asks = [_inventive(1), _inventive(1)]
    pool = _grown(_inventive(1), config=_config(rounds=1))
    tables = [_grown(ask, pool, _config(target=5, rounds=2)) for ask in asks]
    assert asks[0].asked == asks[1].asked != []
    assert tables[0].equals(tables[1])


def test_the_order_of_answers_is_irrelevant():
    tables = []
    for step in (1, -1):
        ask = builders.Ask(expander=lambda request: _pairs("抢手的词", f"{request.row_id}独有"))
        ask.step = step
        tables.append(_grown(ask))
    assert tables[0].equals(tables[1])


def test_a_screened_term_never_enters_the_pool():
    rule = screening.rules()[1]
    zh = "".join(group[0] for group in rule.all_of)
    assert screening.screen(zh) == rule.id
    ask = builders.Ask(expander=lambda request: _pairs(zh, f"{request.row_id}独有"))
    found = _grown(ask)
    assert zh not in builders.columns(found, "zh")
    assert _sizes(found)["M1a"] == 2


def test_a_pool_that_cannot_grow_asks_the_same_thing_at_every_refresh():
    asks = [builders.Ask(expander=lambda request: _pairs("词M1a")) for _ in range(2)]
    first = _grown(asks[0])
    assert _grown(asks[1], first).equals(first)
    assert asks[0].asked == asks[1].asked


def test_an_answer_is_read_as_stripped_pairs_without_what_is_no_term():
    text = {
        "keywords": [
            {"zh": " 词 ", "en": "term "},
            {"zh": "", "en": "x"},
            {"zh": "只有中文"},
            {"zh": "长" * 41, "en": "x"},
            {"zh": "长" * 40, "en": "x"},
            "不是对象",
        ]
    }
    assert keywords.parse(builders.answer(text)) == [("词", "term"), ("长" * 40, "x")]


@pytest.mark.parametrize("text", ["{}", '{"keywords": {"zh": "词"}}', "[]", "好的"])
def test_an_answer_without_a_list_of_keywords_is_unreadable(text):
    with pytest.raises(call.Unreadable):
        keywords.parse(builders.answer(text))


def test_nothing_is_lacking_in_a_full_pool():
    assert keywords.under_filled(_grown(_inventive(3)), SMALL, _config()) == {}
    assert keywords.under_filled(EMPTY, SMALL, _config(targets={"M1a": 1})) == {
        **dict.fromkeys(SMALL.codes, 4),
        "M1a": 1,
    }
