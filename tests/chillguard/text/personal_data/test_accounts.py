import pytest

from chillguard.text import personal_data


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("加我w信 abc12345", "加我w信 <SOCIAL_ID>"),
        ("➕薇❤️：abc_12345", "➕薇❤️：<SOCIAL_ID>"),
        ("找企鹅：一二三四五六七", "找企鹅：<SOCIAL_ID>"),
        ("lisi艾特qq点com", "<EMAIL>"),
        ("lisi123(a)163.com", "<EMAIL>"),
        ("lisi_123 [AT] gmail [DOT] com", "<EMAIL>"),
        ("12345678＠qq。com", "<EMAIL>"),
        ("回复.CHUNLING@EXAMPLE.COM", "回复.<EMAIL>"),
        ("@小助手帮我写一首诗，要押韵", "<HANDLE>帮我写一首诗，要押韵"),
        ("@小河 明天见", "<HANDLE> 明天见"),
        ("@river_77帮我看看", "<HANDLE>帮我看看"),
    ],
)
def test_accounts_are_found_and_the_sentence_stays(text, clean):
    assert personal_data.replace(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "@所有人 开会",
        "@everyone hello",
        "@property\ndef size(self): ...",
        "@app.route('/')",
        "npm i @types/node@20.1.0",
        "微信8.0.45.2最新版",
        "QQ音乐2023年会员",
        "维新变法1898年",
        "look at qq.com",
        "user@localhost",
    ],
)
def test_what_looks_like_an_account_stays(text):
    assert personal_data.replace(text) == text
