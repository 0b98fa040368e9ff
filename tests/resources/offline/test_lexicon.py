import json
from collections import Counter

import pytest

from chillguard import taxonomy
from resources.offline import lexicon


def _sample(name):
    lines = (lexicon.SAMPLES / name).read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


CODES = taxonomy.parse(taxonomy.packaged("taxonomy.yaml"), "packaged").codes


@pytest.mark.parametrize(
    ("name", "count"),
    [("posts_zh.jsonl", 600), ("posts_en.jsonl", 100), ("real_prompts.jsonl", 400)],
)
def test_a_sample_file_has_its_size_and_no_id_or_text_twice(name, count):
    rows = _sample(name)
    assert len(rows) == count
    assert len({row["id"] for row in rows}) == count
    assert len({row["text"] for row in rows}) == count
    assert all(row["text"].strip() == row["text"] != "" for row in rows)


@pytest.mark.parametrize(("name", "lang"), [("posts_zh.jsonl", "zh"), ("posts_en.jsonl", "en")])
def test_sample_posts_name_their_language_and_a_known_topic(name, lang):
    rows = _sample(name)
    assert {row["lang"] for row in rows} == {lang}
    assert {row["topic"] for row in rows} - {"daily"} == set(CODES)


def test_every_category_has_sample_posts_and_unsafe_sample_prompts():
    posts = Counter(row["topic"] for row in _sample("posts_zh.jsonl"))
    prompts = Counter(
        row["category"] for row in _sample("real_prompts.jsonl") if row["label"] == "unsafe"
    )
    assert set(CODES) <= posts.keys()
    assert set(CODES) == prompts.keys()


def test_sample_prompts_are_labelled_and_the_unsafe_ones_alone_are_not_all():
    labels = Counter(row["label"] for row in _sample("real_prompts.jsonl"))
    assert {"safe", "unsafe"} <= labels.keys()
    assert min(labels["safe"], labels["unsafe"]) >= 100


def test_english_sample_posts_are_english_and_carry_their_chinese():
    for row in _sample("posts_en.jsonl"):
        assert row["text"].isascii() or not any("一" <= c <= "鿿" for c in row["text"])
        assert any("一" <= c <= "鿿" for c in row["text_zh"])


def test_public_samples_have_the_columns_of_a_public_file():
    rows = _sample("public_prompts.jsonl")
    assert rows
    assert {row["prompt_harm_label"] for row in rows} == {"yes", "no"}
    assert all(row["metadata"]["language"] for row in rows)
    assert len({row["prompt"] for row in rows}) == len(rows)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_there_are_620_seed_keywords_unique_in_each_language(language):
    seeds = taxonomy.packaged("seed_keywords.yaml")
    assert sorted(seeds) == sorted(CODES)
    assert {len(entries) for entries in seeds.values()} == {20}
    words = [entry[language].lower() for entries in seeds.values() for entry in entries]
    assert len(words) == len(set(words)) == 31 * 20


def test_every_juror_weighs_every_kind_of_marker():
    known = lexicon.lexicon()
    assert len(known["jurors"]) == 5
    for weights in known["jurors"].values():
        assert weights.keys() == known["markers"].keys() | {"none"}


def test_translations_are_those_of_the_english_sample_posts():
    rows = _sample("posts_en.jsonl")
    assert lexicon.translations() == {row["text"]: row["text_zh"] for row in rows}


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("<text>\n一\n</text>", ["一"]),
        ('a <text id="1">\n一\n二\n</text>\n<text id="2">\n三\n</text> b', ["一\n二", "三"]),
        ("no fence", []),
        ("<text>\n\n</text>", [""]),
    ],
)
def test_fenced_texts_are_read_in_order(content, texts):
    assert lexicon.fenced(content) == texts


def test_a_pick_depends_on_all_parts_and_nothing_else():
    options = list(range(1000))
    first = lexicon.pick(options, "a", "b")
    assert lexicon.pick(options, "a", "b") == first
    others = {lexicon.pick(options, *parts) for parts in (("a", "c"), ("b", "a"), ("a",), ())}
    assert first not in others


def test_picks_spread_over_the_options():
    counts = Counter(lexicon.pick(["x", "y", "z"], str(number)) for number in range(300))
    assert min(counts[option] for option in "xyz") > 60
