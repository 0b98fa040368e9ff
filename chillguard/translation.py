"""Candidates (paper section 3.2): all origins in one table, English text in Chinese.

Here is which rows are translated and which of their sentences, what a model role is asked, and what
becomes of a row whose translation is not fit. Translators in this process are
`resources.translation`.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from chillguard import annotation, identity
from chillguard.calls import call, roles
from chillguard.rows import intake
from chillguard.tables import lineage
from chillguard.tables.reasons import Reason, drop
from chillguard.tables.rows import Candidate, given
from chillguard.text import language, personal_data
from prompts import named, render

TEMPLATE = "translation/translate"
Local = Callable[[Sequence[str]], list[str]]


class TranslationConfig(BaseModel):
    """How many real prompts enter the data set themselves: the paper kept 3,100 safe and 597
    unsafe of 46,742 (section 3.1), the others only seed rewrites. None keeps all.

    `sampling` is of the role `translator`, where a model translates.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    retained_safe: int | None = Field(3100, ge=0)
    retained_unsafe: int | None = Field(597, ge=0)
    sampling: call.Sampling = call.Sampling(max_tokens=2048)


@dataclass(frozen=True)
class Part:
    """Neighbouring sentences of one row that are translated together; `start` is their place."""

    prompt_id: str
    start: int
    text: str

    @property
    def row_id(self) -> str:
        """Name of the part in requests and outcomes; that of the row where it is all of it."""
        return f"{self.prompt_id}/{self.start}" if self.start else self.prompt_id


def candidates(
    tables: Iterable[pa.Table],
    config: TranslationConfig,
    ask: call.Ask,
    local: Local | None = None,
    surface: Collection[str] = (),
) -> pa.Table:
    """The `candidate_prompts` table: one row per kept row of `tables`.

    `local` translates texts in order (empty where it cannot); without it the role `translator` is
    asked. Rewrites by a method in `surface` look foreign on purpose: their language is not asked.
    """
    rows = union(tables, config, surface)
    english = [row for row in rows if _is_english(row, surface)]
    wanted = [part for row in english for part in parts(row["prompt_id"], given(row["text"]))]
    settle(english, wanted, _outcomes(wanted, config, ask, local) if wanted else ())
    return lineage.CANDIDATE_PROMPTS.build(rows)


def union(
    tables: Iterable[pa.Table], config: TranslationConfig, surface: Collection[str] = ()
) -> list[Candidate]:
    """Kept rows of all origins; rows that only seed rewrites, or are in no language of ours, are
    dropped here.
    """
    rows: list[Candidate] = [
        {**row, "translated_from": None}
        for table in tables
        for row in lineage.PUBLIC_PROMPTS.rows(table)
        if row["drop_reason"] is None
    ]
    retained = _retained(rows, config)
    for row in rows:
        if row["origin"] == "real" and row["prompt_id"] not in retained:
            drop(row, Reason.NOT_RETAINED, "seeds rewrites only")
        elif row["lang"] not in ("zh", "en") and not _is_surface(row, surface):
            drop(row, Reason.LANGUAGE, f"detected {row['lang']}")
    return rows


def parts(prompt_id: str, text: str) -> list[Part]:
    """What of an English text is translated: its sentences, bar those that hold Chinese already."""
    found, start = [], 0
    for is_chinese, run in groupby(sentences(text), lambda one: bool(_HAN.search(one))):
        whole = "".join(run)
        if not is_chinese and has_words(whole):
            place = start + len(whole) - len(whole.lstrip())
            found.append(Part(prompt_id, place, whole.strip()))
        start += len(whole)
    return found


def requests(wanted: Iterable[Part], config: TranslationConfig) -> Iterator[call.ChatRequest]:
    """One request per part."""
    for part in wanted:
        yield call.ChatRequest(
            row_id=part.row_id,
            messages=call.messages(render(TEMPLATE, {"text": part.text})),
            sampling=config.sampling,
            answer_schema=_ANSWER,
            template=named(TEMPLATE),
        )


def parse(answer: call.Answer) -> str:
    """The translation."""
    text = call.parse_json(answer).get("translation")
    if not isinstance(text, str) or not text.strip():
        raise call.Unreadable("no text under `translation`")
    return text.strip()


def settle(
    rows: Iterable[Candidate], wanted: Iterable[Part], outcomes: Iterable[call.Outcome[str]]
) -> None:
    """Put the translations into their rows, or the reason why a row is dropped.

    A dropped row holds what came back, its original is under `translated_from`. Every part must
    have its outcome, or `KeyError` is raised.
    """
    outcome_of = {outcome.row_id: outcome for outcome in outcomes}
    pairs: dict[str, list[tuple[Part, call.Outcome[str]]]] = defaultdict(list)
    for part in wanted:
        pairs[part.prompt_id].append((part, outcome_of[part.row_id]))
    for row in rows:
        _settle(row, pairs[row["prompt_id"]])


def _settle(row: Candidate, pairs: Sequence[tuple[Part, call.Outcome[str]]]) -> None:
    """Put the translation into its row, or drop it."""
    original = given(row["text"])
    failed = [outcome.reason for _, outcome in pairs if outcome.value is None]
    empty = sum(not outcome.value for _, outcome in pairs)
    if failed:
        drop(row, Reason.QUARANTINED, failed[0])
    elif empty:
        row["text"], row["translated_from"] = None, original
        evidence = f"nothing came back for {empty} of {len(pairs)} parts"
        drop(row, Reason.UNTRANSLATED, evidence)
    else:
        _put(row, original, pairs)


def _put(row: Candidate, original: str, pairs: Sequence[tuple[Part, call.Outcome[str]]]) -> None:
    text = original
    for part, outcome in reversed(pairs):
        end = part.start + len(part.text)
        text = f"{text[: part.start]}{outcome.value}{text[end:]}"
    admitted = intake.admit(text)
    row["text"], row["text_hash"] = admitted.text, admitted.text_hash
    if admitted.drop_reason:
        drop(row, admitted.drop_reason, admitted.drop_evidence)
        return
    row["translated_from"] = original if pairs else None
    if lost := _lost_marks(original, text):
        drop(row, Reason.PLACEHOLDER_LOST, lost)
    elif leftover := _leftover(admitted.text or ""):
        drop(row, Reason.UNTRANSLATED, leftover)
    else:
        row["lang"] = "zh"


def _lost_marks(original: str, text: str) -> str | None:
    """Which placeholders stand there more or less often than before; None where all are kept."""
    before, after = marks(original), marks(text)
    if before == after:
        return None
    return "; ".join(f"{m} {before[m]} times before, {after[m]} after" for m in before | after)


def _leftover(text: str) -> str | None:
    """How much of a text is not Chinese yet; None of one that is."""
    plain = _MARK.sub("", text)
    lang = language.detect(plain)
    letters, latin = sum(map(str.isalpha, plain)), len(_LATIN.findall(plain))
    if lang == "zh" and 2 * latin <= letters:
        return None
    return f"{latin} of {letters} letters are Latin, detected {lang}"


def sentences(text: str) -> list[str]:
    """The text cut after each sentence and paragraph, white space kept: joined they are the text.

    A full stop or line break before a small letter, or after a title or initial, ends nothing.
    """
    found, start = [], 0
    for end in _END.finditer(text):
        if _is_end(text, end):
            found.append(text[start : end.end()])
            start = end.end()
    return [*found, text[start:]] if start < len(text) else found


def fragments(text: str) -> list[str]:
    """The text cut around its placeholders."""
    return [piece for piece in _MARK.split(text) if piece]


def cut(text: str, fits: Callable[[str], bool]) -> list[str]:
    """The text in pieces that fit, cut at clauses, else at spaces, else in the middle."""
    if fits(text) or len(text) < 2:
        return [text]
    middle = len(text) // 2
    for border in _BORDERS:
        ends = [found.end() for found in border.finditer(text) if found.end() < len(text)]
        if ends:
            middle = min(ends, key=lambda end: abs(end - len(text) // 2))
            break
    return [*cut(text[:middle], fits), *cut(text[middle:], fits)]


def has_words(text: str) -> bool:
    """Whether there is anything to translate: a letter outside placeholders."""
    return any(map(str.isalpha, _MARK.sub("", text)))


def marks(text: str) -> Counter[str]:
    """How often each placeholder of personal data stands in the text."""
    return Counter(_MARK.findall(text))


def _is_end(text: str, end: re.Match[str]) -> bool:
    found = end.group()
    if end.end() == len(text) or _HARD_END.search(found):
        return True
    before = text[max(0, end.start() - _LONGEST_TITLE) : end.start()]
    is_title = found[0] == "." and "\n" not in found and _TITLE.search(before)
    return not text[end.end()].islower() and not is_title


def _is_surface(row: Candidate, surface: Collection[str]) -> bool:
    # A source may have the name of a method.
    return row["origin"] == "rewrite" and row["method"] in surface


def _is_english(row: Candidate, surface: Collection[str]) -> bool:
    return row["drop_reason"] is None and row["lang"] == "en" and not _is_surface(row, surface)


def _outcomes(
    wanted: Sequence[Part], config: TranslationConfig, ask: call.Ask, local: Local | None
) -> Iterable[call.Outcome[str]]:
    if local is None:
        return ask(roles.TRANSLATOR, requests(wanted, config), parse, len(wanted))
    texts = local([part.text for part in wanted])
    pairs = zip(wanted, texts, strict=True)
    return [call.Outcome(part.row_id, "", text.strip()) for part, text in pairs]


def _retained(rows: Iterable[Candidate], config: TranslationConfig) -> set[str]:
    """Ids of the real prompts that are samples themselves; one without an outcome is not among the
    numbers, and goes on to labeling, which says why it has none.
    """
    ids: dict[str | None, dict[str, str]] = defaultdict(dict)
    for row in rows:
        if row["origin"] == "real":
            label = row["intended_label"] if annotation.has_outcome(row) else None
            ids[label][row["family_id"]] = row["prompt_id"]
    retained = set(ids[None].values())
    for label, limit in (("safe", config.retained_safe), ("unsafe", config.retained_unsafe)):
        of_label = ids[label]
        drawn = of_label if limit is None else identity.rendezvous("retained", of_label, limit)
        retained |= {of_label[family] for family in drawn}
    return retained


_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LATIN = re.compile("[A-Za-zÀ-ÖØ-öø-ɏＡ-Ｚａ-ｚ]")
_MARK = re.compile(f"({'|'.join(map(re.escape, personal_data.PLACEHOLDERS))})")
_END = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’)\]]*+\s+|[。！？]++[\"'”’）」』]*+\s*|\n\s*")
_HARD_END = re.compile(r"[!?。！？]|\n\s*\n")
_TITLE = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|vs|Fig|e\.g|i\.e|[A-Z])$")
_LONGEST_TITLE = 8
_BORDERS = (re.compile(r"[,;:，；：、—]\s*"), re.compile(r"\s+"))
_ANSWER = {
    "type": "object",
    "properties": {"translation": {"type": "string", "minLength": 1}},
    "required": ["translation"],
    "additionalProperties": False,
}
