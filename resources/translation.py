"""The translation port, and opus-mt-en-zh behind it (paper section 3.2)."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import dagster as dg


class Translator(dg.ConfigurableResource, ABC):
    """English to Chinese."""

    @abstractmethod
    def translate(self, texts: Sequence[str]) -> list[str]:
        """Chinese texts in order; empty where a text could not be translated."""


class OpusMtTranslator(Translator):
    """opus-mt-en-zh by transformers; needs the `train` install group."""

    model: str = "Helsinki-NLP/opus-mt-en-zh"
    batch_size: int = 32
    max_tokens: int = 512

    def translate(self, texts: Sequence[str]) -> list[str]:
        """Chinese texts in order."""
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.model)
        model = AutoModelForSeq2SeqLM.from_pretrained(self.model)
        found: list[str] = []
        for start in range(0, len(texts), self.batch_size):
            batch = list(texts[start : start + self.batch_size])
            tokens = tokenizer(batch, return_tensors="pt", padding=True, truncation=True)
            generated = model.generate(**tokens, max_new_tokens=self.max_tokens)
            found += tokenizer.batch_decode(generated, skip_special_tokens=True)
        return found
