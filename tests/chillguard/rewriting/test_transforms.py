import pytest
from hypothesis import given
from hypothesis import strategies as st

from chillguard.rewriting import transforms
from chillguard.text import matching, personal_data
from tests.chillguard import builders

SENTENCES = [builders.mixed(seed) for seed in range(60)]
HAN = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5), max_size=30)
ANY = st.text(max_size=40)
ALL = pytest.mark.parametrize("name", sorted(transforms.TRANSFORMS))


# A change of pypinyin, opencc or a table shows here: releases made before and after it differ.
WRITTEN = {
    "full_width": "下班后去公园散步（带ａｐｐ３）怎么样？先打<PHONE>问小猫",
    "traditional": "下班後去公園散步(帶app3)怎麼樣？先打<PHONE>問小貓",
    "homophones": "下班候趣公园散步(戴app3)怎么漾？先打<PHONE>问小猫",
    "pinyin": "下班houqu公园散步(带app3)怎么yang？先打<PHONE>问xiaomao",
    "initials": "下班后去公园sb(带app3)怎么样？先打<PHONE>问小猫",
    "split_characters": "下班后去公园散步(带app3)怎么木羊？先打<PHONE>问小犭苗",
    "variant_characters": "下斑后去公园散步(带app3)怎么样？先打<PHONE>间小貓",
    "inserted_symbols": "下班*后*去公园散步(带app3)怎么*样？先打<PHONE>问小*猫",
    "zero_width": "下班\u200b后\u200b去公园散步(带app3)怎么\u200b样？先打<PHONE>问小\u200b猫",
    "emoji": "下班后去公园散步(带app3)怎么样？先打<PHONE>问小🐱",
}


@ALL
@given(ANY)
def test_a_transform_takes_any_text_and_empties_none(name, text):
    assert bool(transforms.TRANSFORMS[name](text)) == bool(text)


@ALL
def test_a_transform_writes_the_same_on_every_machine(name):
    text = "下班后去公园散步(带app3)怎么样？先打<PHONE>问小猫"
    assert transforms.TRANSFORMS[name](text) == WRITTEN[name]


@ALL
def test_a_transform_leaves_no_text_and_no_words_alone(name):
    assert transforms.TRANSFORMS[name]("") == ""
    assert transforms.TRANSFORMS[name]("。？") == "。？"


@given(ANY)
def test_full_width_keeps_the_length_and_leaves_no_ascii_mark(text):
    found = transforms.full_width(text)
    assert len(found) == len(text)
    kept = {c for mark in personal_data.PLACEHOLDERS if mark in text for c in mark}
    assert not any("!" <= c <= "~" and c not in kept for c in found)


@given(st.text(st.characters(max_codepoint=0x7E, min_codepoint=0x20)), HAN)
def test_full_width_folds_back_in_the_compared_form(ascii_, han):
    text = ascii_ + han
    assert matching.match_text(transforms.full_width(text)) == matching.match_text(text)


def test_traditional_folds_back_in_the_compared_form():
    changed = 0
    for text in SENTENCES:
        found = transforms.traditional(text)
        changed += found != text
        assert matching.match_text(found) == matching.match_text(text)
    assert changed > 50


@given(HAN)
def test_inserted_symbols_only_adds_separators(text):
    found = transforms.inserted_symbols(text)
    assert "".join(c for c in found if c not in "·-—*") == text
    assert "··" not in found
    assert len(found) <= 2 * len(text)


def test_inserted_symbols_fall_between_about_a_third_of_the_pairs_and_fold_back():
    added = pairs = 0
    for text in SENTENCES:
        found = transforms.inserted_symbols(text)
        added += len(found) - len(text)
        pairs += len(text) - 2
        assert matching.match_text(found) == matching.match_text(text)
    assert 0.25 < added / pairs < 0.42


def test_symbols_are_inserted_between_chinese_characters_only():
    text = "abc 123 def, ok? 好 a 吗"
    assert transforms.inserted_symbols(text) == text


@given(HAN)
def test_homophones_have_the_same_reading_and_tone(text):
    import pypinyin

    def readings(characters):
        style = pypinyin.Style.TONE3
        return [pypinyin.lazy_pinyin(c, style=style)[0] for c in characters]

    assert readings(transforms.homophones(text)) == readings(text)


def test_homophones_replace_about_a_third_of_the_characters():
    changed = whole = 0
    for text in SENTENCES:
        found = transforms.homophones(text)
        changed += sum(a != b for a, b in zip(text, found, strict=True))
        whole += len(text)
    assert 0.2 < changed / whole < 0.4


def test_homophones_leave_other_scripts_alone():
    assert transforms.homophones("hello 123 ひらがな") == "hello 123 ひらがな"


@pytest.mark.parametrize("n", range(1, 9))
@pytest.mark.parametrize("name", ["homophones", "pinyin", "initials", "inserted_symbols"])
def test_a_short_text_changes_in_one_place_at_least(name, n):
    # Of texts this short, hashes alone would leave every few as they are.
    text = "是在" * n
    assert transforms.TRANSFORMS[name](text) != text


def test_pinyin_replaces_about_a_third_of_the_characters():
    changed = whole = 0
    for text in SENTENCES:
        left = sum(c in text for c in transforms.pinyin(text) if not c.isascii())
        changed += len(text) - left
        whole += len(text)
    assert 0.25 < changed / whole < 0.42


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("女", "nv"),
        ("a女b", "a女b"),
        ("app女", "app女"),
        ("3女", "3女"),
        ("@女", "@女"),
        ("https://example.org/女", "https://example.org/女"),
        ("<PHONE>女", "<PHONE>女"),
        ("app 女", "app nv"),
        ("龦龦龦女龦龦龦龦", "龦龦龦nv龦龦龦龦"),
        ("を女", "を女"),
    ],
)
def test_pinyin_lengthens_no_word_of_another_script(text, written):
    assert transforms.pinyin(text) == written


def test_a_reading_follows_the_word():
    assert {transforms.initials("银行"), transforms.initials("重庆")} == {"yh", "cq"}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("散步", "sb"),
        ("女吃", "nc"),
        ("女，吃", "女，吃"),
        ("a散步", "a散步"),
        ("龦龦", "龦龦"),
    ],
)
def test_initials_stand_for_words_or_else_for_neighbours(text, written):
    assert transforms.initials(text) == written


def test_characters_of_the_table_are_split_and_a_handle_is_not_made():
    assert transforms.split_characters("法好") == "氵去女子"
    assert transforms.split_characters("@好 好") == "@好 女子"


def test_variants_and_emoji_stand_for_every_entry_the_longest_first():
    assert transforms.variant_characters("峰峰未") == "峯峯末"
    assert transforms.emoji("骑自行车，不是火车或车") == "骑🚲，不是🚂或🚙"


def test_zero_width_folds_back_in_the_compared_form():
    for text in SENTENCES:
        assert matching.match_text(transforms.zero_width(text)) == matching.match_text(text)
