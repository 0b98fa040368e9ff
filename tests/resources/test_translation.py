import sys
import types

import pytest

from resources.translation import OpusMtTranslator, Translator


@pytest.fixture
def opus(monkeypatch):
    """A stand-in for transformers that translates to upper case; holds the size of each batch."""
    batches = []

    class Tokenizer:
        @classmethod
        def from_pretrained(cls, name):
            assert name == "Helsinki-NLP/opus-mt-en-zh"
            return cls()

        def __call__(self, texts, **options):
            batches.append(len(texts))
            return {"input_ids": texts}

        def batch_decode(self, tokens, **options):
            return [text.upper() for text in tokens]

    class Model:
        @classmethod
        def from_pretrained(cls, name):
            return cls()

        def generate(self, input_ids, **options):
            return input_ids

    package = types.ModuleType("transformers")
    package.AutoTokenizer, package.AutoModelForSeq2SeqLM = Tokenizer, Model
    monkeypatch.setitem(sys.modules, "transformers", package)
    return batches


def test_translations_come_in_order_and_in_batches(opus):
    texts = [f"text {number}" for number in range(7)]
    found = OpusMtTranslator(batch_size=3).translate(texts)
    assert found == [text.upper() for text in texts]
    assert opus == [3, 3, 1]


def test_no_texts_are_no_translations(opus):
    assert OpusMtTranslator().translate([]) == []
    assert opus == []


def test_the_port_itself_cannot_be_used():
    with pytest.raises(TypeError, match="translate"):
        Translator()
