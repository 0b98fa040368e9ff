import pytest

from chillguard.text import language
from tests.chillguard import builders


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("今天天气怎么样？", "zh"),
        ("今天天氣怎麼樣？", "zh"),
        ("你好", "zh"),
        ("请问Python怎么安装？", "zh"),
        ("How is the weather today?", "en"),
        ("Please recommend a good book", "en"),
        ("今日はとてもいい天気ですね", "ja"),
        ("오늘 날씨가 어때요", "ko"),
    ],
)
def test_the_language_of_short_texts_is_known(text, code):
    assert language.detect(text) == code


def test_sentences_of_common_chinese_words_are_all_chinese():
    assert {language.detect(builders.mixed(seed)) for seed in range(100)} == {"zh"}


@pytest.mark.parametrize("text", ["", "123", "？？", "😀"])
def test_a_text_without_words_gets_one_of_the_four(text):
    assert language.detect(text) in {"zh", "en", "ja", "ko"}


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("zh", "zh"),
        ("ZH", "zh"),
        ("zh-CN", "zh"),
        ("zh_CN.UTF-8", "zh"),
        ("zh_Hans", "zh"),
        ("zh-Hant-TW", "zh"),
        ("zho", "zh"),
        ("chi", "zh"),
        ("cmn", "zh"),
        ("yue", "zh"),
        ("Chinese", "zh"),
        ("Chinese (Simplified)", "zh"),
        ("Mandarin Chinese", "zh"),
        ("简体中文", "zh"),
        ("漢語", "zh"),
        ("en", "en"),
        ("en-US", "en"),
        ("eng", "en"),
        ("English", "en"),
        ("英文", "en"),
        ("ja", "ja"),
        ("pt-BR", "pt"),
        ("und", None),
        ("mul", None),
        ("auto", None),
        ("unknown", None),
        ("??", None),
        ("", None),
        (" ", None),
        ("x" * 300, None),
        (None, None),
    ],
)
def test_a_declared_language_is_one_code_or_none(written, code):
    assert language.declared(written) == code
