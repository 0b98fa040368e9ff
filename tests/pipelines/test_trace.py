import signal
import sys

import pytest
import yaml

from chillguard import annotation, taxonomy
from chillguard.synthesis import rag
from chillguard.tables.lineage import EXPANDED_KEYWORDS, TABLES
from pipelines import profile as profiles
from pipelines import trace
from prompts import named
from resources.home.releases import Releases
from resources.home.state import State
from resources.home.tables import Tables
from resources.models.ledger import Call, Ledger
from tests.chillguard import builders

SECRET = "春天里去公园散步要带些什么呢？"
ESCAPES = "\x1b[2J公园\r里\x9b31m散步\nrelease_drops s0"
SYNTHESIZER = Call(
    key="a" * 64,
    asset="synthesized_prompts",
    role="synthesizer",
    run_id="run-1",
    model="writer",
    revision="7",
    repeat_index=0,
    answer="[]",
    finish_reason="stop",
    endpoint="offline",
    latency_ms=1.0,
    prompt_tokens=123,
    completion_tokens=45,
    template=named(rag.TEMPLATE),
)
CATEGORIZER = Call(**{**vars(SYNTHESIZER), "key": "b" * 64, "model": "sorter", "template": None})


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CHILLGUARD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CHILLGUARD_PROFILE", "offline")
    return tmp_path / "home"


@pytest.fixture
def write(home):
    """Put rows into the table of a key, as a run would leave them."""

    def put(key, rows):
        known = TABLES[key.split("/")[0]]
        names = {column.name for column in known.columns}
        folder = home / "tables" / key
        folder.mkdir(parents=True, exist_ok=True)
        table = known.build({k: v for k, v in row.items() if k in names} for row in rows)
        Tables(folder=str(home / "tables")).write(table, *key.split("/"))

    return put


@pytest.fixture
def lineage(home, write):
    """A home in which the RAG prompt `s` was made and judged; returns a way to change it."""

    def make(text=SECRET, **birth):
        known = taxonomy.parse(taxonomy.packaged("taxonomy.yaml"), "taxonomy.yaml")
        code = known.codes[0]
        pool = [builders.keyword(code, f"词{n}") for n in range(4)]
        config = profiles.active().settings.synthesis
        table = EXPANDED_KEYWORDS.build(pool)
        query = rag.queries(table, known, config)[0]
        row = builders.prompt(
            "s", text, parent_ids=["p1"], family_id="p1", query_id=query.query_id,
            call_key=SYNTHESIZER.key, source_label=None, **birth
        )  # fmt: skip
        ruled = builders.labeled("s", text, code) | row | {"category_call_key": CATEGORIZER.key}
        state = State(folder=str(home / "state"), profile="offline")
        state.save_keywords(table)
        write("taxonomy", taxonomy.rows(known).to_pylist())
        write("expanded_keywords", pool)
        write("crawled_posts/forum", [builders.post("p1", "n1", "forum", text="公园里很热闹")])
        write("synthesized_prompts", [row])
        write("candidate_prompts", [{**row, "translated_from": text}])
        write("clean_prompts", [{**row, "match_text": text}])
        write("labeled_prompts", [ruled])
        Ledger(url=f"sqlite:///{home / 'ledger.db'}").add([SYNTHESIZER, CATEGORIZER])
        return query

    return make


@pytest.fixture
def run(home, monkeypatch, capsys):
    """Run the command as a user does; returns its exit status, output and errors."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["trace", *arguments])
        status = 0
        try:
            trace.main()
        except SystemExit as ended:
            # What the interpreter does with a sentence: it is printed, and the status is 1.
            status = ended.code if isinstance(ended.code, int) else 1
            if isinstance(ended.code, str):
                sys.stderr.write(f"{ended.code}\n")
        return status, *capsys.readouterr()

    pipe = signal.getsignal(signal.SIGPIPE)
    yield call
    # The command lets a closed pipe end it; the process of the tests must outlive one.
    signal.signal(signal.SIGPIPE, pipe)


def line_of(out, name):
    return next(line for line in out.splitlines() if line.split()[:1] == [name])


def test_the_walk_is_printed_from_the_query_to_the_label(lineage, run):
    query = lineage()
    status, out, err = run("s")
    stops = [line.split()[0] for line in out.splitlines() if not line.startswith(" ")]
    assert (status, err) == (0, "")
    assert stops == [
        "queries",
        "crawled_posts/forum",
        "synthesized_prompts",
        "candidate_prompts",
        "clean_prompts",
        "labeled_prompts",
    ]
    assert f"queries {query.query_id}" in out
    assert all(word in line_of(out, "keywords") for word in query.keywords)


def test_texts_are_masked_unless_they_are_asked_for(lineage, run):
    lineage()
    masked, shown = run("s")[1], run("s", "--text")[1]
    assert SECRET[2:] not in masked
    assert f"{SECRET[:2]}… ({len(SECRET)} chars)" in line_of(masked, "text")
    for name in ("text", "match_text", "translated_from"):
        assert line_of(masked, name).split()[1].startswith(f"{SECRET[:2]}…")
        assert line_of(shown, name).endswith(SECRET)


def test_a_call_is_told_with_its_model_revision_template_and_tokens(lineage, run):
    lineage()
    lines = run("s")[1].splitlines()
    told = next(lines[n + 1] for n, line in enumerate(lines) if SYNTHESIZER.key in line)
    assert "writer@7" in told
    assert f"template {named(rag.TEMPLATE)}" in told
    assert "123 + 45 tokens" in told
    of_category = next(lines[n + 1] for n, line in enumerate(lines) if CATEGORIZER.key in line)
    assert "sorter@7" in of_category


def test_a_call_that_the_ledger_does_not_hold_is_said_to_be_missing(lineage, run, write):
    lineage()
    pool = [{**builders.keyword("M1a", "词"), "keyword_id": "w", "call_key": "c" * 64}]
    rows = [builders.keyword("M1a", f"词{n}") for n in range(4)]
    write("expanded_keywords", [*rows, *pool])
    found = builders.post("p1", "n1", "forum", keyword_id="w")
    write("crawled_posts/forum", [found])
    lines = run("s")[1].splitlines()
    place = next(n for n, line in enumerate(lines) if "c" * 64 in line)
    assert lines[place + 1].strip() == "not in the ledger"


@pytest.mark.parametrize("made", [True, False], ids=["after a run", "before any run"])
def test_an_unknown_id_gets_one_sentence_and_status_1(lineage, run, home, made):
    if made:
        lineage()
    status, out, err = run("nowhere")
    assert (status, out) == (1, "")
    assert err.startswith("trace: prompt nowhere")
    assert str(home / "tables") in err
    assert len(err.splitlines()) == 1


def test_a_walk_that_ends_nowhere_prints_nothing_of_itself(lineage, run, write):
    lineage()
    write("crawled_posts/forum", [builders.post("p2", "n2", "forum")])
    status, out, err = run("s")
    assert (status, out) == (1, "")
    assert "p1" in err


def test_a_home_of_another_profile_gets_one_sentence_and_status_1(
    lineage, run, monkeypatch, tmp_path
):
    lineage()
    (tmp_path / "mine.yaml").write_text("extends: offline\n", "utf-8")
    monkeypatch.setenv("CHILLGUARD_PROFILE", str(tmp_path / "mine.yaml"))
    status, out, err = run("s")
    assert (status, out) == (1, "")
    assert "belongs to profile 'offline'" in err


@pytest.mark.parametrize("flags", [(), ("--text",)], ids=["masked", "as text"])
def test_a_text_can_neither_steer_the_terminal_nor_forge_a_stop(lineage, run, flags):
    lineage(text=ESCAPES)
    out = run("s", *flags)[1]
    assert not set(out) & {"\x1b", "\x9b", "\r"}
    assert "release_drops s0" not in out.splitlines()


def test_what_a_source_names_its_posts_can_not_steer_the_terminal(lineage, run, write):
    lineage()
    write(
        "crawled_posts/forum", [builders.post("p1", "\x1b[2Jn1", "forum", url="http://x/\x1b[1m")]
    )
    assert "\x1b" not in run("s")[1]


def test_the_queries_are_those_that_steering_added_too(lineage, run, home, write):
    lineage()
    known = taxonomy.parse(taxonomy.packaged("taxonomy.yaml"), "taxonomy.yaml")
    code, config = known.codes[0], profiles.active().settings.synthesis
    State(folder=str(home / "state"), profile="offline").save_extra_queries({code: 1}, "v1")
    pool = EXPANDED_KEYWORDS.build([builders.keyword(code, f"词{n}") for n in range(4)])
    extra = rag.queries(pool, known, config, {code: 1})[config.queries_per_category]
    row = builders.prompt("x", parent_ids=["p1"], query_id=extra.query_id)
    write("synthesized_prompts", [row])
    status, out, _ = run("x")
    assert status == 0
    assert f"queries {extra.query_id}" in out


def test_looking_back_changes_nothing_in_the_home(lineage, run, home):
    lineage()
    before = {p: p.read_bytes() for p in home.rglob("*") if p.is_file() and "ledger" not in p.name}
    assert run("s")[0] == 0
    after = {p: p.read_bytes() for p in home.rglob("*") if p.is_file() and "ledger" not in p.name}
    assert after == before


def test_a_prompt_of_a_file_is_followed_to_its_lines_and_to_its_releases(
    home, write, tmp_path, monkeypatch, capsys
):
    text = "春天里去公园散步要带些什么呢"
    path = tmp_path / "own.csv"
    path.write_text(f'text\n别的问题怎么问\n"{text}"\n又一个别的问题\n"{text}"\n', "utf-8")
    document = {
        "extends": "offline",
        "name": "mine",
        "real_prompts": [{"name": "own", "path": str(path)}],
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(document), "utf-8")
    monkeypatch.setenv("CHILLGUARD_PROFILE", str(tmp_path / "mine.yaml"))
    [row] = [
        one
        for one in annotation.real_rows(
            [builders.record(text, source="own"), builders.record("别的问题", source="own")]
        ).to_pylist()
        if one["text"] == text
    ]
    write("real_prompts", [row])
    write("annotated_prompts", [row])
    released = builders.released("test", [builders.labeled(row["prompt_id"], text)])
    none = builders.released("train", [])
    folder = Releases(folder=str(home / "release"))
    folder.write("v1", {"train": none, "test": released}, {}, {})
    folder.write("v2", {"train": none, "test": none}, {}, {})
    monkeypatch.setattr(sys, "argv", ["trace", row["prompt_id"]])
    trace.main()
    out = capsys.readouterr().out
    places = [
        line.split("read from")[1].strip() for line in out.splitlines() if "read from" in line
    ]
    assert places == [f"{path}, line 3", f"{path}, line 5"]
    assert "release v1\n  split               test\n" in out
    assert "release v2" not in out
