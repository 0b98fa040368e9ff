"""The translation port, and opus-mt-en-zh (paper section 3.2), a role or a stand-in behind it.

Turns English texts into Chinese ones; which texts, and which translations are fit, is decided in
`chillguard.translation`.
"""

import functools
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field, PrivateAttr

from chillguard import translation
from resources.models.progress import Pace
from resources.offline import writers

Tell = Callable[[str], None]
_FILES = ("config.json", "vocab.json", "source.spm", "target.spm")


class Translator(dg.ConfigurableResource, ABC):
    """English to Chinese, in this process or by a model role."""

    @abstractmethod
    def local(self, tell: Tell) -> translation.Local | None:
        """A function from English texts to Chinese ones, in order, empty where it has none; None
        where the role `translator` is to be asked. Progress goes to `tell`.
        """


class RoleTranslator(Translator):
    """The model that the profile binds to the role `translator`."""

    def local(self, tell: Tell) -> None:
        """Nothing translates here: the stage asks the role."""


class PhrasebookTranslator(Translator):
    """Chinese of the bundled English posts, alone or in the synthesizer's frames: stands in for a
    model in the profile offline.
    """

    def local(self, tell: Tell) -> translation.Local:
        """The phrase book; it takes no time worth telling."""
        return self.translate

    def translate(self, texts: Sequence[str]) -> list[str]:
        """Chinese texts in order; empty where the phrase book does not know the text."""
        return [writers.translate(text) for text in texts]


class OpusMtTranslator(Translator):
    """opus-mt-en-zh by transformers, greedy; needs the install group `train`.

    `path` is a local folder or, by default, the hub's name of the model. The model writes several
    kinds of Chinese and must be told which by a `prefix` to each sentence: `>>cmn_Hans<<` is
    Mandarin in simplified script. Empty is for a model with one target language. `max_tokens`
    bounds a sentence as read and as written: a longer one is cut at clauses; one whose translation
    comes to no end counts as untranslated.
    """

    model: str = "Helsinki-NLP/opus-mt-en-zh"
    revision: str = "main"
    path: str | None = None
    batch_size: int = Field(default=32, ge=1)
    max_tokens: int = Field(default=512, ge=16)
    device: str = "cpu"
    prefix: str = ">>cmn_Hans<<"

    _loaded: Any = PrivateAttr(default=None)

    def local(self, tell: Tell) -> translation.Local:
        """The model, loaded when the first text comes."""
        return functools.partial(self.translate, tell=tell)

    def translate(self, texts: Sequence[str], tell: Tell = lambda _: None) -> list[str]:
        """Chinese texts in order; empty where a sentence of a text came to no end.

        A text without letters comes back as it is. Raises `dg.Failure` when there is no model.
        """
        return self._joined([translation.sentences(text) for text in texts], tell)

    def _joined(self, texts: Sequence[Sequence[str]], tell: Tell) -> list[str]:
        """Texts given in pieces, translated piece by piece, each different piece once."""
        pieces = (piece for text in texts for piece in text if translation.has_words(piece))
        wanted = list(dict.fromkeys(piece.strip() for piece in pieces))
        chinese = self._translated(wanted, tell) if wanted else {}
        return [_join(text, chinese) for text in texts]

    def _translated(self, wanted: Sequence[str], tell: Tell) -> dict[str, str]:
        """Chinese by sentence; one that is too long, or loses a placeholder, goes in pieces."""
        tokens = dict(zip(wanted, self._tokens(wanted), strict=True))
        longest = self._longest()
        fitting = {text: ids for text, ids in tokens.items() if len(ids) <= longest}
        found = self._generated(fitting, tell)

        def fits(text: str) -> bool:
            return len(self._tokens([text])[0]) <= longest

        pieces = {text: translation.cut(text, fits) for text in tokens if text not in fitting}
        for text in fitting:
            if translation.marks(found[text]) != translation.marks(text):
                pieces[text] = translation.fragments(text)
        if pieces:
            joined = self._joined(list(pieces.values()), tell)
            found |= zip(pieces, joined, strict=True)
        return found

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids with prefix and end; what looks like a special token in a text is text."""
        tokenizer, _ = self._model()
        prefix = f"{self.prefix} " if self.prefix else ""
        found: list[list[int]] = tokenizer(
            [f"{prefix}{text}" for text in texts], split_special_tokens=True, verbose=False
        )["input_ids"]
        return found

    def _longest(self) -> int:
        _, model = self._model()
        return min(self.max_tokens, int(model.config.max_position_embeddings))

    def _generated(self, tokens: dict[str, list[int]], tell: Tell) -> dict[str, str]:
        """Chinese by sentence; like lengths share a batch, the longest come first, so that memory
        runs out at once or not at all.
        """
        found: dict[str, str] = {}
        pace = Pace("opus-mt", "sentences", len(tokens), tell)
        order = sorted(tokens, key=lambda text: (-len(tokens[text]), text))
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            found |= zip(batch, self._batch([tokens[text] for text in batch]), strict=True)
            pace.add(len(batch))
        endless = sum(not text for text in found.values())
        if endless:
            tell(f"opus-mt: {endless:,} sentences without a translation within {self._longest()} "
                 "tokens")  # fmt: skip
        return found

    def _batch(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        import torch

        tokenizer, model = self._model()
        padded = tokenizer.pad({"input_ids": tokens}, return_tensors="pt").to(self.device)
        with torch.inference_mode():
            written = model.generate(
                **padded, num_beams=1, do_sample=False, max_new_tokens=self._longest()
            )
        has_end = (written == tokenizer.eos_token_id).any(dim=1).tolist()
        texts = tokenizer.batch_decode(written, skip_special_tokens=True)
        return [text.strip() if end else "" for text, end in zip(texts, has_end, strict=True)]

    def _model(self) -> Any:
        if self._loaded is None:
            try:
                self._loaded = self._load()
            except ImportError:
                raise dg.Failure(
                    "translator opus-mt needs the install group `train`: run `make .venv/train`"
                ) from None
            except (OSError, ValueError, KeyError, RuntimeError, AssertionError) as error:
                raise dg.Failure(
                    f"translator opus-mt: {self.path or self.model} cannot be loaded on "
                    f"{self.device} ({error}); set `translator.path` in the profile to a local "
                    "folder of the model"
                ) from None
        return self._loaded

    def _load(self) -> tuple[Any, Any]:
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

        place, revision = self.path or self.model, self.revision
        if self.path and Path(self.path).is_dir():
            _need_files(Path(self.path))
        with warnings.catch_warnings():
            # Only its optional punctuation normaliser is missing.
            warnings.filterwarnings("ignore", "Recommended: pip install sacremoses")
            tokenizer = AutoTokenizer.from_pretrained(place, revision=revision)
        if self.prefix and tokenizer.convert_tokens_to_ids(self.prefix) == tokenizer.unk_token_id:
            raise ValueError(f"it knows no prefix {self.prefix}; mend `translator.prefix`")
        model = AutoModelForSeq2SeqLM.from_pretrained(place, revision=revision)
        # The model brings beams, a length and an end forced at that length, which would hide that a
        # translation came to no end of its own.
        model.generation_config.update(
            num_beams=1, early_stopping=False, max_length=None, forced_eos_token_id=None
        )
        return tokenizer, model.eval().to(self.device)


def _need_files(folder: Path) -> None:
    """The library does not say which file it misses."""
    missing = [name for name in _FILES if not (folder / name).exists()]
    if missing:
        raise dg.Failure(
            f"translator opus-mt: folder {folder} lacks {', '.join(missing)}; download the whole "
            "model"
        )


def _join(pieces: Sequence[str], chinese: dict[str, str]) -> str:
    """The text of the pieces' translations, line breaks kept; empty if one piece has none."""
    found = [chinese.get(piece.strip(), piece.strip()) for piece in pieces]
    if not all(text or not piece.strip() for text, piece in zip(found, pieces, strict=True)):
        return ""
    return "".join(text + _breaks(piece) for text, piece in zip(found, pieces, strict=True))


def _breaks(piece: str) -> str:
    return "\n" * piece[len(piece.rstrip()) :].count("\n")
