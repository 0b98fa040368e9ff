import pytest

from chillguard.text import personal_data


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("香港身份证A123456(3)", "香港身份证<ID_CARD>"),
        ("號碼A123456(4)", "號碼A123456(4)"),
        ("身份证A1234563", "身份证<ID_CARD>"),
        ("型号A1234563", "型号A1234563"),
        ("身份证字號A123456789", "身份证字號<ID_CARD>"),
        ("身份证字號A123456788", "身份证字號A123456788"),
        ("澳门身份证1234567(8)", "澳门身份证<ID_CARD>"),
        ("第1234567(8)页", "第1234567(8)页"),
        ("台胞證：12345678", "台胞證：<PASSPORT>"),
        ("回乡证H1234567890", "回乡证<PASSPORT>"),
        ("護照號碼：E12345678", "護照號碼：<PASSPORT>"),
        ("粤Z1234港", "<PLATE>"),
    ],
)
def test_documents_need_their_check_digit_or_a_cue(text, clean):
    assert personal_data.replace(text) == clean
