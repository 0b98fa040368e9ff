"""Which language a text is in, by py3langid, whose model is in its wheel."""

import functools
import re
from typing import Any

# The classifier knows 97 languages; on short Chinese posts it wavers between zh, wuu and yue.
_LANGUAGES = ["zh", "en", "ja", "ko"]

_HAN = re.compile(r"[\u3400-\u9fff]")
_KANA_OR_HANGUL = re.compile(r"[\u3040-\u30ff\uac00-\ud7af]")


@functools.cache
def _classifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    classifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    classifier.set_languages(_LANGUAGES)
    return classifier


def detect(text: str) -> str:
    """ISO 639-1 code of the text's language: zh, en, ja or ko.

    Mostly Han characters and no kana or hangul is Chinese without asking the classifier.
    """
    han = len(_HAN.findall(text))
    if han * 2 > len(text) and not _KANA_OR_HANGUL.search(text):
        return "zh"
    return str(_classifier().classify(text)[0])
