"""The jury held against itself, reviewers and anchors: the `jury_quality` table.

Measures only: no label depends on any of them. Formulas are `chillguard.labeling.agreement` and
`chillguard.labeling.dawid_skene`; how the figures are shown is `chillguard.labeling.report`.
"""

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from chillguard.labeling import agreement, dawid_skene
from chillguard.tables import lineage
from chillguard.tables.jury import AnchorVote, Figure, Waiting
from chillguard.tables.rows import Labeled, given

ALL, NONE = "all", "none"
_DIGITS = 6
_CODES = {"safe": 0, "unsafe": 1, "abstain": -1}
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Panel:
    """Votes on labelled prompts: arrays by row, columns of `votes` and `refused` by juror."""

    prompt_ids: list[str]
    jurors: tuple[str, ...]
    votes: agreement.Votes
    refused: Flags
    rows: list[Labeled]

    @classmethod
    def of(cls, labeled: pa.Table, votes: Mapping[str, pa.Table]) -> "Panel":
        """The panel of `labeled_prompts` and the `jury_votes` of each juror."""
        labeled = _judged(labeled, votes)
        ids, shape = labeled["prompt_id"], (labeled.num_rows, len(votes))
        verdicts, refused = np.full(shape, -1, np.int8), np.zeros(shape, bool)
        for place, table in enumerate(votes.values()):
            rows = pc.index_in(table["prompt_id"], value_set=ids.combine_chunks())
            in_panel = np.asarray(rows.is_valid())
            at = np.asarray(rows.drop_null(), np.int64)
            said = np.array([_CODES[verdict] for verdict in table["verdict"].to_pylist()], np.int8)
            verdicts[at, place] = said[in_panel]
            refused[at, place] = np.asarray(pc.equal(table["reason"], "refusal").fill_null(False))[
                in_panel
            ]
        return cls(
            ids.to_pylist(),
            tuple(votes),
            verdicts,
            refused,
            lineage.LABELED_PROMPTS.rows(labeled.select(_READ)),
        )

    @functools.cached_property
    def estimate(self) -> dawid_skene.Estimate:
        """The Dawid-Skene estimate over all rows."""
        return dawid_skene.fit(self.votes)

    def p_unsafe(self) -> dict[str, float | None]:
        """Probability of unsafe by prompt id, by Dawid-Skene; None without a valid vote."""
        shares = self.estimate.p_unsafe.tolist()
        return {
            key: None if share != share else round(share, _DIGITS)
            for key, share in zip(self.prompt_ids, shares, strict=True)
        }


def table(
    panel: Panel,
    quorum: int,
    anchor_votes: pa.Table,
    anchors_before: pa.Table | None,
    waiting: Sequence[Waiting],
    decisions: pa.Table,
) -> pa.Table:
    """The `jury_quality` table; figures are rounded to six digits."""
    figures = [
        *_agreements(panel),
        *_jurors(panel),
        *_abstentions(panel),
        *_errors(panel),
        *_estimates(panel, quorum),
        *_matrix(panel),
        *_anchored(anchor_votes),
        *_drift(anchor_votes, anchors_before),
        *_review(waiting, decisions),
    ]
    return lineage.JURY_QUALITY.build(figures)


def _judged(labeled: pa.Table, votes: Mapping[str, pa.Table]) -> pa.Table:
    """Without public samples that keep their own label: nobody abstained on them."""
    cast = pa.concat_tables([table.select(["prompt_id"]) for table in votes.values()])
    voted_on = cast["prompt_id"].combine_chunks()
    return labeled.filter(pc.is_in(labeled["prompt_id"], value_set=voted_on))


def _figure(measure: str, value: float | None, n: int, **keys: str) -> Figure:
    rounded = None if value is None or value != value else round(float(value), _DIGITS)
    return {
        "measure": measure,
        "reference": keys.get("reference", "panel"),
        "category": keys.get("category", ALL),
        "juror": keys.get("juror", ALL),
        "other": keys.get("other", ALL),
        "value": rounded,
        "n": int(n),
    }


def _agreements(panel: Panel) -> Iterator[Figure]:
    whole = {ALL: np.ones(len(panel.rows), bool)}
    for category, rows in (whole | _by(panel, "intended_category")).items():
        votes = panel.votes[rows]
        pairable = int(((votes >= 0).sum(axis=1) > 1).sum())
        yield _figure("alpha", agreement.alpha(votes), pairable, category=category)
        kappa, complete = agreement.fleiss_kappa(votes)
        yield _figure("kappa", kappa, complete, category=category)


def _jurors(panel: Panel) -> Iterator[Figure]:
    valid, unsafe = panel.votes >= 0, panel.votes == 1
    panel_rate = _share(unsafe.sum(), valid.sum())
    for place, juror in enumerate(panel.jurors):
        cast, rows = valid[:, place].sum(), len(panel.votes)
        rate = _share(unsafe[:, place].sum(), cast)
        bias = None if rate is None or panel_rate is None else rate - panel_rate
        yield _figure("bias", bias, cast, juror=juror)
        yield _figure("abstention_rate", _share(rows - cast, rows), rows, juror=juror)
        yield _figure(
            "refusal_rate", _share(panel.refused[:, place].sum(), rows), rows, juror=juror
        )


def _abstentions(panel: Panel) -> Iterator[Figure]:
    """Abstained votes among all votes, by category: refusals gather on the worst rows."""
    gone = panel.votes < 0
    whole = {ALL: np.ones(len(gone), bool)}
    for measure, column in (
        ("abstention_by_intended", "intended_category"),
        ("abstention_by_final", "final"),
    ):
        for category, rows in (whole | _by(panel, column)).items():
            part = gone[rows]
            yield _figure(measure, _share(part.sum(), part.size), part.size, category=category)


def _errors(panel: Panel) -> Iterator[Figure]:
    """Errors against the reviewer's label where there is one, else Dawid-Skene's."""
    truth = _hard(panel.estimate.p_unsafe)
    for place, row in enumerate(panel.rows):
        if row["decided_by"] == "review":
            truth[place] = _CODES[given(row["label"])]
    yield from _held_against("reviewed", panel.jurors, panel.votes, truth)


def _held_against(
    reference: str, jurors: Sequence[str], votes: agreement.Votes, truth: agreement.Votes
) -> Iterator[Figure]:
    """Error rate by juror, error correlation by pair, effective size with all and without each."""
    for place, juror in enumerate(jurors):
        comparable = (votes[:, place] >= 0) & (truth >= 0)
        wrong = (votes[comparable, place] != truth[comparable]).sum()
        rate = _share(wrong, comparable.sum())
        yield _figure("error_rate", rate, comparable.sum(), reference=reference, juror=juror)
    pairs = agreement.error_correlation(votes, truth)
    for (one, two), (value, n) in pairs.items():
        names = {"juror": jurors[one], "other": jurors[two]}
        yield _figure("error_correlation", value, n, reference=reference, **names)
    for left_out in (None, *range(len(jurors))):
        size = len(jurors) - (left_out is not None)
        values = [value for pair, (value, _) in pairs.items() if left_out not in pair]
        without = {} if left_out is None else {"juror": jurors[left_out]}
        measure = "effective_size" if left_out is None else "effective_size_without"
        effective = agreement.effective_size(values, size)
        yield _figure(measure, effective, size, reference=reference, **without)


def _estimates(panel: Panel, quorum: int) -> Iterator[Figure]:
    estimate, rows = panel.estimate, len(panel.votes)
    for place, juror in enumerate(panel.jurors):
        for name, values in (
            ("sensitivity", estimate.sensitivity),
            ("specificity", estimate.specificity),
        ):
            yield _figure(name, values[place], rows, reference="dawid_skene", juror=juror)
    unsafe, safe = ((panel.votes == code).sum(axis=1) for code in (1, 0))
    decided = (unsafe + safe >= quorum) & (unsafe != safe)
    hard = _hard(estimate.p_unsafe)
    differ = decided & (hard >= 0) & (hard != (unsafe > safe))
    yield _figure(
        "majority_differs", differ.sum(), decided.sum(), reference="dawid_skene"
    )  # fmt: skip


def _matrix(panel: Panel) -> Iterator[Figure]:
    """Intended against final, of labels and of categories: the share of the intended rows."""
    for measure, intended, final in (
        ("label_matrix", "intended_label", "final_label"),
        ("category_matrix", "intended_category", "final"),
    ):
        pairs = Counter((_value(row, intended), _value(row, final)) for row in panel.rows)
        totals = Counter[str]()
        for (category, _), count in pairs.items():
            totals[category] += count
        for (category, other), count in pairs.items():
            share = _share(count, totals[category])
            yield _figure(measure, share, count, category=category, other=other)


def _anchored(votes: pa.Table) -> Iterator[Figure]:
    """Accuracy on the anchors, an abstention counting as wrong, and errors as above."""
    rows = lineage.ANCHOR_VOTES.rows(votes)
    jurors = sorted({row["juror"] for row in rows}, key=lambda slot: (len(slot), slot))
    places = {key: n for n, key in enumerate(sorted({row["anchor_id"] for row in rows}))}
    cast, truth = np.full((len(places), len(jurors)), -1, np.int8), np.zeros(len(places), np.int8)
    for row in rows:
        place = places[row["anchor_id"]]
        cast[place, jurors.index(row["juror"])] = _CODES[row["verdict"]]
        truth[place] = _CODES[row["intended_label"]]
    for place, juror in enumerate(jurors):
        said, keys = cast[:, place], {"reference": "anchors", "juror": juror}
        yield _figure("accuracy", _share((said == truth).sum(), len(said)), len(said), **keys)
        gone = _share((said < 0).sum(), len(said))
        yield _figure("abstention_rate", gone, len(said), **keys)
    if jurors:
        yield from _held_against("anchors", jurors, cast, truth)


def _drift(now: pa.Table, before: pa.Table | None) -> Iterator[Figure]:
    """Change since the last release, by slot, over the anchors that both were asked."""
    if before is None:
        return
    old = {(row["juror"], row["anchor_id"]): row for row in lineage.ANCHOR_VOTES.rows(before)}
    common: dict[str, list[tuple[AnchorVote, AnchorVote]]] = {}
    for row in lineage.ANCHOR_VOTES.rows(now):
        last = old.get((row["juror"], row["anchor_id"]))
        if last:
            common.setdefault(row["juror"], []).append((last, row))
    for juror, pairs in common.items():
        n, keys = len(pairs), {"reference": "last", "juror": juror}
        moved = sum(last["verdict"] != row["verdict"] for last, row in pairs)
        yield _figure("drift", _share(moved, n), n, **keys)
        right, was_right = (
            sum(pair[side]["verdict"] == pair[side]["intended_label"] for pair in pairs)
            for side in (1, 0)
        )
        yield _figure("accuracy_change", (right - was_right) / n, n, **keys)
        replaced = any(last["model"] != row["model"] for last, row in pairs)
        yield _figure("model_replaced", float(replaced), n, **keys)


def _review(waiting: Sequence[Waiting], decisions: pa.Table) -> Iterator[Figure]:
    for reason, count in Counter(row["queue_reason"] for row in waiting).items():
        yield _figure("waiting", count, count, reference="review", other=reason)
    for standing, count in Counter(decisions["standing"].to_pylist()).items():
        yield _figure("decisions", count, count, reference="review", other=standing)


def _by(panel: Panel, column: str) -> dict[str, Flags]:
    values = np.array([_value(row, column) for row in panel.rows], object)
    return {str(name): values == name for name in sorted(set(values.tolist()))}


def _value(row: Mapping[str, object], column: str) -> str:
    """A cell of a matrix: `final` is the micro category, else safe, else the drop reason."""
    if column == "final_label":
        return str(row["label"] or row["drop_reason"] or NONE)
    if column == "final":
        return str(row["micro_category"] or row["label"] or row["drop_reason"] or NONE)
    return str(row[column] or NONE)


def _hard(p_unsafe: dawid_skene.Floats) -> agreement.Votes:
    """0, 1, or -1 where the estimate is even or there is none."""
    hard = np.where(p_unsafe > 0.5, 1, np.where(p_unsafe < 0.5, 0, -1))
    return np.asarray(hard, np.int8)


def _share(part: Any, whole: Any) -> float | None:
    return float(part) / float(whole) if whole else None


_READ = ["intended_label", "intended_category", "label", "micro_category", "decided_by"]
_READ += ["drop_reason"]
