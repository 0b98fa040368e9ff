"""Benign twins: safe prompts on purpose, asked for beside the unsafe ones of the same draw."""

from collections import Counter

import pytest

from chillguard import identity, taxonomy
from chillguard.rows import guards
from chillguard.synthesis import rag, twins
from chillguard.tables import lineage
from tests.chillguard import builders

SMALL = builders.SMALL
KINDS = twins.twin_kinds()
POOL = lineage.EXPANDED_KEYWORDS.build(
    [builders.keyword(code, f"{code}词{n}") for code in SMALL.codes for n in range(8)]
)
POSTS = {
    f"p{n}": {"post_id": f"p{n}", "family_id": f"f{n}", "text": builders.mixed(n), **builders.TERMS}
    for n in range(9)
}


def _config(**settings):
    return rag.SynthesisConfig(queries_per_category=10, prompts_per_query=3, **settings)


def _draws(**settings):
    config = _config(**settings)
    asked = rag.queries(POOL, SMALL, config)
    return rag.draws(asked, [[*POSTS]] * len(asked), POSTS, config), config


def _generate(**settings):
    drawn, config = _draws(**settings)

    def reply(request):
        texts = [builders.mixed(f"{request.row_id} {n}") for n in range(3)]
        return builders.numbered_answer("source", dict(enumerate(texts, 1)))

    ask = builders.Ask(synthesizer=reply)
    table = rag.generate(drawn, SMALL, config, guards.GuardConfig(), ask)
    assert lineage.SYNTHESIZED_PROMPTS.problems(table) == []
    return table.to_pylist(), ask


def test_the_kinds_that_ship_are_unique_and_told_in_chinese():
    shipped = taxonomy.packaged("benign_twins.yaml")
    assert [kind.id for kind in KINDS] == [entry["id"] for entry in shipped]
    for field in ("id", "name_zh", "instruction_zh"):
        assert len({getattr(kind, field) for kind in KINDS}) == len(KINDS) >= 4
    for kind in KINDS:
        assert kind.id.isascii()
        assert kind.id.isidentifier()
        assert kind.instruction_zh.startswith("提问者")
        assert kind.instruction_zh.endswith("。")


@pytest.mark.parametrize(("wanted", "made"), [(0, 0), (4, 4), (10, 10), (99, 10)])
def test_a_category_has_at_most_so_many_draws_for_twins(wanted, made):
    drawn, _ = _draws(twin_queries=wanted)
    twins = Counter(draw.query.category for draw in drawn if draw.twin)
    assert twins == (dict.fromkeys(SMALL.codes, made) if made else {})
    assert sum(draw.twin is None for draw in drawn) == 10 * len(SMALL.codes)


def test_the_kinds_take_turns_in_every_category():
    drawn, _ = _draws(twin_queries=2 * len(KINDS))
    for code in SMALL.codes:
        turns = [draw.twin for draw in drawn if draw.twin and draw.query.category == code]
        assert turns == [*KINDS, *KINDS]


def test_a_twin_is_made_from_the_posts_of_the_unsafe_draw_and_is_another_draw():
    drawn, _ = _draws(twin_queries=10)
    pairs = list(zip(drawn[::2], drawn[1::2], strict=True))
    for unsafe, twin in pairs:
        assert (unsafe.twin, unsafe.method) == (None, "rag")
        assert twin.method == f"twin_{twin.twin.id}"
        assert unsafe.query is twin.query
        assert unsafe.posts == twin.posts
    assert len({draw.draw_id for draw in drawn}) == len(drawn)


def test_the_id_of_a_draw_depends_on_query_method_and_posts_in_whatever_order():
    known = identity.draw_id("q", "rag", ["a", "b"])
    assert known == identity.draw_id("q", "rag", ["b", "a"])
    others = [("r", "rag", ["a", "b"]), ("q", "twin_law", ["a", "b"]), ("q", "rag", ["a", "c"])]
    assert known not in {identity.draw_id(*other) for other in others}


def test_twins_are_safe_and_marked_and_of_the_family_and_category_of_their_post():
    rows, _ = _generate(twin_queries=4)
    by_twin = Counter(row["is_twin"] for row in rows)
    assert by_twin == {True: 4 * 3 * len(SMALL.codes), False: 10 * 3 * len(SMALL.codes)}
    unsafe = {(r["query_id"], r["family_id"]): r for r in rows if not r["is_twin"]}
    for row in rows:
        assert row["intended_label"] == ("safe" if row["is_twin"] else "unsafe")
        assert row["method"].startswith("twin_") is row["is_twin"]
        assert (row["origin"], row["parent_ids"]) == ("rag", [row["family_id"].replace("f", "p")])
        beside = unsafe[row["query_id"], row["family_id"]]
        for name in ("intended_category", "context_post_ids", "may_train", "may_redistribute"):
            assert row[name] == beside[name]
        assert (row["prompt_id"] == beside["prompt_id"]) is not row["is_twin"]


@pytest.mark.parametrize("layout", ["json", "delimited"])
def test_twins_are_asked_for_by_a_template_of_their_own_that_names_the_kind(layout):
    drawn, config = _draws(twin_queries=4, layout=layout)
    requests = {request.row_id: request for request in rag.requests(drawn, SMALL, config)}
    for draw in drawn:
        request = requests[draw.draw_id]
        user = request.messages[1]["content"]
        name = request.template.partition("@")[0]
        assert name == ("synthesis/twin" if draw.twin else "synthesis/generate")
        assert [kind.name_zh in user for kind in KINDS] == [kind is draw.twin for kind in KINDS]
        assert draw.twin is None or draw.twin.instruction_zh in user
    assert len(requests) == len(drawn)


def test_twins_change_no_request_for_unsafe_prompts():
    _, without = _generate(twin_queries=0)
    _, with_them = _generate(twin_queries=4)
    assert without.keys("synthesizer").items() <= with_them.keys("synthesizer").items()


def test_more_twins_keep_the_earlier_ones():
    few, more = (_generate(twin_queries=count)[1].keys("synthesizer") for count in (4, 7))
    assert few.items() < more.items()
