import pytest

from chillguard import annotation, keywords, settings
from chillguard.calls import call
from chillguard.labeling import anchors
from chillguard.lineage import plan
from chillguard.rewriting import rewrites
from chillguard.tables import lineage
from resources.home.collected import collected
from tests.chillguard import builders

SMALL = builders.SMALL
INDEX = lineage.POST_INDEX.build(
    {
        "post_id": key,
        "point_id": f"point {key}",
        "sources": ["one"],
        "text": builders.mixed(key),
        "embedding_model": "m@1",
        "dimension": 8,
        "retrievable": True,
        **builders.TERMS,
    }
    for key in ("p1", "p2", "p3")
)
SETTINGS = settings.Settings.model_validate(
    {
        "keywords": {"target": 2},
        "synthesis": {"queries_per_category": 2, "prompts_per_query": 2, "twin_queries": 1},
        # All that fit: eleven ask a model, the others are transforms.
        "rewriting": {"rewrites_per_prompt": 99},
    }
)
REAL = [builders.record(builders.mixed(0), label="safe"), builders.record(builders.mixed(1))]
PUBLIC = [
    builders.record(builders.mixed(2)),
    builders.record("Where can I learn to swim?", lang="en"),
]


class _Ledger:
    """An ask per asset: knows the answers of some roles, and counts what it is asked."""

    def __init__(self, **known):
        self.known = known
        self.asked = {}

    def ask_for(self, asset):
        def ask(role, requests, parse, total=None):
            for request in requests:
                self.asked.setdefault((asset, role), []).append(request.row_id)
                text = self.known.get(role.partition("_")[0])
                if text is None:
                    key = call.call_key(role, "main", request, request.repeat)
                    yield call.Outcome(request.row_id, key, None, call.UNASKED)
                    continue
                try:
                    yield call.Outcome(request.row_id, "", parse(builders.answer(text)))
                except call.Unreadable as error:
                    yield call.Outcome(request.row_id, "", error.fallback, str(error))

        return ask

    @property
    def counts(self):
        return {key: len(rows) for key, rows in self.asked.items()}


def _rewrite(text):
    return builders.numbered_answer("method", {1: text})


def _inputs(
    jurors=("juror_1", "juror_2", "juror_3"),
    index=INDEX,
    extra=(),
    releases=0,
    decisions=(),
    fixed=(),
    clean=None,
    reviewed=None,
    new_posts="",
):
    seeds = {code: [{"zh": f"词{code}", "en": f"term {code}"}] for code in SMALL.codes}
    return plan.Inputs(
        taxonomy=SMALL,
        seeds=keywords.seed_rows(seeds, SMALL, "own.yaml"),
        pool=lineage.EXPANDED_KEYWORDS.build([]),
        extra_queries=dict(extra),
        real=annotation.real_rows(REAL),
        public=annotation.public_rows(PUBLIC),
        released=frozenset(),
        releases=releases,
        decisions=decisions,
        anchors=fixed,
        jurors=jurors,
        index=index,
        new_posts=new_posts,
        departed=lambda candidates: None,
        clean=clean,
        reviewed=reviewed,
        collected=collected,
        nearest=lambda texts, k, where, manifest: [manifest["post_id"].to_pylist()] * len(texts),
        translate=lambda texts: ["在哪里可以学游泳？"] * len(texts),
    )


def _foreseen(inputs, ledger, settings_=SETTINGS):
    found = plan.dry_run(inputs, settings_, ledger.ask_for)
    assert all(line.unsure for line in found if line.least < line.most)
    return {(line.asset, line.role): (line.least, line.most) for line in found}


def test_with_nothing_known_every_call_is_counted_and_what_may_follow_is_bounded():
    ledger = _Ledger()
    found = _foreseen(_inputs(), ledger)
    rounds = SETTINGS.keywords.rounds
    assert found["expanded_keywords", "expander"] == (6, 6 * rounds)
    # Two queries per category, and one of them for twins too; keywords to come may change each.
    assert found["synthesized_prompts", "synthesizer"] == (0, 18)
    (safe,) = [row for row in annotation.real_rows(REAL).to_pylist() if row["intended_label"]]
    drawn = rewrites.draw(safe, SMALL, SETTINGS.rewriting)
    asked = [key for key, text in drawn.items() if text is None]
    # The other prompt waits for a label.
    assert found["rewritten_prompts", "rewriter"] == (len(asked), len(asked) + 99)
    assert len(asked) == 11
    assert [found["annotated_prompts", f"juror_{n}"] for n in (1, 2, 3)] == [(1, 1)] * 3
    assert found["annotated_prompts", "tie_breaker"] == (0, 1)
    assert found["annotated_prompts", "categorizer"] == (0, 1)
    # Of both real prompts, the vote on one is asked in annotation.
    to_come = 18 * 2 + 99 + len(asked)
    judged = 4 + len(drawn) - len(asked)
    low, high = found["jury_votes/juror_1", "juror_1"]
    assert low == 1
    assert judged - 1 + to_come <= high
    assert found["labeled_prompts", "tie_breaker"][0] == 0


def test_extra_queries_of_steering_are_counted():
    found = _foreseen(_inputs(extra={"M1a": 4, "M2b": 1}), _Ledger())
    assert found["synthesized_prompts", "synthesizer"] == (0, 18 + 5)
    settled = _foreseen(_inputs(extra={"M1a": 4}), _Ledger(expander={"keywords": []}))
    low, high = settled["synthesized_prompts", "synthesizer"]
    # Of queries of one category with equal keywords and posts, one request is asked.
    assert 12 <= low == high <= 18 + 4


def test_one_call_per_source_is_counted_once_and_brings_all_its_rewrites():
    by_source = SETTINGS.rewriting.model_copy(update={"call_per": "source"})
    wanted = SETTINGS.model_copy(update={"rewriting": by_source})
    found = _foreseen(_inputs(), _Ledger(), wanted)
    assert found["rewritten_prompts", "rewriter"] == (1, 2)


def test_calls_that_take_several_texts_are_all_unsure_while_one_has_no_label():
    by_text = SETTINGS.rewriting.model_copy(update={"call_per": "texts"})
    wanted = SETTINGS.model_copy(update={"rewriting": by_text})
    low, high = _foreseen(_inputs(), _Ledger(), wanted)["rewritten_prompts", "rewriter"]
    assert low == 0
    assert high >= 11


def test_posts_to_come_leave_every_query_unsure():
    known = {"expander": {"keywords": []}, "synthesizer": {"prompts": []}}
    line = ("synthesized_prompts", "synthesizer")
    assert _foreseen(_inputs(), _Ledger(**known))[line] == (0, 0)
    assert _foreseen(_inputs(new_posts="weibo is crawled"), _Ledger(**known))[line] == (0, 18)


@pytest.mark.parametrize(("verdict", "categorized"), [("safe", False), ("unsafe", True)])
def test_with_every_answer_known_nothing_is_to_come_and_all_stages_are_seen(verdict, categorized):
    ledger = _Ledger(
        expander={"keywords": []},
        synthesizer={"prompts": [{"source": n, "prompt": f"第{n}问怎么样？"} for n in (1, 2)]},
        rewriter=_rewrite("换个说法再问一遍怎么样？"),
        juror=verdict,
        tie=verdict,
        categorizer="M1a",
    )
    assert set(_foreseen(_inputs(), ledger).values()) == {(0, 0)}
    assert (("labeled_prompts", "categorizer") in ledger.asked) is categorized
    votes = {tuple(sorted(rows)) for (asset, _), rows in ledger.asked.items() if "jury" in asset}
    assert len(votes) == 1


def test_a_prompt_whose_votes_are_not_known_is_not_ruled_on():
    ledger = _Ledger(
        expander={"keywords": []}, synthesizer={"prompts": []}, rewriter=_rewrite("换个说法？")
    )
    plan.dry_run(_inputs(), SETTINGS, ledger.ask_for)
    assert not [key for key in ledger.asked if key[0] == "labeled_prompts"]


def test_the_plan_asks_for_each_row_once_per_role_and_asset():
    ledger = _Ledger()
    plan.dry_run(_inputs(), SETTINGS, ledger.ask_for)
    for (asset, _), rows in ledger.asked.items():
        if asset != "expanded_keywords":
            assert len(set(rows)) == len(rows)


def test_before_the_first_index_nothing_is_retrieved_and_any_query_may_be_asked():
    ledger = _Ledger(expander={"keywords": []})
    found = _foreseen(_inputs(index=None, new_posts="the posts are not read yet"), ledger)
    assert found["synthesized_prompts", "synthesizer"] == (0, 18)
    assert ("synthesized_prompts", "synthesizer") not in ledger.asked
    assert ("annotated_prompts", "juror_1") in ledger.asked


FIXED = anchors.parse({"M1a": {"unsafe": "坏的一问", "safe": "好的一问"}}, SMALL, "own.yaml")


def _refreshes(inputs, **known):
    """Repeat indices under which anchors are asked for."""
    found = set()

    class Told(_Ledger):
        def ask_for(self, asset):
            ask = super().ask_for(asset)

            def told(role, requests, parse, total=None):
                asked = list(requests)
                if asset == "anchor_votes":
                    found.update(request.repeat for request in asked)
                return ask(role, asked, parse)

            return told

    plan.dry_run(inputs, SETTINGS, Told(**known).ask_for)
    return found


def test_anchors_are_asked_anew_where_a_new_release_follows():
    known = {
        "expander": {"keywords": []},
        "synthesizer": {"prompts": []},
        "rewriter": _rewrite("换个说法再问一遍怎么样？"),
        "juror": "safe",
        "tie": "safe",
        "categorizer": "M1a",
    }
    last = {}
    real = plan.survivors.clean

    def kept(*given):
        last["clean"] = real(*given)
        return last["clean"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan.survivors, "clean", kept)
        assert _refreshes(_inputs(fixed=FIXED), **known) == {1}
    none = lineage.REVIEW_DECISIONS.build([])
    same = {"fixed": FIXED, "releases": 4, "clean": last["clean"], "reviewed": none}
    assert _refreshes(_inputs(**same), **known) == {4}
    assert _refreshes(_inputs(**same)) == {5}
    assert _refreshes(_inputs(**{**same, "clean": last["clean"].slice(1)}), **known) == {5}
    assert _refreshes(_inputs(**{**same, "clean": last["clean"].drop(["lang"])}), **known) == {5}
    assert _refreshes(_inputs(releases=4, fixed=())) == set()
