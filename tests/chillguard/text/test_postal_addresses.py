import pytest
from hypothesis import given
from hypothesis import strategies as st

from chillguard.text import postal_addresses


def replaced(text, mark="<A>"):
    """The text with a mark in place of every address."""
    for start, end, _ in reversed(list(postal_addresses.find(text))):
        text = text[:start] + mark + text[end:]
    return text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("我住在北京市海淀区学院路37号。", "我住在<A>。"),
        ("地址：和平小区3号楼2单元501室", "地址：<A>"),
        ("寄到上海市某某路12弄3号，谢谢", "寄到<A>，谢谢"),
    ],
)
def test_a_numbered_place_with_a_region_or_a_cue_is_replaced(text, expected):
    assert replaced(text) == expected


@pytest.mark.parametrize("text", ["", "路上有3个人。", "请走人民路。", "这本书讲了100个村的故事。"])
def test_a_place_without_a_number_and_a_number_without_a_place_stay(text):
    assert replaced(text) == text


@given(st.text("北京市路3号楼2单元501室，。abc地址：", max_size=40))
def test_a_replaced_text_is_the_old_one_but_for_the_marks(text):
    parts = replaced(text, "\0").split("\0")
    place = 0
    for part in parts:
        place = text.index(part, place) + len(part)
    assert text.startswith(parts[0])
    assert text.endswith(parts[-1])
