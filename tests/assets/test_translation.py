import json
from pathlib import Path

import pytest

from assets import translation
from chillguard.tables import lineage
from resources.models.llm import LanguageModels
from resources.models.roles import ModelRole
from resources.offline import app, lexicon
from resources.translation import RoleTranslator

SHARED = Path(__file__).parents[3] / "shared" / "data" / "xstest_en.jsonl"


def test_public_rows_keep_their_own_label_as_source_label_only(bench, source, files):
    rows = [{"prompt": "今天天气怎么样", "harm": "no"}, {"prompt": "帮我编一段闲话", "harm": "yes"}]
    lines = [json.dumps(row) for row in [*rows, {"prompt": 5, "harm": "no"}]]
    columns = {"text": "prompt", "label": "harm"}
    labels = {"yes": "unsafe", "no": "safe"}
    bench.more["public_files"] = files(source(*lines, columns=columns, labels=labels))
    made = bench.run(translation.public_prompts)
    found = {row["text"]: row for row in made["public_prompts"].to_pylist()}
    assert found["帮我编一段闲话"]["source_label"] == "unsafe"
    assert {row["intended_label"] for row in found.values()} == {None}
    assert {row["origin"] for row in found.values()} == {"public"}
    assert made["rejected_rows/public_prompts"]["line"].to_pylist() == [3]


def test_no_public_files_give_two_empty_tables(bench, files):
    bench.more["public_files"] = files()
    made = bench.run(translation.public_prompts)
    assert [table.num_rows for table in made.values()] == [0, 0]


@pytest.fixture
def put(bench, prompt):
    """A function that puts one row of each origin on the shelf, and more public ones."""

    def fill(*public):
        english, _ = next(iter(lexicon.translations().items()))
        rows = {
            "synthesized_prompts": [
                prompt("今天的天气真的不错", "rag"),
                prompt(english, "rag", lang="en"),
            ],
            "annotated_prompts": [prompt("周末去图书馆看书", "real")],
            "rewritten_prompts": [prompt("What a lovely unknown day", "rewrite", lang="en")],
            "public_prompts": [
                prompt("公园里的桂花开了", "public"),
                prompt("这一条已经出局", "public", drop_reason="duplicate"),
                *public,
            ],
        }
        bench.put(**{name: lineage.TABLES[name].build(found) for name, found in rows.items()})

    return fill


@pytest.fixture
def candidates(bench, put):
    put()
    return bench.run(translation.candidate_prompts)["candidate_prompts"].to_pylist()


@pytest.fixture
def role(bench, monkeypatch):
    """A function that binds the role `translator` to a rule from English to the raw answer."""

    def bind(rule):
        monkeypatch.setitem(
            app._WRITERS, "offline-translator", lambda _, user: rule(lexicon.fenced(user)[0])
        )
        role = ModelRole(role="translator", model="offline-translator")
        bench.more["translator"] = RoleTranslator()
        bench.more["llm"] = LanguageModels(roles=[role], ledger=bench.ledger)

    return bind


def test_kept_rows_of_all_origins_are_candidates(bench, candidates):
    assert len(candidates) == 5
    assert {row["origin"] for row in candidates} == {"rag", "real", "rewrite", "public"}
    assert bench.metadata["candidate_prompts"]["translated"] == 2
    assert bench.metadata["candidate_prompts"]["calls_paid"] == 0


def test_english_rows_become_chinese_and_keep_their_id_and_original(bench, candidates):
    [row] = [row for row in candidates if row["lang"] == "zh" and row["translated_from"]]
    english, chinese = next(iter(lexicon.translations().items()))
    assert (row["text"], row["translated_from"], row["lang"]) == (chinese, english, "zh")
    assert row["prompt_id"] in bench.tables["synthesized_prompts"]["prompt_id"].to_pylist()


def test_a_row_that_cannot_be_translated_is_dropped_with_the_reason(bench, candidates):
    [row] = [row for row in candidates if row["drop_reason"]]
    assert (row["origin"], row["drop_reason"]) == ("rewrite", "untranslated")
    assert bench.metadata["candidate_prompts"]["dropped"] == 1


def test_a_model_role_translates_through_the_ledger_and_is_paid_once(bench, put, role):
    put()
    role(lambda text: json.dumps({"translation": f"译文共有{len(text)}个字母"}))
    rows = bench.run(translation.candidate_prompts)["candidate_prompts"].to_pylist()
    assert sum(row["text"].startswith("译文") for row in rows) == 2
    assert bench.metadata["candidate_prompts"]["calls_paid"] == bench.ledger.count() == 2
    before = bench.versions["candidate_prompts"]
    bench.run(translation.candidate_prompts)
    assert bench.metadata["candidate_prompts"]["calls_paid"] == 0
    assert bench.metadata["candidate_prompts"]["calls_from_ledger"] == 2
    assert bench.versions["candidate_prompts"] == before


def test_a_row_that_the_role_does_not_translate_is_quarantined(bench, put, role):
    put()
    role(lambda text: "Sure!" if "lovely" in text else json.dumps({"translation": "好天气"}))
    found = bench.run(translation.candidate_prompts)["candidate_prompts"].to_pylist()
    [row] = [row for row in found if row["drop_reason"]]
    assert (row["origin"], row["drop_reason"]) == ("rewrite", "quarantined")
    assert row["drop_evidence"] == "unreadable: not JSON"
    assert row["text"] == "What a lovely unknown day"
    assert bench.metadata["candidate_prompts"]["calls_quarantined"] == 1
    assert len(found) == 5


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_file(), reason="the shared real data is not beside the project")
@pytest.mark.parametrize("by_role", [False, True])
def test_real_english_prompts_are_each_kept_or_dropped_with_a_reason(
    bench, put, prompt, role, by_role
):
    texts = [json.loads(line)["text"] for line in SHARED.read_text("utf-8").splitlines()]
    put(*(prompt(text, "public", lang="en", born_from=[str(n)]) for n, text in enumerate(texts)))
    if by_role:
        role(lambda text: json.dumps({"translation": f"怎样{text[:3]}才算安全？"}))
    rows = bench.run(translation.candidate_prompts)["candidate_prompts"].to_pylist()
    metadata = bench.metadata["candidate_prompts"]
    assert len(rows) == 455 == metadata["kept"] + metadata["dropped"]
    reasons = {row["drop_reason"] for row in rows if row["translated_from"] in texts}
    assert reasons == ({None} if by_role else {"untranslated"})
    assert all(row["drop_evidence"] for row in rows if row["drop_reason"])
