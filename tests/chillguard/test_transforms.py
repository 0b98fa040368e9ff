import pytest
from hypothesis import given
from hypothesis import strategies as st

from chillguard import matching, transforms
from tests.chillguard import builders

SENTENCES = [builders.mixed(seed) for seed in range(60)]
HAN = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5), max_size=30)
ANY = st.text(max_size=40)
ALL = pytest.mark.parametrize("name", sorted(transforms.TRANSFORMS))


@ALL
@given(ANY)
def test_a_transform_takes_any_text_and_gives_the_same_result_again(name, text):
    transform = transforms.TRANSFORMS[name]
    assert transform(text) == transform(text)
    assert bool(transform(text)) == bool(text)


@ALL
def test_a_transform_leaves_no_text_and_no_words_alone(name):
    assert transforms.TRANSFORMS[name]("") == ""
    assert transforms.TRANSFORMS[name]("。？") == "。？"


@given(ANY)
def test_full_width_keeps_the_length_and_leaves_no_ascii_mark(text):
    found = transforms.full_width(text)
    assert len(found) == len(text)
    assert not any("!" <= c <= "~" for c in found)


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
