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
