"""Which language a text is in: as its source declares it, or by py3langid's model in the wheel."""

import functools
import re
from typing import Any

import langcodes
from langcodes.tag_parser import LanguageTagError

# The classifier knows 97 languages; on short Chinese posts it wavers between zh, wuu and yue.
_LANGUAGES = ["zh", "en", "ja", "ko"]

# Written as zh or near it; `cn` is a country that is often taken for the language.
_CHINESE = frozenset({"zh", "yue", "wuu", "hak", "nan", "gan", "hsn", "lzh", "cn"})
_NO_LANGUAGE = frozenset({"und", "mul", "mis", "zxx"})
_NAMES = {
    "zh": re.compile(
        "chinese|mandarin|cantonese|[中汉漢华華国國粤粵]文|[汉漢华華国國粤粵][语語]|普通[话話]"
    ),
    "en": re.compile("english|英文|英[语語]"),
}

_HAN = re.compile(r"[\u3400-\u9fff]")
_CODE = 3
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


def declared(written: str | None) -> str | None:
    """ISO 639 code of a language as people declare it: `zh-CN`, `zh_Hans`, `Chinese` are zh.

    None for what names no language that is known here; the text itself is asked then.
    """
    if written is None:
        return None
    for named, name in _NAMES.items():
        if name.search(written.lower()):
            return named
    try:
        tag = langcodes.Language.get(written.strip().split(".")[0], normalize=True)
    except LanguageTagError:
        return None
    code = tag.prefer_macrolanguage().language
    if code is None or code in _NO_LANGUAGE or len(code) > _CODE:
        return None
    return "zh" if code in _CHINESE else code
