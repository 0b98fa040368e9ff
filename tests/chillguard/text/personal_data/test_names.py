import pytest

from chillguard.text import personal_data


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("收件人：王小明", "收件人：<NAME>"),
        ("收件人：欧阳小红\n发货", "收件人：<NAME>\n发货"),
        ("收件人：客服部", "收件人：客服部"),
        ("联系人：无", "联系人：无"),
        ("地址：北京市朝阳区建国路88号，谢谢", "地址：<ADDRESS>，谢谢"),
        ("<PHONE>左右", "<PHONE>左右"),
        ("请联系李女士<PHONE>", "请联系<NAME><PHONE>"),
    ],
)
def test_a_name_needs_a_field_or_contact_data_beside_it(text, clean):
    assert personal_data.replace(text) == clean
