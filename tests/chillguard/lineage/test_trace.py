import pyarrow as pa
import pytest

from chillguard.lineage import trace
from chillguard.synthesis.rag import Query
from chillguard.tables import lineage
from tests.chillguard.builders import keyword, mixed, post, prompt

JURORS = 11
QUERY = Query("q1", "M1a", 0, ("散步", "公园"), "宏 微 散步 公园")
WORD = keyword("M1a", "散步")
FOUND_BY = {"keyword_id": WORD["keyword_id"]}
CALL = {"call_key": "k" * 64}
RAG = {"parent_ids": ["p1"], "family_id": "p1", "query_id": "q1", **CALL}
REWRITE = {"origin": "rewrite", "method": "homophonic_substitution", "family_id": "real", **CALL}
GONE = {"drop_reason": "why", "drop_evidence": "how"}
STAGES = ("candidate_prompts", "clean_prompts", "labeled_prompts")


def row(key, **columns):
    """A row of any prompt table: columns that a table lacks are left out when it is built."""
    votes = {"votes": [], "n_valid_votes": 3}
    return {**prompt(key, mixed(key)), **votes, "source_label": "safe", **columns}


def tables(**rows):
    """Tables by key with their rows; slots of the jury are `juror_<n>`, posts are `posts_<s>`."""
    named = {"juror": "jury_votes/", "posts": "crawled_posts/"}
    found = {}
    for name, some in rows.items():
        key = named.get(name.split("_")[0], "") + name
        known = lineage.TABLES[key.split("/")[0]]
        wanted = {column.name for column in known.columns}
        found[key] = known.build({k: v for k, v in one.items() if k in wanted} for one in some)
    return found


def votes(key, count=JURORS):
    return {
        f"juror_{slot}": [
            {"prompt_id": key, "juror": f"juror_{slot}", "model": "m@1", "verdict": "safe", **CALL}
        ]
        for slot in range(1, count + 1)
    }


def walk(key, queries=(QUERY,), **rows):
    found = trace.Walker(tables(**rows), {query.query_id: query for query in queries})
    return found.walk(key)


def stops(steps):
    return [(step.table, step.id) for step in steps]


def released(key, **columns):
    """A prompt that went all the way."""
    one = row(key, label="safe", split="train", **columns)
    return {stage: [one] for stage in (*STAGES, "train_set")} | votes(key, 3)


def rag(**more):
    """The tables of one released RAG prompt and all that it comes from."""
    return {
        "expanded_keywords": [WORD, keyword("M1a", "公园")],
        "posts_a": [post("p1", "1", "a", **FOUND_BY), post("p2", "2", "a")],
        "synthesized_prompts": [row("s", **RAG), row("other", **RAG)],
        **released("s", **RAG),
        **more,
    }


def test_a_rag_prompt_walks_from_its_query_over_keyword_and_post_to_its_side():
    steps = walk("s", **rag())
    assert stops(steps) == [
        ("queries", "q1"),
        ("expanded_keywords", WORD["keyword_id"]),
        ("crawled_posts/posts_a", "p1"),
        ("synthesized_prompts", "s"),
        *((stage, "s") for stage in STAGES),
        *((f"jury_votes/juror_{slot}", "s") for slot in (1, 2, 3)),
        ("train_set", "s"),
    ]
    assert steps[0].facts == {"micro_category": "M1a", "keywords": ["散步", "公园"]}
    assert steps[1].facts["zh"] == "散步"
    assert (steps[2].facts["source"], steps[2].facts["native_id"]) == ("a", "1")
    assert steps[3].facts["call_key"] == CALL["call_key"]
    assert steps[-1].facts["split"] == "train"


def test_a_post_that_no_keyword_found_has_no_keyword_of_its_own():
    steps = walk("s", **rag(posts_a=[post("p1", "1", "a")]))
    assert stops(steps)[:3] == [
        ("queries", "q1"),
        ("crawled_posts/posts_a", "p1"),
        ("synthesized_prompts", "s"),
    ]


def test_a_post_that_two_sources_hold_is_shown_in_both():
    steps = walk("s", **rag(posts_b=[post("p1", "9", "b")]))
    shown = [step.facts["native_id"] for step in steps if step.table.startswith("crawled_posts/")]
    assert shown == ["1", "9"]


def test_of_a_post_that_a_source_holds_twice_the_kept_row_is_shown():
    rows = [post("p1", "10", "a", drop_reason="duplicate"), post("p1", "2", "a")]
    (shown,) = (s for s in walk("s", **rag(posts_a=rows)) if s.table.startswith("crawled_posts/"))
    assert shown.facts["native_id"] == "2"
    assert "drop_reason" not in shown.facts


def test_a_rewrite_walks_from_its_annotated_source():
    source = row("real", origin="real", method="production")
    steps = walk(
        "w",
        real_prompts=[source],
        annotated_prompts=[{**source, "intended_label": "safe", "decided_by": "source"}],
        rewritten_prompts=[row("w", parent_ids=["real"], **REWRITE)],
        **released("w", parent_ids=["real"], **REWRITE),
    )
    assert stops(steps)[:3] == [
        ("annotated_prompts", "real"),
        ("rewritten_prompts", "w"),
        ("candidate_prompts", "w"),
    ]
    assert steps[0].facts["method"] == "production"
    assert steps[0].facts["decided_by"] == "source"
    assert steps[1].facts["family_id"] == "real"


def test_a_translated_prompt_shows_its_text_before_and_after():
    born = row("u", origin="public", method="bench", text="How do I grow mint?", lang="en")
    rows = released("u", origin="public", method="bench", translated_from=born["text"])
    steps = walk("u", public_prompts=[born], **rows)
    assert stops(steps)[:2] == [("public_prompts", "u"), ("candidate_prompts", "u")]
    assert steps[0].facts["text"] == "How do I grow mint?"
    assert steps[1].facts["translated_from"] == "How do I grow mint?"


@pytest.mark.parametrize("last", range(len(STAGES) + 1))
def test_a_dropped_prompt_shows_its_reason_at_the_stage_that_dropped_it(last):
    path = ("synthesized_prompts", *STAGES)[: last + 1]
    rows = {stage: [row("s", **RAG, **(GONE if stage == path[-1] else {}))] for stage in path}
    steps = walk("s", posts_a=[post("p1", "1", "a")], **rows)
    assert steps[-1].table == path[-1]
    assert steps[-1].facts | GONE == steps[-1].facts
    assert not [step for step in steps[:-1] if step.facts.keys() & GONE.keys()]


def test_a_prompt_that_the_release_left_out_shows_why_and_has_no_side():
    rows = rag(release_drops=[{"prompt_id": "s", "family_id": "p1", "split": "train", **GONE}])
    del rows["train_set"]
    steps = walk("s", **rows)
    (drop,) = (step for step in steps if step.table == "release_drops")
    assert drop.facts == {"split": "train", **GONE}
    assert not {"train_set", "test_set"} & {step.table for step in steps}


def test_the_decision_that_counts_and_the_place_in_the_queue_are_shown():
    decided = {"source": "d.csv", "prompt_id": "real", "label": "safe", "reviewer": "Lin"}
    decisions = [
        {**decided, "line": n, "decided_on": f"2026-11-0{n}", "standing": standing}
        for n, standing in ((1, "superseded"), (2, "applied"), (3, "superseded"))
    ]
    queued = {"rank": 3, "queue_reason": "split", "vote_entropy": 1.0, "text": "x"}
    queued |= {"prompt_id": "real", "text_hash": "h", "votes": []}
    one = row("real", origin="real", label="safe", family_id="real")
    stages = {stage: [one] for stage in ("real_prompts", *STAGES)}
    steps = walk("real", **stages, review_decisions=decisions, review_queue=[queued])
    names = [step.table for step in steps]
    assert names[-4:] == ["clean_prompts", "review_decisions", "labeled_prompts", "review_queue"]
    assert steps[-3].facts["decided_on"] == "2026-11-02"
    assert steps[-1].facts == {"rank": 3, "queue_reason": "split", "vote_entropy": 1.0}


def test_a_real_prompt_that_is_dropped_before_annotation_shows_its_reason():
    rows = [row("kept", origin="real"), row("gone", origin="real", **GONE)]
    steps = walk("gone", real_prompts=rows, annotated_prompts=rows[:1])
    assert stops(steps) == [("real_prompts", "gone")]
    assert steps[0].facts | GONE == steps[0].facts


def test_votes_stand_in_slot_order_however_many_jurors_there_are():
    steps = walk("s", **rag(**votes("s", JURORS)))
    shown = [step.table for step in steps if step.table.startswith("jury_votes/")]
    assert shown == [f"jury_votes/juror_{slot}" for slot in range(1, JURORS + 1)]


def test_votes_of_other_prompts_are_not_shown():
    steps = walk("s", **rag(juror_2=votes("other", 2)["juror_2"]))
    shown = [step.table for step in steps if step.table.startswith("jury_votes/")]
    assert shown == ["jury_votes/juror_1", "jury_votes/juror_3"]


def test_nothing_is_shown_of_what_is_not_known():
    for step in walk("s", **rag()):
        assert None not in step.facts.values()
        assert [] not in step.facts.values()
    (clean,) = (s for s in walk("s", **rag()) if s.table == "clean_prompts")
    assert clean.facts == {}


def test_false_and_zero_are_known():
    rows = rag(clean_prompts=[], labeled_prompts=[row("s", n_valid_votes=0, **RAG)])
    steps = {step.table: step.facts for step in walk("s", **rows)}
    assert steps["synthesized_prompts"]["is_twin"] is False
    assert steps["labeled_prompts"]["n_valid_votes"] == 0


@pytest.mark.parametrize(
    ("asked", "change", "missing", "referred_by"),
    [
        ("nowhere", {}, "nowhere", "the request"),
        ("s", {"posts_a": [post("p2", "2", "a")]}, "p1", "named by s"),
        ("s", {"expanded_keywords": []}, WORD["keyword_id"], "post p1"),
        ("s", {"synthesized_prompts": [row("s", **{**RAG, "query_id": "q9"})]}, "q9", "prompt s"),
        (
            "w",
            {"rewritten_prompts": [row("w", parent_ids=["lost"], **REWRITE)]},
            "lost",
            "named by w",
        ),
    ],
)
def test_a_dead_end_names_the_id_and_who_referred_to_it(asked, change, missing, referred_by):
    with pytest.raises(trace.DeadEnd) as error:
        walk(asked, **rag(**change))
    assert missing in str(error.value)
    assert referred_by in str(error.value)


def test_a_home_without_tables_is_a_dead_end():
    with pytest.raises(trace.DeadEnd, match="prompt s"):
        trace.Walker(dict[str, pa.Table](), {}).walk("s")
