"""How the classifier writes its label: one template for training, prediction and serving.

`binary` is `safe` or `unsafe`; `category` names a micro category too (`unsafe A1`). An answer that
is not exactly one of these is unreadable: never a label, least of all safe.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from chillguard.calls import call, probabilities
from chillguard.tables import lineage
from chillguard.tables.rows import WithText, given
from prompts import named, render

FormatKind = Literal["binary", "category"]
TEMPLATE = "training/classify"
_LONGEST_ANSWER = 16
_LOGPROBS = 5
_UNREADABLE: Mapping[FormatKind, str] = {
    "binary": "neither safe nor unsafe",
    "category": "neither safe, nor unsafe with a known category code",
}


@dataclass(frozen=True)
class Verdict:
    """What an answer says; `p_unsafe` is there where log-probabilities were given."""

    label: str
    micro_category: str | None = None
    p_unsafe: float | None = None


@dataclass(frozen=True)
class LabelFormat:
    """A format and, for `category`, the micro category codes that may be written."""

    kind: FormatKind
    codes: tuple[str, ...] = ()

    @functools.cached_property
    def answers(self) -> Mapping[str, Verdict]:
        """Every answer of the format and what it says."""
        unsafe = self.codes if self.kind == "category" else (None,)
        pairs = [("safe", None), *(("unsafe", code) for code in unsafe)]
        return {self.answer(label, code): Verdict(label, code) for label, code in pairs}

    def messages(self, text: str) -> tuple[Mapping[str, str], ...]:
        """The chat turns before the answer: system and user."""
        return call.messages(self._system | render(TEMPLATE, {"text": text}, only=("user",)))

    def answer(self, label: str, micro_category: str | None) -> str:
        """What the classifier has to write for a row of this label and category."""
        values = {"label": label, "micro_category": micro_category, "label_format": self.kind}
        return render(TEMPLATE, values, only=("answer",))["answer"]

    def parse(self, given: call.Answer) -> Verdict:
        """The verdict of an answer; raises `calls.Unreadable` for all but a whole answer."""
        verdict = self.answers.get(given.text.strip())
        if verdict is None:
            raise call.Unreadable(_UNREADABLE[self.kind])
        shares = probabilities.of_labels(given.logprobs, lineage.LABELS)
        return replace(verdict, p_unsafe=shares["unsafe"] if shares else None)

    def requests(self, rows: Iterable[WithText]) -> Iterator[call.ChatRequest]:
        """One request per row (`prompt_id`, `text`) to a served classifier; `parse` reads it."""
        sampling = call.Sampling(max_tokens=_LONGEST_ANSWER, top_logprobs=_LOGPROBS)
        for row in rows:
            yield call.ChatRequest(
                row_id=row["prompt_id"],
                messages=self.messages(given(row["text"])),
                sampling=sampling,
                answer_schema={"choice": list(self.answers)},
                template=named(TEMPLATE),
            )

    @functools.cached_property
    def _system(self) -> dict[str, str]:
        return render(TEMPLATE, {"label_format": self.kind}, only=("system",))
