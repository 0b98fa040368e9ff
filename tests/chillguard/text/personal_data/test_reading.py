import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chillguard.text.personal_data.reading import CONTACT, Reading, matches

ODD = st.text(st.sampled_from("a1天，１②㊀\u200b\u20e3\ufe0f樓❷⑫ ＠♥\ue000"), max_size=30)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("１３８", "138"),
        ("①③⑧⑫❶⓿", "1381210"),
        ("1\ufe0f\u20e33\u200b8", "138"),
        ("𝟏𝟑𝟖", "138"),
        ("樓號", "楼号"),
        ("薇♥", "薇❤"),
        ("a\u00a0b\u3000c", "a b c"),
        ("1—2−3", "1-2-3"),
        ("：，（）", ":,()"),
    ],
)
def test_width_script_and_spelling_are_folded(text, plain):
    assert Reading.of(text).plain == plain


def test_private_characters_of_a_text_are_no_findings():
    assert CONTACT not in Reading.of(f"a{CONTACT}b").plain


@given(ODD)
def test_a_text_in_which_nothing_is_found_is_what_it_was(text):
    assert Reading.of(text).written() == text


@given(ODD, ODD)
def test_what_is_found_is_cut_out_of_the_text_as_it_was_written(before, after):
    reading = Reading.of(f"{before}x\u200bｘ\u20e3y{after}")
    reading.cover(matches(re.compile("xx"), reading.plain, "<X>"))
    assert reading.written() == f"{before}<X>y{after}"


def test_a_later_finder_does_not_look_at_what_is_covered():
    reading = Reading.of("1２3")
    reading.cover([(1, 2, "<A>")])
    reading.cover(matches(re.compile("[0-9]"), reading.plain, "<B>"))
    assert reading.written() == "<B><A><B>"


def test_gaps_are_left_out_for_one_finder_only():
    reading = Reading.of("a b c")
    reading.cover_without(re.compile(" "), lambda plain: matches(re.compile("ab"), plain, "<X>"))
    assert reading.written() == "<X> c"
