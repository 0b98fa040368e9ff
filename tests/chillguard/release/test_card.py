import json
from collections import Counter

import pyarrow as pa
import pytest
import yaml

from chillguard.release import audit, card, changes, composition, funnel, sides
from chillguard.tables import lineage
from tests.chillguard import builders

SMALL = builders.SMALL
ROW = {
    "version": "0123456789ab",
    "previous_version": "ba9876543210",
    "n_train": 1234,
    "n_test": 2,
    "n_added": 5,
    "n_removed": 6,
    "n_relabeled": 7,
}
WARNING = "offline stand-ins; not for training"


def _documents(tables=None, offline=False, row=ROW, models=None):
    provenance = card.Provenance("small", models or {"expander": "m@1"}, offline)
    found = card.documents(row, tables or builders.lineage(), SMALL, provenance)
    pictures = {name for name in found if name.endswith(".png")}
    assert pictures >= {"funnel.png", "categories.png"}
    assert all(found[name].startswith(b"\x89PNG") for name in pictures)
    pages = {"README.md", "public_card.md", "report.html"}
    assert found.keys() - pictures == {*pages, "losses.parquet"}
    return {name: found[name].decode("utf-8") for name in sorted(pages)}


@pytest.fixture(scope="module")
def tables():
    return builders.lineage()


@pytest.fixture(scope="module")
def documents(tables):
    return _documents(tables)


@pytest.fixture(scope="module")
def released(tables):
    return [*tables["train_set"].to_pylist(), *tables["test_set"].to_pylist()]


def test_the_card_begins_with_its_front_matter(documents):
    assert documents["README.md"].startswith("---\nlanguage: [zh]\nlicense: other\n")
    assert documents["README.md"].endswith("\n")
    assert "{split: train, path: train.parquet}" in documents["README.md"]


def test_the_report_is_one_html_page_with_its_pictures_inside(documents):
    page = documents["report.html"]
    assert page.startswith("<!doctype html>")
    assert page.endswith("</html>")
    assert page.count("data:image/png;base64,iVBOR") == 4
    assert "http" not in page


@pytest.mark.parametrize("name", ["README.md", "report.html"])
@pytest.mark.parametrize(
    "fact",
    [
        "0123456789ab",
        "ba9876543210",
        "1,234",
        "small",
        "m1@1",
        "Category M2b",
        "not_retained 1",
        "near_duplicate 1",
    ],
)
def test_both_documents_state_the_facts(documents, name, fact):
    assert fact in documents[name]


@pytest.mark.parametrize("name", ["README.md", "report.html"])
@pytest.mark.parametrize("offline", [True, False])
def test_stand_ins_are_warned_of_and_only_they(tables, name, offline):
    assert (WARNING in _documents(tables, offline)[name]) is offline


def test_the_first_release_has_changes_since_the_beginning(tables):
    found = _documents(tables, row={**ROW, "previous_version": None})
    assert "## Changes since the beginning" in found["README.md"]
    assert "Since the beginning" in found["report.html"]


def test_no_document_shows_a_whole_text(documents, released):
    for page in documents.values():
        for row in released:
            assert row["text"] not in page
            assert row["text"][:3] not in page


def test_the_report_escapes_what_it_shows(tables):
    tables = dict(tables)
    rows = [builders.labeled("a<b", "<i>这是一段文字</i>", method="<script>")]
    tables["train_set"] = builders.released("train", rows)
    page = _documents(tables)["report.html"]
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "a&lt;b" in page


def test_the_same_release_gives_the_same_bytes(tables, documents):
    assert _documents(tables) == documents


def test_documents_of_a_release_without_rows_render(tables):
    tables = dict(tables)
    for name in ("train_set", "test_set", "release_drops"):
        tables[name] = tables[name].slice(0, 0)
    assert "# CHILLGuard" in _documents(tables)["README.md"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("今天适合散步吗？", "今天… (8 chars)"), ("", "… (0 chars)"), (None, None)],
)
def test_a_masked_row_shows_two_characters_and_the_length(text, shown):
    row = builders.prompt("a", text)
    assert card.masked({**row, "label": "safe"}) == {
        "prompt_id": "a",
        "label": "safe",
        "micro_category": None,
        "origin": "rag",
        "method": "rag",
        "text": shown,
    }


def test_the_composition_adds_up(released):
    found = composition.sources(released)
    assert found == [
        ("train", "rag", 0, 2, 2),
        ("train", "public: rag", 1, 0, 1),
        ("train", "all", 1, 2, 3),
        ("test", "real", 1, 0, 1),
        ("test", "rag", 0, 1, 1),
        ("test", "all", 1, 1, 2),
        ("all", "all", 2, 3, 5),
    ]
    assert found[-1][-1] == len(released)
    assert all(safe + unsafe == whole for _, _, safe, unsafe, whole in found)


def test_the_categories_add_up_and_name_empty_ones(released):
    found = composition.categories(released, SMALL)
    assert [code for code, *_ in found] == [*SMALL.codes, "safe"]
    shares = {code: share for code, *_, share in found if share is not None}
    assert shares == {"M1a": 0.5, "M2b": 0.0, "safe": 1.0}
    assert composition.share_of_test(released) == 0.5
    counts = {code: (train, test) for code, _, train, test, _ in found}
    assert counts == {
        **dict.fromkeys(SMALL.codes, (0, 0)),
        "M1a": (1, 1),
        "M2b": (1, 0),
        "safe": (1, 1),
    }
    assert sum(map(sum, counts.values())) == len(released)


def test_the_terms_count_publishable_rows_by_origin(released):
    found = composition.terms(released)
    assert found == [("real", 1, 1), ("rag", 3, 3), ("public: rag", 1, 0)]


def test_the_jury_lists_every_juror_with_its_votes(tables):
    assert card.jury(tables) == [
        ("juror_1", "m1@1", 3, 5, 1),
        ("juror_2", "m2@1", 3, 5, 1),
    ]
    assert card.jury({"jury_votes/juror_1": lineage.JURY_VOTES.build([])}) == []


def test_the_loss_ledger_names_every_dropped_row(tables):
    found = card.losses(tables)
    assert builders.columns(found, "asset", "row_id", "drop_reason") == [
        ("candidate_prompts", "r2", "not_retained"),
        ("clean_prompts", "s2", "near_duplicate"),
        ("crawled_posts/a", "a:4:text", "rejected"),
        ("crawled_posts/a", "p9", "too_short"),
        ("labeled_prompts", "w1", "unresolved"),
        ("post_index", "p1", "merged"),
        ("real_prompts", "file:2:text", "rejected"),
        ("real_prompts", "file:5:text", "rejected"),
        ("real_prompts", "r9", "duplicate"),
        ("release_drops", "s4", "balance"),
        ("rewritten_prompts", "w2", "quarantined"),
        ("synthesized_prompts", "s9", "no_source"),
    ]
    stages = funnel.stages(tables)
    lost = Counter(
        asset.replace("release_drops", "release") for asset in builders.columns(found, "asset")
    )
    assert lost == Counter({stage.asset: stage.dropped for stage in stages if stage.dropped})
    evidence = dict(builders.columns(found, "row_id", "drop_evidence"))
    assert evidence["p1"] == "crawled_posts/b holds the text of crawled_posts/a"
    assert evidence["a:4:text"] == "text is empty"
    assert evidence["s4"] == "why"


def test_the_card_row_counts_sides_and_changes(tables):
    parts = sides.Parts(tables["train_set"], tables["test_set"], tables["release_drops"])
    before = [builders.labeled("s1", "别的话", "M1a"), builders.labeled("gone")]
    known = changes.difference(sides.both(parts), builders.released("train", before))
    table = card.card_rows("v2", None, parts, known)
    assert lineage.DATASET_CARD.problems(table) == []
    assert table.to_pylist() == [
        {
            "version": "v2",
            "previous_version": None,
            "n_train": 3,
            "n_test": 2,
            "n_added": 4,
            "n_removed": 1,
            "n_relabeled": 0,
        }
    ]


AUDITED = audit.Report(
    judged=400,
    right=380,
    unclear=7,
    open=3,
    stale=2,
    low=0.924,
    high=0.967,
    categories=150,
    categories_right=120,
    pairs=390,
    pairs_same=351,
)


def test_the_card_says_the_audited_accuracy_or_that_there_is_none(tables, documents):
    provenance = card.Provenance("small", {}, False)
    found = card.documents(ROW, tables, SMALL, provenance, audited=AUDITED)
    page = found["README.md"].decode("utf-8")
    assert "380 of 400 labels of a sample of Test were right, 95.0 %" in page
    assert "95 % interval 92.4 to 96.7 %, Wilson" in page
    assert "120 of 150 unsafe rows" in page
    assert "same label to 351 of 390 rows" in page
    assert "7 unclear, 3 not decided, 2 not in this Test" in page
    assert "not audited" not in page
    assert "**not audited** by people" in documents["README.md"]


def test_the_front_matter_is_yaml_that_names_files_size_and_licence(documents):
    for name in ("README.md", "public_card.md"):
        front = yaml.safe_load(documents[name].split("---\n")[1])
        assert front["size_categories"] == ["n<1K"]
        assert front["license"] == "other"
        assert [f["path"] for f in front["configs"][0]["data_files"]] == [
            "train.parquet",
            "test.parquet",
        ]


def test_the_public_card_names_no_file_that_stays_inside(documents):
    for name in ("losses.parquet", "changes.parquet", "audit_sample"):
        assert name not in documents["public_card.md"]
    assert "ids and labels of such rows are kept" in documents["public_card.md"]
    assert "losses.parquet" in documents["README.md"]


def test_the_card_tells_the_terms_of_every_source(tables):
    sources = [
        ("posts", "forum", "CC-BY-4.0", True, True),
        ("real_prompts", "own", None, False, True),
    ]
    found = card.documents(ROW, tables, SMALL, card.Provenance("small", {}, False, sources))
    page = found["README.md"].decode("utf-8")
    assert "| posts | forum | CC-BY-4.0 | yes | yes |" in page
    assert "| real_prompts | own | not stated | no | yes |" in page


def test_the_card_tells_the_changes_per_category(tables):
    now = pa.concat_tables([tables["train_set"], tables["test_set"]])
    before = now.to_pylist()[1:]
    before[0] |= {"label": "safe", "micro_category": None}
    changed = changes.difference(now, builders.released("train", before))
    found = card.documents(ROW, tables, SMALL, card.Provenance("small", {}, False), changed)
    page = found["README.md"].decode("utf-8")
    assert "1 are label flips on unchanged text" in page
    lines = changes.by_category(changed, SMALL)
    assert lines
    for code, added, removed, came, left in lines:
        assert f"| {code} | {added} | {removed} | {came} | {left} |" in page


def test_the_gaps_name_empty_and_thin_categories_and_open_rows(released, tables):
    found = composition.gaps(released, tables, SMALL)
    assert found[0] == "No rows at all: M1b, M1c, M2a, M2c."
    assert found[1] == "Fewer than 20 Test rows: M1a, M2b, safe."
    assert found[2] == "Left out because models could not decide: 1 unresolved."
    own = [row for row in released if row["origin"] != "real"]
    assert any("No prompts of real users" in gap for gap in composition.gaps(own, {}, SMALL))


@pytest.mark.parametrize(
    ("rows", "name"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (456_752, "100K<n<1M"), (10**6, "1M<n<10M")],
)
def test_sizes_are_named_as_on_the_hub(rows, name):
    assert composition.size(rows) == name


def test_the_sealed_files_are_the_schema_and_the_changes():
    changed = changes.CHANGES.build([])
    found = card.sealed(changed)
    assert found["changes.parquet"] is changed
    names = [column["name"] for column in json.loads(found["schema.json"])]
    assert names == lineage.TRAIN_SET.arrow.names
