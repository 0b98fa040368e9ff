import json

import pytest

from chillguard import calls, identity, schema, synthesis
from tests.chillguard import builders

SMALL = builders.SMALL
POOL = schema.EXPANDED_KEYWORDS.build(
    [builders.keyword(code, f"{code}词{n}") for code in SMALL.codes for n in range(8)]
)
CONFIG = synthesis.SynthesisConfig(queries_per_category=5, prompts_per_query=3, top_k=10)
POSTS = {
    identity.post_id(builders.mixed(seed)): {
        "post_id": identity.post_id(builders.mixed(seed)),
        "text": builders.mixed(seed),
        **builders.TERMS,
    }
    for seed in range(12)
}
KEYS = sorted(POSTS)


def _draw(*keys, posts=POSTS):
    query = synthesis.queries(POOL, SMALL, CONFIG)[0]
    return synthesis.Draw(query, tuple(posts[key] for key in keys))


def _outcome(value, reason=None):
    key = synthesis.queries(POOL, SMALL, CONFIG)[0].query_id
    return calls.Outcome(key, "call", value, reason)


def _rows(draw, outcome):
    table = synthesis.rows([draw], [outcome])
    assert schema.SYNTHESIZED_PROMPTS.problems(table) == []
    return {row["parent_ids"][0]: row for row in table.to_pylist()}


def test_a_query_is_macro_label_micro_label_and_drawn_keywords():
    found = synthesis.queries(POOL, SMALL, CONFIG)
    assert len(found) == 5 * 6
    assert len({query.query_id for query in found}) == 30
    for query in found:
        assert len(set(query.keywords)) == 3
        assert all(word.startswith(query.category) for word in query.keywords)
        labels = [f"类{query.category[:2]}", f"类{query.category}"]
        assert query.text == " ".join([*labels, *query.keywords])
    assert len({query.keywords for query in found}) > 25


def test_more_queries_keep_the_earlier_ones():
    more = synthesis.queries(POOL, SMALL, CONFIG.model_copy(update={"queries_per_category": 9}))
    assert set(synthesis.queries(POOL, SMALL, CONFIG)) < set(more)


def test_a_category_without_keywords_still_has_its_queries():
    found = synthesis.queries(schema.EXPANDED_KEYWORDS.build([]), SMALL, CONFIG)
    assert {query.text for query in found if query.category == "M1a"} == {"类M1 类M1a"}


def test_one_per_cent_more_keywords_changes_few_queries():
    def words(count):
        return [builders.keyword("M1a", f"词{n}") for n in range(count)]

    config = synthesis.SynthesisConfig(queries_per_category=400)
    before, after = (
        synthesis.queries(schema.EXPANDED_KEYWORDS.build(words(n)), SMALL, config)[:400]
        for n in (100, 101)
    )
    changed = sum(one != two for one, two in zip(before, after, strict=True))
    assert 0 < changed < 400 * 0.06


def test_one_per_cent_more_posts_changes_few_draws():
    config = synthesis.SynthesisConfig(queries_per_category=100)
    asked = synthesis.queries(POOL, SMALL, config)
    keys = [identity.digest(n) for n in range(101)]
    posts = {key: {"post_id": key} for key in keys}
    before = synthesis.draws(asked, [keys[:100]] * len(asked), posts, config)
    after = synthesis.draws(asked, [keys] * len(asked), posts, config)
    changed = sum(one != two for one, two in zip(before, after, strict=True))
    assert 0 < changed < len(asked) * 0.09


def test_draws_ignore_the_order_of_the_nearest_and_pair_with_their_query():
    asked = synthesis.queries(POOL, SMALL, CONFIG)[:2]
    one = synthesis.draws(asked, [KEYS[:6], KEYS[6:]], POSTS, CONFIG)
    two = synthesis.draws(asked, [KEYS[5::-1], KEYS[:5:-1]], POSTS, CONFIG)
    assert one == two
    assert [draw.query for draw in one] == asked
    assert {post["post_id"] for post in one[0].posts} < set(KEYS[:6])
    assert [len(draw.posts) for draw in one] == [3, 3]


def test_queries_and_nearest_must_pair_up():
    with pytest.raises(ValueError):
        synthesis.draws(synthesis.queries(POOL, SMALL, CONFIG), [KEYS], POSTS, CONFIG)


def test_a_request_shows_the_texts_by_number_and_asks_for_as_many_prompts():
    draw = _draw(*KEYS[:2])
    (request,) = synthesis.requests([draw, _draw()], SMALL, CONFIG)
    user = request.messages[1]["content"]
    assert request.row_id == draw.query.query_id
    assert f'<text id="1">\n{POSTS[KEYS[0]]["text"]}\n</text>' in user
    assert f'<text id="2">\n{POSTS[KEYS[1]]["text"]}\n</text>' in user
    assert "、".join(draw.query.keywords) in user
    prompts = request.answer_schema["properties"]["prompts"]
    assert prompts["minItems"] == prompts["maxItems"] == 2
    assert prompts["items"]["properties"]["source"]["maximum"] == 2
    json.dumps(request.answer_schema)


def test_an_answer_is_read_by_source_number_whatever_its_order():
    entries = [
        {"source": 2, "prompt": " 二 "},
        {"source": 1, "prompt": "一"},
        {"source": 1, "prompt": "又一"},
        {"source": 3, "prompt": "  "},
        {"source": "4", "prompt": "四"},
        {"source": 5, "prompt": None},
        {"prompt": "没有编号"},
        "不是对象",
    ]
    assert synthesis.parse(builders.answer({"prompts": entries})) == {1: "一", 2: "二"}


@pytest.mark.parametrize("text", ["{}", '{"prompts": "一"}', "[]", "好的"])
def test_an_answer_without_a_list_of_prompts_is_unreadable(text):
    with pytest.raises(calls.Unreadable):
        synthesis.parse(builders.answer(text))


def test_each_prompt_belongs_to_the_family_of_its_own_post():
    found = _rows(_draw(*KEYS[:3]), _outcome({1: "问一？", 2: "问二？", 3: "问三？"}))
    assert set(found) == set(KEYS[:3])
    for number, key in enumerate(KEYS[:3]):
        row = found[key]
        assert row["text"] == f"问{'一二三'[number]}？"
        assert row["family_id"] == key
        assert sorted(row["context_post_ids"]) == sorted(set(KEYS[:3]) - {key})
        assert row["drop_reason"] is None
        assert (row["origin"], row["call_key"]) == ("rag", "call")
        assert (row["intended_label"], row["intended_category"]) == ("unsafe", "M1a")


def test_a_missing_prompt_is_a_dropped_slot():
    found = _rows(_draw(*KEYS[:3]), _outcome({1: "问一？", 3: "问三？"}))
    row = found[KEYS[1]]
    assert (row["text"], row["drop_reason"]) == (None, "no_source")
    assert row["drop_evidence"] == "no prompt for text 2"
    assert [found[key]["drop_reason"] for key in (KEYS[0], KEYS[2])] == [None, None]


def test_a_quarantined_query_drops_every_slot_with_the_reason():
    found = _rows(_draw(*KEYS[:3]), _outcome(None, "not JSON"))
    assert [(r["drop_reason"], r["drop_evidence"]) for r in found.values()] == [
        ("quarantined", "not JSON")
    ] * 3
    assert len({row["prompt_id"] for row in found.values()}) == 3


def test_numbers_beyond_the_texts_are_ignored():
    assert len(_rows(_draw(*KEYS[:2]), _outcome({1: "问一？", 2: "问二？", 3: "问三？"}))) == 2


def test_equal_prompts_of_different_posts_are_different_rows():
    found = _rows(_draw(*KEYS[:2]), _outcome({1: "一样？", 2: "一样？"}))
    assert len({row["prompt_id"] for row in found.values()}) == 2


def test_a_query_that_drew_no_post_makes_no_row():
    assert synthesis.rows([_draw()], []).num_rows == 0


@pytest.mark.parametrize("term", ["may_redistribute", "may_train"])
def test_terms_are_the_strictest_of_all_posts_shown(term):
    posts = {**POSTS, KEYS[0]: {**POSTS[KEYS[0]], term: False}}
    found = _rows(_draw(*KEYS[:2], posts=posts), _outcome({1: "问一？", 2: "问二？"}))
    assert [row[term] for row in found.values()] == [False, False]


def test_every_slot_of_a_run_is_accounted_for():
    asked = synthesis.queries(POOL, SMALL, CONFIG)
    drawn = synthesis.draws(asked, [KEYS[: n % 5] for n in range(len(asked))], POSTS, CONFIG)

    def reply(request):
        number = len(reply.seen)
        reply.seen.append(request)
        if number % 3 == 0:
            return None
        return {"prompts": [{"source": 1, "prompt": f"第{number}问？"}]}

    reply.seen = []
    ask = builders.Ask(synthesizer=reply)
    requests = synthesis.requests(drawn, SMALL, CONFIG)
    table = synthesis.rows(drawn, ask("synthesizer", requests, synthesis.parse))
    assert schema.SYNTHESIZED_PROMPTS.problems(table) == []
    assert table.num_rows == sum(len(draw.posts) for draw in drawn)
    kept = [row for row in table.to_pylist() if row["drop_reason"] is None]
    assert len(kept) == sum(number % 3 != 0 for number in range(len(reply.seen)))
