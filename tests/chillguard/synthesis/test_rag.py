"""From keywords to queries, from posts to draws, and from answers to rows."""

import json

import pytest

from chillguard import identity
from chillguard.rows import guards
from chillguard.synthesis import rag
from chillguard.tables import lineage
from chillguard.text import matching
from tests.chillguard import builders

SMALL = builders.SMALL
POOL = lineage.EXPANDED_KEYWORDS.build(
    [builders.keyword(code, f"{code}词{n}") for code in SMALL.codes for n in range(8)]
)
CONFIG = rag.SynthesisConfig(queries_per_category=5, prompts_per_query=3, top_k=10, twin_queries=0)
GUARD = guards.GuardConfig()
LAYOUTS = pytest.mark.parametrize("layout", ["json", "delimited"])
ONE, TWO, THREE = "怎样给阳台的花浇水？", "去图书馆借书要带什么？", "夜市的烧烤几点开始卖？"
POSTS = {
    identity.post_id(builders.mixed(seed)): {
        "post_id": identity.post_id(builders.mixed(seed)),
        "family_id": matching.family_id(builders.mixed(seed)),
        "text": builders.mixed(seed),
        **builders.TERMS,
    }
    for seed in range(12)
}
KEYS = sorted(POSTS)


def _draw(*keys, posts=POSTS):
    query = rag.queries(POOL, SMALL, CONFIG)[0]
    return rag.Draw(query, tuple(posts[key] for key in keys))


def _generate(drawn, reply, config=CONFIG):
    """The rows of draws and what was asked; `reply` gives prompts by number, or a raw answer."""

    def answered(request):
        found = reply(request)
        return builders.numbered_answer("source", found) if isinstance(found, dict) else found

    ask = builders.Ask(synthesizer=answered)
    table = rag.generate(drawn, SMALL, config, GUARD, ask)
    assert lineage.SYNTHESIZED_PROMPTS.problems(table) == []
    return table.to_pylist(), ask


def _rows(draw, answer, config=CONFIG):
    rows, _ = _generate([draw], lambda request: answer, config)
    return {row["parent_ids"][0]: row for row in rows}


def test_a_query_is_macro_label_micro_label_and_drawn_keywords():
    found = rag.queries(POOL, SMALL, CONFIG)
    assert len(found) == 5 * 6
    assert len({query.query_id for query in found}) == 30
    for query in found:
        assert len(set(query.keywords)) == 3
        assert all(word.startswith(query.category) for word in query.keywords)
        labels = [f"类{query.category[:2]}", f"类{query.category}"]
        assert query.text == " ".join([*labels, *query.keywords])
    assert len({query.keywords for query in found}) > 25


def test_more_queries_keep_the_earlier_ones():
    more = rag.queries(POOL, SMALL, CONFIG.model_copy(update={"queries_per_category": 9}))
    assert set(rag.queries(POOL, SMALL, CONFIG)) < set(more)


def test_a_category_without_keywords_still_has_its_queries():
    found = rag.queries(lineage.EXPANDED_KEYWORDS.build([]), SMALL, CONFIG)
    assert {query.text for query in found if query.category == "M1a"} == {"类M1 类M1a"}


def test_one_per_cent_more_keywords_changes_few_queries():
    def words(count):
        return [builders.keyword("M1a", f"词{n}") for n in range(count)]

    config = rag.SynthesisConfig(queries_per_category=400, twin_queries=0)
    before, after = (
        rag.queries(lineage.EXPANDED_KEYWORDS.build(words(n)), SMALL, config)[:400]
        for n in (100, 101)
    )
    changed = sum(one != two for one, two in zip(before, after, strict=True))
    assert 0 < changed < 400 * 0.06


def test_posts_that_are_spelled_anew_stay_drawn():
    config = rag.SynthesisConfig(queries_per_category=20, twin_queries=0)
    asked = rag.queries(POOL, SMALL, config)

    def drawn(spelled):
        posts = {}
        for seed in range(40):
            text = spelled(builders.mixed(seed))
            key = identity.post_id(text)
            posts[key] = {"post_id": key, "family_id": matching.family_id(text), "text": text}
        made = rag.draws(asked, [[*posts]] * len(asked), posts, config)
        return [[post["family_id"] for post in draw.posts] for draw in made]

    assert drawn(str) == drawn("·".join) == drawn(lambda text: f"{text}😀")


def test_one_per_cent_more_posts_changes_few_draws():
    config = rag.SynthesisConfig(queries_per_category=100, twin_queries=0)
    asked = rag.queries(POOL, SMALL, config)
    keys = [identity.digest(n) for n in range(101)]
    posts = {key: {"post_id": key, "family_id": f"f {key}"} for key in keys}
    before = rag.draws(asked, [keys[:100]] * len(asked), posts, config)
    after = rag.draws(asked, [keys] * len(asked), posts, config)
    changed = sum(one != two for one, two in zip(before, after, strict=True))
    assert 0 < changed < len(asked) * 0.09


def test_draws_ignore_the_order_of_the_nearest_and_pair_with_their_query():
    asked = rag.queries(POOL, SMALL, CONFIG)[:2]
    one = rag.draws(asked, [KEYS[:6], KEYS[6:]], POSTS, CONFIG)
    two = rag.draws(asked, [KEYS[5::-1], KEYS[:5:-1]], POSTS, CONFIG)
    assert one == two
    assert [draw.query for draw in one] == asked
    assert {post["post_id"] for post in one[0].posts} < set(KEYS[:6])
    assert [len(draw.posts) for draw in one] == [3, 3]


def test_queries_and_nearest_must_pair_up():
    with pytest.raises(ValueError):
        rag.draws(rag.queries(POOL, SMALL, CONFIG), [KEYS], POSTS, CONFIG)


@LAYOUTS
def test_a_request_shows_the_texts_by_number_and_asks_for_as_many_prompts(layout):
    draw = _draw(*KEYS[:2])
    config = CONFIG.model_copy(update={"layout": layout})
    (request,) = rag.requests([draw], SMALL, config)
    user = request.messages[1]["content"]
    assert request.row_id == draw.draw_id
    assert f'<text id="1">\n{POSTS[KEYS[0]]["text"]}\n</text>' in user
    assert f'<text id="2">\n{POSTS[KEYS[1]]["text"]}\n</text>' in user
    assert "、".join(draw.query.keywords) in user
    assert request.template.startswith("synthesis/generate@")
    if layout == "delimited":
        assert request.answer_schema is None
    else:
        prompts = request.answer_schema["properties"]["prompts"]
        assert prompts["minItems"] == prompts["maxItems"] == 2
        assert prompts["items"]["properties"]["source"]["maximum"] == 2
        json.dumps(request.answer_schema)


def test_a_query_that_drew_no_post_is_no_draw():
    asked = rag.queries(POOL, SMALL, CONFIG)[:2]
    drawn = rag.draws(asked, [[], KEYS], POSTS, CONFIG)
    assert [draw.query for draw in drawn] == [asked[1]]
    assert _generate([], None)[0] == []


@LAYOUTS
def test_each_prompt_belongs_to_the_family_of_its_own_post(layout):
    texts = {1: ONE, 2: TWO, 3: THREE}
    answer = texts if layout == "json" else "；".join(texts.values())
    found = _rows(_draw(*KEYS[:3]), answer, CONFIG.model_copy(update={"layout": layout}))
    assert set(found) == set(KEYS[:3])
    for number, key in enumerate(KEYS[:3], 1):
        row = found[key]
        assert row["text"] == texts[number]
        assert row["family_id"] == POSTS[key]["family_id"]
        assert sorted(row["context_post_ids"]) == sorted(set(KEYS[:3]) - {key})
        assert row["drop_reason"] is None
        assert (row["origin"], row["method"], row["is_twin"]) == ("rag", "rag", False)
        assert len(row["call_key"]) == 64
        assert (row["intended_label"], row["intended_category"]) == ("unsafe", "M1a")


def test_a_missing_prompt_is_a_dropped_slot():
    found = _rows(_draw(*KEYS[:3]), {1: ONE, 3: THREE})
    row = found[KEYS[1]]
    assert (row["text"], row["drop_reason"]) == (None, "no_source")
    assert row["drop_evidence"] == "no prompt for text 2"
    assert [found[key]["drop_reason"] for key in (KEYS[0], KEYS[2])] == [None, None]


@pytest.mark.parametrize(("answer", "says"), [(None, "refused"), ("好的", "not JSON")])
def test_a_quarantined_query_drops_every_slot_with_the_reason(answer, says):
    found = _rows(_draw(*KEYS[:3]), answer)
    assert [(r["drop_reason"], r["drop_evidence"]) for r in found.values()] == [
        ("quarantined", says)
    ] * 3
    assert len({row["prompt_id"] for row in found.values()}) == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("抱歉，我无法提供这样的内容。", "refusal"),
        (f"以下是改写后的提问：{ONE}", "meta_text"),
        ("散步？", "too_short"),
        ("週末はどこの公園を散歩したらいいですか？", "language"),
    ],
)
def test_a_guarded_prompt_is_dropped_and_its_neighbours_stay(text, reason):
    found = _rows(_draw(*KEYS[:2]), {1: text, 2: TWO})
    assert (found[KEYS[0]]["text"], found[KEYS[0]]["drop_reason"]) == (text, reason)
    assert found[KEYS[1]]["drop_reason"] is None


def test_a_prompt_in_the_words_of_its_post_is_no_copy():
    text = POSTS[KEYS[0]]["text"]
    assert _rows(_draw(KEYS[0]), {1: text})[KEYS[0]]["drop_reason"] is None


def test_equal_prompts_of_different_posts_are_different_rows():
    found = _rows(_draw(*KEYS[:2]), {1: ONE, 2: ONE})
    assert len({row["prompt_id"] for row in found.values()}) == 2


@pytest.mark.parametrize("term", ["may_redistribute", "may_train"])
def test_terms_are_the_strictest_of_all_posts_shown(term):
    posts = {**POSTS, KEYS[0]: {**POSTS[KEYS[0]], term: False}}
    found = _rows(_draw(*KEYS[:2], posts=posts), {1: ONE, 2: TWO})
    assert [row[term] for row in found.values()] == [False, False]


@LAYOUTS
def test_every_slot_of_a_run_is_accounted_for(layout):
    asked = rag.queries(POOL, SMALL, CONFIG)
    drawn = rag.draws(asked, [KEYS[: n % 5] for n in range(len(asked))], POSTS, CONFIG)
    first = {draw.draw_id: draw for draw in drawn[::3]}

    def reply(request):
        if request.row_id not in first:
            return None
        text = first[request.row_id].posts[0]["text"]
        return {1: text} if layout == "json" else f"{text}；；谢谢。；再见。；好的。；您好。"

    rows, ask = _generate(drawn, reply, CONFIG.model_copy(update={"layout": layout}))
    assert len(ask.asked) == len(drawn)
    assert len(rows) == sum(len(draw.posts) for draw in drawn)
    kept = [row for row in rows if row["drop_reason"] is None]
    assert len(kept) == len(first)
    assert all(row["text"] == POSTS[row["parent_ids"][0]]["text"] for row in kept)
