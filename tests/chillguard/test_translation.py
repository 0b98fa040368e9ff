import pytest

from chillguard import identity, schema, screening, translation
from tests.chillguard import builders

ALL = translation.TranslationConfig(retained_safe=None, retained_unsafe=None)
ENGLISH = "Is today a good day for a walk in the park?"


def _real(key, label="safe", **columns):
    return builders.prompt(
        key, builders.mixed(key), origin="real", method="file", intended_label=label, **columns
    )


def _table(*rows):
    return schema.ANNOTATED_PROMPTS.build(rows)


def _drops(rows):
    return {row["prompt_id"]: row["drop_reason"] for row in rows}


def test_candidates_are_the_kept_rows_of_all_origins():
    tables = [
        _table(_real("a"), _real("b", drop_reason="duplicate")),
        _table(builders.prompt("c"), builders.prompt("d", origin="rewrite")),
        _table(builders.prompt("e", origin="public")),
    ]
    assert _drops(translation.candidates(tables, ALL)) == dict.fromkeys("acde")


def test_real_prompts_beyond_the_retained_number_only_seed_rewrites():
    rows = [_real(f"{label}{n}", label) for label in ("safe", "unsafe") for n in range(20)]
    rows += [_real(f"open{n}", None) for n in range(5)]
    config = translation.TranslationConfig(retained_safe=7, retained_unsafe=3)
    found = translation.candidates([_table(*rows), _table(builders.prompt("rag"))], config)
    kept = [key for key, reason in _drops(found).items() if reason is None]
    assert len(found) == len(rows) + 1
    assert sum(key.startswith("unsafe") for key in kept) == 3
    assert sum(key.startswith(("safe", "open")) for key in kept) == 7
    assert "rag" in kept
    assert set(_drops(found).values()) == {None, "not_retained"}


def test_the_retained_prompts_are_a_stable_draw():
    config = translation.TranslationConfig(retained_safe=10, retained_unsafe=0)

    def kept(count):
        rows = [_real(f"k{n:03}") for n in range(count)]
        found = _drops(translation.candidates([_table(*rows)], config))
        return {key for key, reason in found.items() if reason is None}

    assert len(kept(100) - kept(101)) <= 1
    assert len(kept(100)) == len(kept(101)) == 10


@pytest.mark.parametrize(
    ("lang", "reason"), [("zh", None), ("en", None), ("ja", "language"), (None, "language")]
)
def test_a_row_in_no_language_of_ours_is_dropped(lang, reason):
    (row,) = translation.candidates([_table(builders.prompt("a", lang=lang))], ALL)
    assert row["drop_reason"] == reason
    assert row["drop_evidence"] == (f"detected {lang}" if reason else None)


def test_only_kept_english_rows_are_translated():
    rows = [
        builders.prompt("a", ENGLISH, lang="en"),
        builders.prompt("b"),
        builders.prompt("c", ENGLISH, lang="en", drop_reason="not_retained"),
    ]
    assert [row["prompt_id"] for row in translation.english(rows)] == ["a"]


def test_a_translated_row_keeps_its_identity_and_its_first_text():
    rows = [builders.prompt("a", ENGLISH, lang="en"), builders.prompt("b")]
    table = translation.translated(rows, translation.english(rows), [" 今天适合散步吗？\n"])
    assert schema.CANDIDATE_PROMPTS.problems(table) == []
    found = builders.by_id(table)
    assert found["a"]["text"] == "今天适合散步吗？"
    assert found["a"]["translated_from"] == ENGLISH
    assert found["a"]["lang"] == "zh"
    assert found["a"]["text_hash"] == identity.text_hash("今天适合散步吗？")
    assert found["a"]["drop_reason"] is None
    assert found["b"]["translated_from"] is None


@pytest.mark.parametrize("text", ["", "  ", ENGLISH])
def test_what_comes_back_without_chinese_drops_the_row(text):
    rows = [builders.prompt("a", ENGLISH, lang="en")]
    (row,) = translation.translated(rows, rows, [text]).to_pylist()
    assert row["drop_reason"] == "untranslated"
    assert row["text"] == ENGLISH


def test_a_translation_passes_the_door_like_any_text():
    forbidden = "，".join(group[0] for group in screening.rules()[1].all_of)
    rows = [builders.prompt(key, ENGLISH, lang="en") for key in "ab"]
    found = builders.by_id(translation.translated(rows, rows, [forbidden, "请打13900000000找我们"]))
    assert (found["a"]["text"], found["a"]["drop_reason"]) == (None, "screened")
    assert found["a"]["text_hash"] == identity.text_hash(forbidden)
    assert (found["b"]["text"], found["b"]["drop_reason"]) == ("请打<PHONE>找我们", None)


def test_translations_must_pair_with_their_originals():
    rows = [builders.prompt("a", ENGLISH, lang="en")]
    with pytest.raises(ValueError):
        translation.translated(rows, rows, [])
