"""Which language a text is in, by py3langid, whose model is in its wheel."""

import functools
from typing import Any

# The classifier knows 97 languages; on short Chinese posts it wavers between zh, wuu and yue.
_LANGUAGES = ["zh", "en", "ja", "ko"]


@functools.cache
def _classifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    classifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    classifier.set_languages(_LANGUAGES)
    return classifier


def detect(text: str) -> str:
    """ISO 639-1 code of the text's language: zh, en, ja or ko."""
    return str(_classifier().classify(text)[0])
