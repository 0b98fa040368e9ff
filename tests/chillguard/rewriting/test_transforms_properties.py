"""What every transform keeps to; what each one writes is in test_transforms.py."""

import re
import unicodedata
from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chillguard import taxonomy
from chillguard.cleaning import survivors
from chillguard.rewriting import transforms
from chillguard.tables import lineage
from chillguard.text import matching, personal_data
from tests.chillguard import builders

EMOJI = "".join(
    sign for group in taxonomy.packaged("emoji.yaml").values() for sign in group.values()
)
SPLIT = taxonomy.packaged("split_characters.yaml")
PAIRS = {left + right for left, rights in SPLIT.items() for right in rights.values()}
SEPARATORS = "·-—*"

URLS = ("https://example.org/a?b=1", "http://example.org/", "www.example.org/x_y")
WORDS = ("app", "iPhone15", "Wi", "3", "v2", "café", "мир")
MARKS = ("，", "。", "？", " ", "\n", "“", "（", ":", ",", "/", "<", "、")
FEW = "好他说的是一在有我们时间学校电话问题猫钱酒药打法国园这边吗女子言日十口未王里马上下龦曱"
HAN = st.one_of(st.sampled_from(FEW), st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF))
TOKENS = st.sampled_from([*personal_data.PLACEHOLDERS, *URLS, *WORDS, *MARKS])
MIXED = st.lists(st.one_of(HAN, HAN, HAN, TOKENS), max_size=25).map("".join)
ALL = pytest.mark.parametrize("name", sorted(transforms.TRANSFORMS))
HAN_ONLY = pytest.mark.parametrize("name", sorted({*transforms.TRANSFORMS} - {"full_width"}))

# Characters that the transform may write, beside Han ones.
WRITES = {
    "traditional": "",
    "homophones": "",
    "pinyin": "abcdefghijklmnopqrstuvwxyz",
    "initials": "abcdefghijklmnopqrstuvwxyz",
    "split_characters": "",
    "variant_characters": "",
    "inserted_symbols": SEPARATORS,
    "zero_width": "\u200b",
    "emoji": EMOJI,
}
# Shortest and longest output per character of input.
BOUNDS = {name: (1, 1) for name in transforms.TRANSFORMS} | {
    "pinyin": (1, 6),
    "split_characters": (1, 2),
    "inserted_symbols": (1, 2),
    "zero_width": (1, 2),
    "emoji": (1 / 3, 1),
}
QUALIFYING = {
    "full_width": ("a", "7", "(", "a好"),
    "traditional": ("园", "这"),
    "homophones": ("是", "好"),
    "pinyin": ("是", "女", "，是"),
    "initials": ("是在", "银行", "公园"),
    "split_characters": ("好", "法"),
    "variant_characters": ("峰", "未"),
    "inserted_symbols": ("是在", "龦龦"),
    "zero_width": ("是在", "龦龦"),
    "emoji": ("猫", "自行车"),
}


def _is_han(character):
    return unicodedata.name(character, "").startswith("CJK UNIFIED")


def _kept_words(text):
    pattern = "|".join([*personal_data.PLACEHOLDERS, r"(?:https?://|www\.)[!-~]+", "[^\\W_]+"])
    spaced = "".join(f" {c} " if _is_han(c) or c in EMOJI else c for c in text)
    return Counter(word for word in re.findall(pattern, spaced) if not _is_han(word[0]))


@ALL
@settings(max_examples=60)
@given(MIXED)
def test_the_same_text_gives_the_same_result(name, text):
    transform = transforms.TRANSFORMS[name]
    assert transform(text) == transform(text)


@ALL
@settings(max_examples=60)
@given(MIXED)
def test_the_length_stays_within_its_bounds(name, text):
    low, high = BOUNDS[name]
    size = len(transforms.TRANSFORMS[name](text))
    assert low * len(text) <= size <= high * len(text)


@HAN_ONLY
@settings(max_examples=60)
@given(MIXED)
def test_only_runs_of_han_characters_change(name, text):
    written = f"(?:[\u3400-\u9fff\U00020000-\U000323af{re.escape(WRITES[name])}])*"
    runs = re.split("([\u4e00-\u9fff]+)", text)
    pattern = "".join(written if n % 2 else re.escape(run) for n, run in enumerate(runs))
    assert re.fullmatch(pattern, transforms.TRANSFORMS[name](text))


@HAN_ONLY
@settings(max_examples=60)
@given(MIXED)
def test_placeholders_urls_and_words_of_other_scripts_stay_whole(name, text):
    assert _kept_words(text) <= _kept_words(transforms.TRANSFORMS[name](text))


@settings(max_examples=60)
@given(MIXED)
def test_full_width_leaves_placeholders_and_urls_alone(text):
    kept = re.compile("|".join([*personal_data.PLACEHOLDERS, r"(?:https?://|www\.)[!-~]+"]))
    found = transforms.full_width(text)
    assert kept.findall(found) == kept.findall(text)
    assert not re.search("[!-~]", kept.sub("", found))


@ALL
@settings(max_examples=60)
@given(st.lists(st.one_of(HAN, TOKENS, st.sampled_from("@._-+")), max_size=20).map("".join))
def test_no_personal_data_appears_that_was_not_there(name, text):
    assume(personal_data.replace(text) == text)
    found = transforms.TRANSFORMS[name](text)
    assert personal_data.replace(found) == found


@ALL
@settings(max_examples=60)
@given(MIXED, MIXED, st.data())
def test_a_text_with_something_to_change_changes(name, before, after, data):
    text = f"{before} {data.draw(st.sampled_from(QUALIFYING[name]))} {after}"
    assert transforms.TRANSFORMS[name](text) != text


@pytest.mark.parametrize("name", sorted(transforms.INVERSES))
@settings(max_examples=60)
@given(MIXED)
def test_an_inverse_gives_the_text_back(name, text):
    if name == "traditional":
        text = builders.mixed(text)
    assume(name != "full_width" or not re.search("[！-～]", text))
    assume(name != "inserted_symbols" or not set(SEPARATORS) & set(text))
    assume(name != "split_characters" or not any(pair in text for pair in PAIRS))
    assert transforms.INVERSES[name](transforms.TRANSFORMS[name](text)) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("full_width", "a！"),
        ("traditional", "沈船"),
        ("traditional", "乾"),
        ("split_characters", "女子"),
        ("inserted_symbols", "一-二"),
        ("zero_width", "一\u200b二"),
        ("emoji", "🐱"),
    ],
)
def test_an_inverse_is_not_exact_outside_its_precondition(name, text):
    assert transforms.INVERSES[name](transforms.TRANSFORMS[name](text)) != text


@ALL
def test_cleaning_keeps_the_outputs_of_a_family_with_their_characters(name):
    rows = []
    for n in range(6):
        source = builders.mixed(n)[:-1] + "，再问问app3怎么用？"
        rows.append(builders.prompt(f"s{n}", source, origin="real"))
        text = transforms.TRANSFORMS[name](source)
        rows.append(builders.prompt(f"w{n}", text, origin="rewrite", family_id=f"s{n}"))
    table = survivors.clean(lineage.CANDIDATE_PROMPTS.build(rows), (), survivors.CleaningConfig())
    found = builders.by_id(table)
    for row in rows:
        kept = found[row["prompt_id"]]
        assert (kept["text"], kept["drop_reason"]) == (row["text"], None)
        assert kept["match_text"] == matching.match_text(row["text"])


def test_cleaning_keeps_all_transforms_of_one_text_as_one_family():
    source = "今天下班以后想和朋友去公园散步，顺便买点茶叶给家里的老人，请问app3怎么用？"
    texts = [source, *(transform(source) for transform in transforms.TRANSFORMS.values())]
    rows = [
        builders.prompt(f"w{n}", text, origin="rewrite", family_id="s")
        for n, text in enumerate(texts)
    ]
    table = survivors.clean(lineage.CANDIDATE_PROMPTS.build(rows), (), survivors.CleaningConfig())
    kept = [row["text"] for row in table.to_pylist() if row["drop_reason"] is None]
    assert sorted(kept) == sorted(texts)
