import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn
from stdnum.cn import ric

from chillguard.text import personal_data

# No family names among them: one beside a number is a finding of its own.
HAN = st.text(st.sampled_from("今天散步公园河边风雨花草的了好吗上下左右去来看书"), max_size=8)


def _id_card(body):
    """A made-up resident id: region of Beijing, born 1900, with its check digit."""
    digits = f"11010119000101{body:03d}"
    return digits + ric.calc_check_digit(digits + "0")


def _card(body):
    """A made-up card number with the prefix of UnionPay, in a range that no bank has."""
    digits = f"620000{body:09d}"
    return digits + luhn.calc_check_digit(digits)


def _other_check(number):
    return number[:-1] + str((int(number[-1]) + 1) % 10)


@given(st.integers(0, 999), HAN, HAN)
def test_a_resident_id_with_its_check_digit_is_replaced(body, before, after):
    assert personal_data.replace(f"{before}{_id_card(body)}{after}") == f"{before}<ID_CARD>{after}"


def test_the_check_letter_of_a_resident_id_may_be_small():
    number = next(_id_card(n) for n in range(999) if _id_card(n).endswith("X"))
    assert personal_data.replace(f"证件{number.lower()}号") == "证件<ID_CARD>号"


@given(st.integers(0, 999))
def test_a_resident_id_with_a_wrong_check_digit_is_not_called_one(body):
    number = _id_card(body)
    wrong = number[:-1] + ("1" if number[-1] != "1" else "2")
    assert "<ID_CARD>" not in personal_data.replace(f"编号{wrong}吧")


def test_a_resident_id_may_name_a_region_that_is_younger_than_its_holder():
    body = "31011519610101001"
    number = body + ric.calc_check_digit(body + "0")
    assert not ric.is_valid(number)
    assert personal_data.replace(f"证件{number}号") == "证件<ID_CARD>号"


def test_a_resident_id_inside_a_longer_code_is_not_one():
    assert "<ID_CARD>" not in personal_data.replace(f"编号AB{_id_card(7)}")
    assert "<ID_CARD>" not in personal_data.replace(f"编号{_id_card(7)}Z")


@given(st.integers(0, 999_999_999), HAN, HAN)
def test_a_card_number_that_passes_luhn_is_replaced(body, before, after):
    text = f"{before}{_card(body)}{after}"
    assert personal_data.replace(text) == f"{before}<BANK_CARD>{after}"


@pytest.mark.parametrize("mark", [" ", "-"])
def test_a_card_number_in_groups_is_replaced(mark):
    number = _card(123456789)
    grouped = mark.join(number[i : i + 4] for i in range(0, 16, 4))
    assert personal_data.replace(f"卡号{grouped}。") == "卡号<BANK_CARD>。"


@given(st.integers(0, 999_999_999))
def test_a_number_that_fails_luhn_is_no_card(body):
    assert "<BANK_CARD>" not in personal_data.replace(f"订单{_other_check(_card(body))}到了")


@pytest.mark.parametrize(("size", "card"), [(12, False), (13, True), (19, True), (20, False)])
def test_cards_have_thirteen_to_nineteen_digits(size, card):
    digits = ("99990" * 4)[: size - 1]
    number = digits + luhn.calc_check_digit(digits)
    assert ("<BANK_CARD>" in personal_data.replace(f"卡号{number}吧")) == card


@pytest.mark.parametrize(
    "phone",
    [
        "13900000000",
        "139 0000 0000",
        "139-0000-0000",
        "+86 13900000000",
        "+8613900000000",
        "+86 13987014521",  # with its country code it passes Luhn
        "0086 139 0000 0000",
        "021-60000000",
        "(021) 60000000",
        "+1 202-555-0143",
    ],
)
def test_phones_are_replaced_whatever_stands_around_them(phone):
    assert personal_data.replace(phone) == "<PHONE>"
    assert personal_data.replace(f"电话是{phone}，请回电") == "电话是<PHONE>，请回电"


def test_every_phone_of_a_text_is_replaced():
    text = "小号13900000001，大号13900000002。"
    assert personal_data.replace(text) == "小号<PHONE>，大号<PHONE>。"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("写信到li.si+a@example.com吧", "写信到<EMAIL>吧"),
        ("邮箱a_b@mail.example.com.cn", "邮箱<EMAIL>"),
        ("看 @小明 的动态", "看 <HANDLE> 的动态"),
        ("@some_user 你好", "<HANDLE> 你好"),
        ("转发：@小·明：好", "转发：<HANDLE>：好"),
        ("见 @a 吧", "见 @a 吧"),
        ("3@ 元", "3@ 元"),
    ],
)
def test_mail_addresses_and_handles_are_replaced(text, clean):
    assert personal_data.replace(text) == clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("证件号110101900101001。", "证件号<ID_CARD>。"),
        ("单号110101901301001。", "单号110101901301001。"),
        (f"证件{' '.join(re.findall('.{6}', _id_card(5)))}", "证件<ID_CARD>"),
        ("车牌京A12345停着", "车牌<PLATE>停着"),
        ("车牌粤b·D1234F停着", "车牌粤b·D1234F停着"),
        ("车牌粤B·D12345停着", "车牌<PLATE>停着"),
        ("黑A1234学", "<PLATE>"),
        ("新A股市场", "新A股市场"),
        ("云ABCDEF", "云ABCDEF"),
        ("京A123456789", "京A123456789"),
        ("加微信：abc_123456吧", "加微信：<SOCIAL_ID>吧"),
        ("我的微信号是wodehao呢", "我的微信号是<SOCIAL_ID>呢"),
        ("QQ12345678聊", "QQ<SOCIAL_ID>聊"),
        ("加我vx: hao-2024", "加我vx: <SOCIAL_ID>"),
        ("找123456789（QQ）", "找<SOCIAL_ID>（QQ）"),
        ("微信红包100元", "微信红包100元"),
        ("QQ2010版本", "QQ2010版本"),
        ("微信wechat好用吗", "微信wechat好用吗"),
        ("护照号E12345678", "护照号<PASSPORT>"),
        ("产品号E12345678", "产品号E12345678"),
    ],
)
def test_documents_plates_and_social_ids_need_their_form_or_a_cue(text, clean):
    assert personal_data.replace(text) == clean
    assert personal_data.replace(clean) == clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("收件人：王小明，手机13900000000", "收件人：<NAME>，手机<PHONE>"),
        ("王小明 13900000000", "<NAME> <PHONE>"),
        ("王小明的电话是13900000000", "<NAME>的电话是<PHONE>"),
        ("请联系李女士，电话：021-60000000", "请联系<NAME>，电话：<PHONE>"),
        ("13900000000（欧阳小红）", "<PHONE>（<NAME>）"),
        ("我叫王小明，邮箱a@example.com", "我叫<NAME>，邮箱<EMAIL>"),
        ("客服电话13900000000", "客服电话<PHONE>"),
        ("周末电话13900000000", "周末电话<PHONE>"),
        ("我叫王小明，今天来公园", "我叫王小明，今天来公园"),
    ],
)
def test_a_name_is_replaced_beside_contact_data_only(text, clean):
    assert personal_data.replace(text) == clean
    assert personal_data.replace(clean) == clean


def test_kinds_stand_side_by_side():
    text = f"证{_id_card(5)}卡{_card(5)}电13900000000邮a@example.com人：@小明"
    clean = "证<ID_CARD>卡<BANK_CARD>电<PHONE>邮<EMAIL>人：<HANDLE>"
    assert personal_data.replace(text) == clean


@given(st.text(st.characters(categories=["Lo", "Po", "Zs", "So"], exclude_characters="@＠")))
def test_text_without_digits_and_at_signs_is_untouched(text):
    assert personal_data.replace(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "今天天气不错，我们去公园散步吧。",
        "2024年11月21日12:30:45，一共1,234,567人参加。",
        "2024-11-21 12:30:45",
        "圆周率是3.14159265358979。",
        "第12届，共3场，比分101:98，涨了12.5%。",
        "每斤3元 @ 第5摊",
        "订单号20241121001234已发货",
        "<PHONE>打不通，写<EMAIL>也没回",
        "收到<ADDRESS>寄来的<PLATE>和<SOCIAL_ID>，<NAME>说谢谢",
        "A座3层有个公园，B座5楼是书店",
    ],
)
def test_ordinary_chinese_text_is_untouched(text):
    assert personal_data.replace(text) == text


PIECES = st.lists(
    st.one_of(
        st.integers(0, 999).map(_id_card),
        st.integers(0, 999_999_999).map(_card),
        st.sampled_from(
            [
                "13900000000",
                "a@example.com",
                "@小明 ",
                "，",
                "今天",
                "21日",
                " ",
                "王小明",
                "京A12345",
                "文三路5号",
                "微信hao_2024",
            ]
        ),
        HAN,
    ),
    max_size=6,
)


@given(PIECES)
def test_a_second_pass_finds_nothing_in_texts_with_marks_between(pieces):
    once = personal_data.replace("，".join(pieces))
    assert personal_data.replace(once) == once
