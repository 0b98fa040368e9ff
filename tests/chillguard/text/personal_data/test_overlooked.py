import pytest

from chillguard.text import personal_data


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("电话——1——3——9——0000——0000", ["<PHONE>"]),
        ("一三九零零零零零零零零", ["<PHONE>"]),
        ("110101*****19000101*****0010", []),
        ("6222~~~~~0212~~~~~3456~~~~~7890~~~~~128", ["<BANK_CARD>"]),
        ("a @ example . com", ["<EMAIL>"]),
        ("<PHONE>和<EMAIL>", []),
        ("一共13,800,138,000元", []),
        ("2019年1月23日 15:30开始", []),
        ("订单20241121001234", []),
    ],
)
def test_other_eyes_see_digits_only(text, kinds):
    assert personal_data.overlooked(text) == kinds
