"""Predictions of a classifier folder with plain transformers, batched by length.

A served classifier (vLLM or another OpenAI-compatible URL) is asked with `LabelFormat.requests` and
read with `LabelFormat.parse` instead. In both cases an answer that cannot be read is an error.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from chillguard.calls import call
from chillguard.tables import lineage
from chillguard.training import chat
from chillguard.training.label_format import LabelFormat, Verdict

Decoding = Literal["greedy", "constrained"]


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of one text: a verdict, or the reason why there is none."""

    verdict: Verdict | None
    error: str | None = None

    @property
    def label(self) -> str | None:
        """The label; None for an error, which counts as wrong and never as safe."""
        return self.verdict.label if self.verdict else None


def predict(
    model: str,
    texts: Sequence[str],
    form: LabelFormat,
    batch_size: int = 32,
    decoding: Decoding = "greedy",
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> list[Prediction]:
    """One prediction per text, in their order.

    `greedy` lets the model write what it will, as a plain server would; `constrained` lets it write
    answers of the format only, so all can be read. `tell` gets texts done and in all.
    """
    import torch

    classifier = _Classifier(model, form, bound=decoding == "constrained")
    prompts = classifier.prompts(texts)
    found = [Prediction(None, f"text of more than {classifier.room} tokens")] * len(texts)
    fitting = [place for place, ids in enumerate(prompts) if len(ids) <= classifier.room]
    fitting.sort(key=lambda place: len(prompts[place]))
    with torch.inference_mode():
        for first in range(0, len(fitting), batch_size):
            places = fitting[first : first + batch_size]
            answered = classifier.answer([prompts[place] for place in places])
            for place, one in zip(places, answered, strict=True):
                found[place] = one
            tell(first + len(places), len(fitting))
    return found


class _Classifier:
    """A loaded model, and the token sequences that its answers are."""

    def __init__(self, model: str, form: LabelFormat, bound: bool) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype="auto").to(device).eval()
        self.form, self.bound = form, bound
        self.end = chat.turn_end(self.tokenizer)
        self.answers = [self._answer_ids(answer) for answer in form.answers]
        self.longest = max(len(ids) for ids in self.answers)
        self.room = self.model.config.max_position_embeddings - self.longest

    def prompts(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text's turns, up to where the answer begins."""
        return [self._ids(list(self.form.messages(text)), opened=True) for text in texts]

    def answer(self, prompts: Sequence[list[int]]) -> list[Prediction]:
        """Write and read the answers to a batch of prompts."""
        from transformers import GenerationConfig

        batch = self.tokenizer.pad({"input_ids": list(prompts)}, return_tensors="pt")
        width = batch["input_ids"].shape[1]
        made = self.model.generate(
            **batch.to(self.model.device),
            generation_config=GenerationConfig(
                do_sample=False,
                max_new_tokens=self.longest,
                eos_token_id=self.end,
                pad_token_id=self.tokenizer.pad_token_id,
                output_logits=True,
                return_dict_in_generate=True,
            ),
            prefix_allowed_tokens_fn=self._allowed(width) if self.bound else None,
        )
        written = made.sequences[:, width:].tolist()
        return [
            self._read(ids, probability)
            for ids, probability in zip(written, self._p_unsafe(made.logits[0]), strict=True)
        ]

    def _read(self, ids: list[int], p_unsafe: float) -> Prediction:
        whole = self.end in ids
        text = self.tokenizer.decode(ids[: ids.index(self.end)] if whole else ids)
        try:
            verdict = self.form.parse(call.Answer(text, "stop" if whole else "length"))
        except call.Unreadable as error:
            return Prediction(None, str(error))
        return Prediction(replace(verdict, p_unsafe=p_unsafe))

    def _p_unsafe(self, logits: Any) -> list[float]:
        """The share of unsafe among the first tokens of all answers."""
        first: dict[str, set[int]] = {label: set() for label in lineage.LABELS}
        for ids, said in zip(self.answers, self.form.answers.values(), strict=True):
            first[said.label].add(ids[0])
        mass = {label: logits[:, sorted(ids)].float().logsumexp(1) for label, ids in first.items()}
        shares: list[float] = (mass["unsafe"] - mass["safe"]).sigmoid().tolist()
        return shares

    def _allowed(self, width: int) -> Callable[[int, Any], list[int]]:
        def allowed(_: int, sequence: Any) -> list[int]:
            begun = sequence[width:].tolist()
            fits = [ids for ids in self.answers if ids[: len(begun)] == begun]
            return sorted({ids[len(begun)] for ids in fits if len(ids) > len(begun)}) or [self.end]

        return allowed

    def _answer_ids(self, answer: str) -> list[int]:
        """An answer as the model writes it after a prompt, with the end of its turn."""
        turns = list(self.form.messages(""))
        said = {"role": "assistant", "content": answer}
        prompt, whole = self._ids(turns, opened=True), self._ids([*turns, said], opened=False)
        ids = whole[len(prompt) :]
        return ids[: ids.index(self.end) + 1]

    def _ids(self, turns: Sequence[Mapping[str, str]], opened: bool) -> list[int]:
        found: list[int] = self.tokenizer.apply_chat_template(
            turns, add_generation_prompt=opened, return_dict=True
        )["input_ids"]
        return found
