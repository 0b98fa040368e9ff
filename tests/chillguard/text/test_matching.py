import pytest
from hypothesis import given
from hypothesis import strategies as st

from chillguard.rewriting import transforms
from chillguard.text import matching

SETS = st.sets(st.sampled_from("abcdef"), min_size=1)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("今天 适合，散步吗？", "今天适合散步吗"),
        ("ＡＢＣ１２３", "abc123"),
        ("Hello World", "helloworld"),
        ("今天\u200b适\ufeff合\u00ad散步", "今天适合散步"),
        ("❤️今天😀散步", "今天散步"),
        ("請問這個問題怎麼說", "请问这个问题怎么说"),
        ("今_天*散·步—吗-", "今天散步吗"),
        ("①②", "12"),
        ("今天\u0000散\u0007步\u3164\t吧\n", "今天散步吧"),
        ("好！！！！？？？好。。。。。", "好好"),
        ("\u85b4", "\u82ce"),
        ("", ""),
        ("？！。", ""),
    ],
)
def test_the_compared_form_folds_surface_differences(text, match):
    assert matching.match_text(text) == match


@given(
    st.text(st.sampled_from("今天散步公园ab1"), max_size=20), st.sampled_from(" ，。*-—_\u200b😀")
)
def test_marks_between_characters_do_not_matter(text, mark):
    assert matching.match_text(mark.join(text)) == matching.match_text(text)


@given(st.text())
def test_the_compared_form_has_word_characters_only(text):
    found = matching.match_text(text)
    assert all(c.isalnum() for c in found)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_folding_a_folded_text_changes_nothing(text):
    once = matching.match_text(text)
    assert matching.match_text(once) == once


def test_folding_a_folded_character_changes_nothing():
    for code in range(0x3400, 0xA000):
        once = matching.match_text(chr(code))
        assert matching.match_text(once) == once, hex(code)


@pytest.mark.parametrize("name", ["full_width", "traditional", "inserted_symbols", "zero_width"])
@given(st.text(st.sampled_from("今天散步公园河边后来发展说话学校电话ab12"), max_size=30))
def test_what_a_surface_transform_writes_otherwise_folds_back(name, text):
    assert matching.match_text(transforms.TRANSFORMS[name](text)) == matching.match_text(text)


def test_word_order_matters():
    assert matching.match_text("狗咬人") != matching.match_text("人咬狗")


@pytest.mark.parametrize(
    ("match", "found"),
    [
        ("", {""}),
        ("今", {"今"}),
        ("今天", {"今天"}),
        ("今天好", {"今天好"}),
        ("今天好吗", {"今天好", "天好吗"}),
        ("哈哈哈哈", {"哈哈哈"}),
    ],
)
def test_shingles_are_runs_of_characters(match, found):
    assert matching.shingles(match, 3) == found


@given(SETS, SETS)
def test_jaccard_is_a_symmetric_share(left, right):
    score = matching.jaccard(left, right)
    assert score == matching.jaccard(right, left)
    assert 0 <= score <= 1
    assert (score == 1) == (left == right)
    assert (score == 0) == (not left & right)
    assert score == pytest.approx(len(left & right) / len(left | right))
