import pytest
from hypothesis import given
from hypothesis import strategies as st

from chillguard.text import matching, personal_data
from chillguard.text.personal_data import numbers
from tests.chillguard.text import hidden_data, planted_data


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("我电话一三八零零一三八零零零", "我电话<PHONE>"),
        ("手机13８-００13-8０00", "手机<PHONE>"),
        ("打我1️⃣3️⃣8️⃣0️⃣0️⃣1️⃣3️⃣8️⃣0️⃣0️⃣0️⃣！", "打我<PHONE>！"),
        ("电话：(86)138 0013 8000", "电话：<PHONE>"),
        ("电话138\u00a00013\u200b8000。", "电话<PHONE>。"),
        ("第一，13800138000", "第一，<PHONE>"),
        ("电话：6000 0000", "电话：<PHONE>"),
        ("身份证 1101 0119 9001 0112 37", "身份证 <ID_CARD>"),
        ("卡号6222 0212 3456 7890 128", "卡号<BANK_CARD>"),
    ],
)
def test_numbers_are_found_in_every_spelling(text, clean):
    assert personal_data.replace(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "400-820-8820",
        "预算 13,800,138,000 元",
        "圆周率0.13800138000",
        "1700000000000",
        "1799（1999-200），很便宜",
        "订单4111111111111111",
        "1-2-3-4-5-6-7-8-9-10-11",
        "1、3、5、7、9、11、13、15、17",
        "歼-20，055，075，001",
        "一二三四五六七八九十",
        "2024-01-15 13:45:30.123456",
        "序列号a13800138000b",
    ],
)
def test_other_numbers_stay(text):
    assert personal_data.replace(text) == text


def test_the_issuer_or_the_words_beside_make_a_card():
    assert personal_data.replace("卡号9999000000000004") == "卡号<BANK_CARD>"
    assert personal_data.replace("查9999000000000004") == "查9999000000000004"


@pytest.mark.parametrize(
    ("region", "day", "holds"),
    [
        ("110101", "19900101", True),
        ("110101", "19900230", False),
        ("999999", "19900101", False),
        ("110101", "18900101", False),
    ],
)
def test_region_and_date_of_birth_are_real(region, day, holds):
    assert numbers.born(region, day) is holds


@given(st.integers(0, 10**6))
def test_the_compared_form_never_holds_what_the_text_hides(seed):
    kinds = {kind: hidden_data.HIDDEN[kind] for kind in ("mobile", "resident id", "bank card")}
    for plant in planted_data.planted(seed, 3, kinds):
        clean = personal_data.replace(plant.text)
        digits = "".join(c for c in matching.match_text(plant.value) if c.isascii())
        assert not digits or digits not in matching.match_text(clean)
        assert personal_data.replace(clean) == clean
        assert personal_data.overlooked(clean) == []
