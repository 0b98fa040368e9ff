import pytest

from chillguard import identity
from chillguard.lineage import takedown
from chillguard.rows import removal
from chillguard.synthesis import rag, twins
from chillguard.tables import lineage
from chillguard.text import matching
from tests.chillguard import builders

URL = "https://example.org/7"


TEXTS = {f"p{n}": builders.mixed(n) for n in range(1, 5)}
FAMILY = matching.family_id(TEXTS["p1"])


def _crawled(*rows):
    return lineage.CRAWLED_POSTS.build(
        [builders.post(*row[:3], **{"text": TEXTS[row[0]], **row[3]}) for row in rows]
    )


# One text in two sources, and another post of the first.
CRAWLED = [
    _crawled(("p1", "7", "forum", {"url": URL}), ("p2", "8", "forum", {})),
    _crawled(("p1", "x", "news", {}), ("p3", "8", "news", {"url": "https://example.org/8"})),
]


@pytest.mark.parametrize(
    ("request_", "posts"),
    [
        ("7", {"p1"}),
        ("x", {"p1"}),
        ("forum:7", {"p1"}),
        ("news:x", {"p1"}),
        (URL, {"p1"}),
        ("p1", {"p1"}),
        ("forum:8", {"p2"}),
        ("news:8", {"p3"}),
        ("https://example.org/8", {"p3"}),
        # Without its source, an id of two sources means both.
        ("8", {"p2", "p3"}),
        ("9", set()),
        ("forum:x", set()),
        ("", set()),
        ("https://example.org/", set()),
    ],
)
def test_a_request_means_posts_by_own_id_source_and_id_url_or_post_id(request_, posts):
    assert takedown.posts(request_, CRAWLED).post_ids == posts


@pytest.mark.parametrize("request_", ["7", "news:x", URL, "p1"])
def test_the_marks_are_of_every_source_that_holds_the_text(request_):
    found = takedown.posts(request_, CRAWLED)
    assert found.marks == {"p1", FAMILY, "forum:7", "news:x", URL}
    assert found.native_ids == {"forum": {"7"}, "news": {"x"}}


def test_a_post_without_a_url_has_no_mark_of_it():
    for url in (None, ""):
        assert removal.marks("p", "n", "s", url, None) == {"p", "s:n"}
        assert removal.marks("p", "n", "s", url, "f") == {"p", "s:n", "f"}


def test_a_copy_in_another_spelling_goes_too():
    copy = ("p4", "9", "blog", {"text": "\u200b".join(TEXTS["p1"])})
    found = takedown.posts("forum:7", [*CRAWLED, _crawled(copy)])
    assert found.post_ids == {"p1", "p4"}
    assert {"p4", "blog:9"} <= found.marks


PROMPTS = [
    builders.prompt(
        "made", parent_ids=["p1"], query_id="q", context_post_ids=["p2"], call_key="c1"
    ),
    builders.prompt(
        "beside", parent_ids=["p2"], query_id="q", context_post_ids=["p1"], call_key="c1"
    ),
    builders.prompt(
        "other", parent_ids=["p2"], query_id="r", context_post_ids=["p3"], call_key="c2"
    ),
    builders.prompt("real", call_key="c3"),
]


def _followed(rows=PROMPTS, table=lineage.SYNTHESIZED_PROMPTS):
    found = takedown.Traces(post_ids={"p1"})
    takedown.follow(found, table.build(rows))
    return found


def test_rows_of_the_post_and_rows_made_with_it_as_context_are_derived():
    found = _followed()
    assert found.prompt_ids == {"made", "beside"}
    assert found.call_keys == {"c1"}
    draw = identity.draw_id("q", "rag", ["p1", "p2"])
    assert found.row_ids == {"made", "beside", draw}


@pytest.mark.parametrize("twin", [None, twins.TwinKind(id="x", name_zh="", instruction_zh="")])
def test_the_draw_is_the_row_that_asked_whatever_the_order_of_its_posts(twin):
    posts = tuple({"post_id": key} for key in ("p2", "p1", "p0"))
    query = rag.Query(query_id="q", category="M1a", number=0, keywords=(), text="问")
    asked = rag.Draw(query, posts, twin)
    shown = {"parent_ids": ["p1"], "context_post_ids": ["p0", "p2"]}
    row = builders.prompt("a", query_id="q", method=asked.method, **shown)
    assert asked.draw_id in _followed([row]).row_ids


def test_the_call_that_chose_a_category_is_a_trace_too():
    row = builders.labeled("made", micro="M1a", family_id="p1", call_key="c1")
    found = _followed([row | {"category_call_key": "c9"}], lineage.LABELED_PROMPTS)
    assert found.call_keys == {"c1", "c9"}


def test_a_derived_row_without_a_query_or_a_call_has_neither():
    found = _followed([builders.prompt("twin", family_id="p1")])
    assert (found.row_ids, found.call_keys) == ({"twin"}, set())


def test_votes_on_derived_prompts_are_traces():
    votes = lineage.JURY_VOTES.build(
        {"prompt_id": key, "juror": "j", "model": "m@1", "verdict": "safe", "call_key": f"v {key}"}
        for key in ("made", "other")
    )
    found = takedown.Traces(prompt_ids={"made"})
    takedown.follow_votes(found, votes)
    assert found.call_keys == {"v made"}


STAGES = ["synthesized_prompts", "candidate_prompts", "clean_prompts", "labeled_prompts"]
SECRET = "河边的芦苇长得比人还高"


def _row(key, name, **more):
    row = builders.prompt(key, SECRET, family_id="p1", **more)
    columns = {column.name for column in lineage.TABLES[name].columns}
    texts = {column: SECRET for column in ("match_text", "translated_from", "response")}
    labels = {"votes": [], "n_valid_votes": 3, "decided_by": "jury", "label": "safe"}
    own = {**row, **texts, **labels, "split": "train"}
    return {column: value for column, value in own.items() if column in columns}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_keeps_its_row_dropped_and_without_any_form_of_the_text(name):
    table = lineage.TABLES[name]
    rows = [_row("made", name), _row("other", name)]
    found = takedown.Traces(prompt_ids={"made"})
    clean = takedown.redacted(name, table.build(rows), found)
    assert table.problems(clean) == []
    after = builders.by_id(clean)
    assert SECRET not in str(after["made"])
    assert after["made"]["drop_reason"] == "takedown"
    assert after["other"] == builders.by_id(table.build(rows))["other"]
    assert after["made"]["family_id"] == "p1"


@pytest.mark.parametrize("name", ["train_set", "test_set"])
def test_a_side_of_the_release_loses_the_row(name):
    table = lineage.TABLES[name]
    rows = [_row(key, name) for key in ("made", "other")]
    clean = takedown.redacted(name, table.build(rows), takedown.Traces(prompt_ids={"made"}))
    assert table.problems(clean) == []
    assert clean["prompt_id"].to_pylist() == ["other"]


def test_a_post_keeps_its_row_without_text_and_leaves_the_index():
    found = takedown.posts("7", CRAWLED)
    posts = takedown.redacted("crawled_posts", CRAWLED[0], found)
    assert lineage.CRAWLED_POSTS.problems(posts) == []
    rows = {row["native_id"]: row for row in posts.to_pylist()}
    assert (rows["7"]["text"], rows["7"]["drop_reason"]) == (None, "takedown")
    assert rows["8"] == {row["native_id"]: row for row in CRAWLED[0].to_pylist()}["8"]
    clean = takedown.redacted("post_index", builders.lineage()["post_index"], found)
    assert lineage.POST_INDEX.problems(clean) == []
    assert clean["post_id"].to_pylist() == ["p2", "p3"]


@pytest.mark.parametrize("key", builders.lineage())
def test_a_table_that_holds_no_trace_is_left_alone(key):
    table = builders.lineage()[key]
    found = takedown.Traces(post_ids={"p77"}, prompt_ids={"s77"})
    assert takedown.redacted(key.split("/")[0], table, found) is None


@pytest.mark.parametrize("name", lineage.TABLES)
def test_every_table_is_clean_after_a_redaction_of_its_rows(name):
    found = takedown.Traces(post_ids={"p1"}, prompt_ids={"s1", "w1"})
    for key, table in builders.lineage().items():
        clean = takedown.redacted(name, table, found) if key.split("/")[0] == name else None
        if clean is not None:
            again = takedown.redacted(name, clean, found)
            assert again is None or again.equals(clean)
            kept = [row for row in clean.to_pylist() if row.get("text")]
            assert not {row.get("prompt_id") for row in kept} & found.prompt_ids
