import pytest

from chillguard import card, release, schema
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
    assert set(found) == {"README.md", "report.html"}
    return {name: content.decode("utf-8") for name, content in found.items()}


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
    assert documents["README.md"].startswith("---\nlanguage: [zh]\n")
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
    [("今天适合散步吗？", "今天… (8 chars)"), ("", "… (0 chars)"), (None, "… (0 chars)")],
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
    found = card.composition(released)
    assert found == [
        ("train", "rag", 0, 2, 2),
        ("train", "public", 1, 0, 1),
        ("test", "real", 1, 0, 1),
        ("test", "rag", 0, 1, 1),
    ]
    assert sum(line[-1] for line in found) == len(released)
    assert all(safe + unsafe == whole for _, _, safe, unsafe, whole in found)


def test_the_categories_add_up_and_name_empty_ones(released):
    found = card.categories(released, SMALL)
    assert [code for code, *_ in found] == [*SMALL.codes, "safe"]
    counts = {code: (train, test) for code, _, train, test in found}
    assert counts == {
        **dict.fromkeys(SMALL.codes, (0, 0)),
        "M1a": (1, 1),
        "M2b": (1, 0),
        "safe": (1, 1),
    }
    assert sum(map(sum, counts.values())) == len(released)


def test_the_terms_count_publishable_rows_by_origin(released):
    assert card.terms(released) == [("real", 1, 1), ("rag", 3, 3), ("public", 1, 0)]


def test_the_jury_lists_every_juror_with_its_votes(tables):
    assert card.jury(tables) == [
        ("juror_1", "m1@1", 3, 5, 1),
        ("juror_2", "m2@1", 3, 5, 1),
    ]
    assert card.jury({"jury_votes/juror_1": schema.JURY_VOTES.build([])}) == []


def test_the_loss_ledger_names_every_dropped_row(tables):
    found = card.losses(tables)
    assert builders.columns(found, "asset", "row_id", "drop_reason") == [
        ("candidate_prompts", "r2", "not_retained"),
        ("clean_prompts", "s2", "near_duplicate"),
        ("crawled_posts/a", "p9", "too_short"),
        ("labeled_prompts", "w1", "unresolved"),
        ("real_prompts", "r9", "duplicate"),
        ("release_drops", "s4", "balance"),
        ("rewritten_prompts", "w2", "quarantined"),
        ("synthesized_prompts", "s9", "no_source"),
    ]
    assert set(found["drop_evidence"].to_pylist()) == {"why"}


def test_the_card_row_counts_sides_and_changes(tables):
    parts = release.Parts(tables["train_set"], tables["test_set"], tables["release_drops"])
    diff = release.Difference(("a", "b"), ("c",), ())
    table = card.card_rows("v2", None, parts, diff)
    assert schema.DATASET_CARD.problems(table) == []
    assert table.to_pylist() == [
        {
            "version": "v2",
            "previous_version": None,
            "n_train": 3,
            "n_test": 2,
            "n_added": 2,
            "n_removed": 1,
            "n_relabeled": 0,
        }
    ]
