"""The jury (paper section 3.2): votes, quorum and majority, tie-break, category of unsafe rows.

A refusal or an unreadable vote is an abstention, never a label. What stays open is dropped as
`unresolved` or `uncategorised` and goes to review, never to safe.
"""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from chillguard.calls import call, probabilities, roles
from chillguard.labeling.docket import ToLabel
from chillguard.labeling.review import Reviewed
from chillguard.tables import lineage
from chillguard.tables.reasons import Reason
from chillguard.tables.rows import Labeled, WithText
from chillguard.taxonomy import Taxonomy
from prompts import named, render

VOTE, CATEGORIZE = "labeling/vote", "labeling/categorize"


class LabelingConfig(BaseModel):
    """Jury rules: `quorum` valid votes are needed for a majority to count.

    With `relabel_public` the jury judges public samples like all others; without it a sample that
    came with a label keeps that one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    quorum: int = Field(3, ge=1)
    relabel_public: bool = True
    sampling: call.Sampling = call.Sampling(temperature=0.0, max_tokens=16, top_logprobs=5)


@dataclass(frozen=True)
class Vote:
    """One juror's verdict on one prompt: safe, unsafe or abstain."""

    juror: str
    verdict: str


@dataclass(frozen=True)
class Ruling:
    """The final word on a prompt; `label` None means `drop_reason` says why not."""

    votes: tuple[Vote, ...]
    label: str | None = None
    category: str | None = None
    decided_by: str | None = None
    category_call_key: str | None = None
    drop_reason: Reason | None = None
    drop_evidence: str | None = None

    @property
    def valid(self) -> list[str]:
        """Verdicts that are not abstentions."""
        return [vote.verdict for vote in self.votes if vote.verdict != "abstain"]

    @property
    def agreement(self) -> float | None:
        """Share of valid votes for the majority verdict; None without a valid vote."""
        valid = self.valid
        return max(valid.count(v) for v in lineage.LABELS) / len(valid) if valid else None


def vote_requests(
    prompts: Iterable[WithText], taxonomy: Taxonomy, config: LabelingConfig
) -> Iterator[call.ChatRequest]:
    """One request per prompt; the same prompt text always gives the same request."""
    return _requests(VOTE, prompts, taxonomy, config.sampling, lineage.LABELS)


_EDGES = " \n\t\r.。!！\"'`"
# Guard models name the categories that are violated on a line of their own: S1, or S1,S10.
_CODES = re.compile(r"[A-Z]{1,2}\d{1,2}[a-z]?(?:\s*,\s*[A-Z]{1,2}\d{1,2}[a-z]?)*")


@dataclass(frozen=True)
class Verdict:
    """`safe` or `unsafe`, and the probability of unsafe where the engine gave log-probabilities."""

    label: str
    p_unsafe: float | None


def parse_vote(answer: call.Answer) -> Verdict:
    """The verdict of an answer; anything but one of the two words is unreadable."""
    label, _, codes = answer.text.strip(_EDGES).partition("\n")
    label = label.strip(_EDGES).lower()
    if codes and not _CODES.fullmatch(codes.strip()):
        raise call.Unreadable("more than a verdict")
    if label not in lineage.LABELS:
        raise call.Unreadable("neither safe nor unsafe")
    shares = probabilities.of_labels(answer.logprobs, lineage.LABELS)
    return Verdict(label, shares["unsafe"] if shares else None)


def cast(
    juror: str,
    prompts: Sequence[WithText],
    taxonomy: Taxonomy,
    config: LabelingConfig,
    ask: call.Ask,
    model: str = "",
) -> pa.Table:
    """The `jury_votes/<juror>` table: the juror's vote on each prompt.

    A vote that could not be had is an abstention. `model` is what stands behind the juror's name.
    """
    requests = vote_requests(prompts, taxonomy, config)
    return lineage.JURY_VOTES.build(
        {
            "prompt_id": outcome.row_id,
            "juror": juror,
            "model": model or juror,
            "verdict": outcome.value.label if outcome.value else "abstain",
            "p_unsafe": outcome.value.p_unsafe if outcome.value else None,
            "reason": outcome.reason,
            "call_key": outcome.call_key,
        }
        for outcome in ask(juror, requests, parse_vote, len(prompts))
    )


def by_prompt(tables: Iterable[pa.Table]) -> dict[str, tuple[Vote, ...]]:
    """Votes of all jurors by prompt id, in the order of the tables."""
    votes: dict[str, tuple[Vote, ...]] = {}
    for table in tables:
        for row in lineage.JURY_VOTES.rows(table.select(["prompt_id", "juror", "verdict"])):
            vote = Vote(row["juror"], row["verdict"])
            votes[row["prompt_id"]] = (*votes.get(row["prompt_id"], ()), vote)
    return votes


def majority(votes: Sequence[Vote], quorum: int) -> str | None:
    """The verdict of most valid votes; None on a tie or below the quorum."""
    valid = [vote.verdict for vote in votes if vote.verdict != "abstain"]
    unsafe, safe = valid.count("unsafe"), valid.count("safe")
    if len(valid) < quorum or unsafe == safe:
        return None
    return "unsafe" if unsafe > safe else "safe"


def rule(
    prompts: Sequence[ToLabel],
    votes: Mapping[str, tuple[Vote, ...]],
    taxonomy: Taxonomy,
    config: LabelingConfig,
    ask: call.Ask,
    reviewed: Reviewed | None = None,
) -> dict[str, Ruling]:
    """A ruling per prompt: its label by `decide`, then the category of unsafe ones."""
    rulings = decide(prompts, votes, taxonomy, config, ask, reviewed)
    unsafe = [row for row in prompts if _lacks_category(rulings[row["prompt_id"]])]
    for outcome in categorize(unsafe, taxonomy, config, ask):
        rulings[outcome.row_id] = _categorized(rulings[outcome.row_id], outcome)
    return rulings


def decide(
    prompts: Sequence[ToLabel],
    votes: Mapping[str, tuple[Vote, ...]],
    taxonomy: Taxonomy,
    config: LabelingConfig,
    ask: call.Ask,
    reviewed: Reviewed | None = None,
) -> dict[str, Ruling]:
    """The label of each prompt: by the majority of its votes, else by the tie-breaker.

    What a reviewer decided (`reviewed`) stands, and nothing is asked about it.
    """
    rulings = {row["prompt_id"]: Ruling(votes.get(row["prompt_id"], ())) for row in prompts}
    for key, ruling in rulings.items():
        label = majority(ruling.votes, config.quorum)
        rulings[key] = replace(ruling, label=label, decided_by="jury" if label else None)
    for row in prompts:
        if row.get("own_label"):
            rulings[row["prompt_id"]] = Ruling((), row["own_label"], decided_by="source")
    for key in rulings.keys() & (reviewed or {}).keys():
        label, category = (reviewed or {})[key]
        rulings[key] = Ruling(rulings[key].votes, label, category, "review")
    open_rows = [row for row in prompts if rulings[row["prompt_id"]].label is None]
    requests = vote_requests(open_rows, taxonomy, config)
    for outcome in ask(roles.TIE_BREAKER, requests, parse_vote, len(open_rows)):
        rulings[outcome.row_id] = _tie_broken(rulings[outcome.row_id], outcome)
    return rulings


def categorize(
    prompts: Sequence[WithText], taxonomy: Taxonomy, config: LabelingConfig, ask: call.Ask
) -> Iterator[call.Outcome[str]]:
    """The categorizer's micro category of each prompt."""
    sampling = config.sampling.model_copy(update={"top_logprobs": 0})
    requests = _requests(CATEGORIZE, prompts, taxonomy, sampling, taxonomy.codes)
    parse = functools.partial(parse_category, codes=taxonomy.codes)
    return ask(roles.CATEGORIZER, requests, parse, len(prompts))


def parse_category(answer: call.Answer, codes: Sequence[str]) -> str:
    """One of the micro codes; anything else is unreadable."""
    code = answer.text.strip(" \n\t.。\"'`")
    if code not in codes:
        raise call.Unreadable("not a micro category code")
    return code


def rows(clean: pa.Table, rulings: Mapping[str, Ruling], taxonomy: Taxonomy) -> pa.Table:
    """The `labeled_prompts` table: one row per kept clean prompt."""
    labeled: list[Labeled] = []
    for row in lineage.CLEAN_PROMPTS.rows(clean):
        if row["drop_reason"] is None:
            ruling = rulings[row["prompt_id"]]
            macro = taxonomy.macro_of[ruling.category].code if ruling.category else None
            labeled.append(
                {
                    **row,
                    "label": ruling.label,
                    "micro_category": ruling.category,
                    "macro_category": macro,
                    "decided_by": ruling.decided_by,
                    "votes": [f"{vote.juror}={vote.verdict}" for vote in ruling.votes],
                    "n_valid_votes": len(ruling.valid),
                    "agreement": ruling.agreement,
                    "category_call_key": ruling.category_call_key,
                    "drop_reason": ruling.drop_reason,
                    "drop_evidence": ruling.drop_evidence,
                }
            )
    return lineage.LABELED_PROMPTS.build(labeled)


def _requests(
    template: str,
    prompts: Iterable[WithText],
    taxonomy: Taxonomy,
    sampling: call.Sampling,
    choice: Sequence[str],
) -> Iterator[call.ChatRequest]:
    # The taxonomy fills the system message only: rendered once, and a shared prefix for the engine.
    system = render(template, {"taxonomy": taxonomy}, only=("system",))
    for row in prompts:
        user = render(template, {"text": row["text"]}, only=("user",))
        yield call.ChatRequest(
            row_id=row["prompt_id"],
            messages=call.messages(system | user),
            sampling=sampling,
            answer_schema={"choice": list(choice)},
            template=named(template),
        )


def _lacks_category(ruling: Ruling) -> bool:
    return ruling.label == "unsafe" and ruling.category is None


def _tie_broken(ruling: Ruling, outcome: call.Outcome[Verdict]) -> Ruling:
    if outcome.value is None:
        evidence = f"{len(ruling.valid)} valid votes; tie-breaker: {outcome.reason}"
        return replace(ruling, drop_reason=Reason.UNRESOLVED, drop_evidence=evidence)
    return replace(ruling, label=outcome.value.label, decided_by="tie_breaker")


def _categorized(ruling: Ruling, outcome: call.Outcome[str]) -> Ruling:
    keyed = replace(ruling, category_call_key=outcome.call_key)
    if outcome.value is None:
        return replace(
            keyed, label=None, drop_reason=Reason.UNCATEGORISED, drop_evidence=outcome.reason
        )
    return replace(keyed, category=outcome.value)
