"""How jury quality is shown: tables for the card, the report and metadata, and pictures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from chillguard import plots
from chillguard.labeling.quality import ALL
from chillguard.tables import lineage
from chillguard.tables.jury import Figure

_NOTHING = "-"
_REVIEWED = "the reviewer's label where there is one, else Dawid-Skene's"


@dataclass(frozen=True)
class Section:
    """A table with its title and what its figures mean; cells are text or whole numbers."""

    title: str
    note: str
    head: tuple[str, ...]
    rows: list[tuple[str | int, ...]]


class _Figures:
    """Figures of the `jury_quality` table by measure and keys."""

    def __init__(self, quality: pa.Table) -> None:
        self._rows = lineage.JURY_QUALITY.rows(quality)
        self._by_key = {
            (r["measure"], r["reference"], r["category"], r["juror"], r["other"]): r
            for r in self._rows
        }

    def all(self, measure: str, **keys: str) -> list[Figure]:
        """Rows of a measure, in key order."""
        return [
            row for row in self._rows
            if row["measure"] == measure and keys.items() <= row.items()
        ]  # fmt: skip

    def row(self, measure: str, reference: str = "panel", **keys: str) -> Figure | None:
        """One figure, if it was measured."""
        place = (keys.get("category", ALL), keys.get("juror", ALL), keys.get("other", ALL))
        return self._by_key.get((measure, reference, *place))

    def told(self, measure: str, form: str, reference: str = "panel", **keys: str) -> str:
        """One figure in the form of `format`."""
        row = self.row(measure, reference, **keys)
        return _NOTHING if row is None or row["value"] is None else format(row["value"], form)


def sections(quality: pa.Table) -> list[Section]:
    """All tables, in the order of reading; those without rows are left out."""
    figures = _Figures(quality)
    all_sections = (
        _jurors(figures), _independence(figures), _pairs(figures), _agreement(figures),
        _labels(figures), _review(figures),
    )  # fmt: skip
    return [section for section in all_sections if section.rows]


def headline(quality: pa.Table) -> dict[str, float]:
    """The figures that one follows from release to release; those without votes are left out."""
    figures = _Figures(quality)
    names = {
        "alpha": figures.row("alpha"),
        "kappa": figures.row("kappa"),
        "effective_jury_size": figures.row("effective_size", "reviewed"),
    }
    return {name: r["value"] for name, r in names.items() if r and r["value"] is not None}


def pictures(quality: pa.Table) -> dict[str, bytes]:
    """Heat maps by name: error correlation of the jurors, intended against final category."""
    figures = _Figures(quality)
    heat_maps = {}
    pairs = figures.all("error_correlation", reference="reviewed")
    if pairs:
        values = {(r["juror"], r["other"]): r["value"] for r in pairs}
        both = values | {(two, one): value for (one, two), value in values.items()}
        heat_maps["error correlation of jurors"] = _heat(both, "error correlation of jurors")
    cells = {(r["category"], r["other"]): r["value"] for r in figures.all("category_matrix")}
    if cells:
        title = "final (columns) by intended category (rows)"
        heat_maps["intended and final category"] = _heat(cells, title)
    return heat_maps


def _heat(cells: dict[tuple[str, str], float | None], title: str) -> bytes:
    rows, columns = ({key[side] for key in cells} for side in (0, 1))
    return plots.heat(cells, sorted(rows, key=_slot), sorted(columns, key=_slot), title)


def _slot(name: str) -> tuple[str, int, str]:
    """Sort key by which juror_10 comes after juror_2, and B10 after B2."""
    return name.rstrip("0123456789"), len(name), name


def _slots(figures: _Figures) -> list[str]:
    return sorted((row["juror"] for row in figures.all("bias")), key=_slot)


def _jurors(figures: _Figures) -> Section:
    columns = (
        ("bias", "+.1%", "panel"), ("abstention_rate", ".1%", "panel"),
        ("refusal_rate", ".1%", "panel"), ("error_rate", ".1%", "reviewed"),
        ("sensitivity", ".3f", "dawid_skene"), ("specificity", ".3f", "dawid_skene"),
        ("accuracy", ".1%", "anchors"), ("abstention_rate", ".1%", "anchors"),
        ("drift", ".1%", "last"), ("accuracy_change", "+.1%", "last"),
    )  # fmt: skip
    rows = []
    for slot in _slots(figures):
        cells = [figures.told(measure, form, ref, juror=slot) for measure, form, ref in columns]
        if figures.told("model_replaced", ".0f", "last", juror=slot) == "1":
            cells[-1] += " (other model)"
        rows.append((slot, *cells))
    note = (
        "Bias: unsafe rate minus the panel's. Errors are against " + _REVIEWED + ". Sensitivity "
        "and specificity by Dawid-Skene. On the anchors an abstention counts as wrong; drift is "
        "the share of anchors with another verdict than at the last release."
    )
    head = ("juror", "bias", "abstained", "refused", "errors", "sensitivity", "specificity")
    later = ("anchors right", "anchors abstained", "anchors drifted", "anchors change")
    return Section("Jurors", note, head + later, _texts(rows))


def _independence(figures: _Figures) -> Section:
    rows, slots = [], _slots(figures)
    for reference in ("reviewed", "anchors"):
        if figures.row("effective_size", reference):
            without = [
                figures.told("effective_size_without", ".2f", reference, juror=slot)
                for slot in slots
            ]
            rows.append((reference, figures.told("effective_size", ".2f", reference), *without))
    note = (
        f"Effective jury size: n / (1 + (n - 1) · mean error correlation) for {len(slots)} jurors. "
        "Reviewed: " + _REVIEWED + "; a jury that errs as one cannot see it there, on the anchors "
        "it can."
    )
    head = ("errors against", "effective size", *(f"without {slot}" for slot in slots))
    return Section("Independence", note, head, _texts(rows))


def _pairs(figures: _Figures) -> Section:
    rows = [
        (f"{r['juror']}, {r['other']}", *(
            figures.told("error_correlation", ".3f", ref, juror=r["juror"], other=r["other"])
            for ref in ("reviewed", "anchors")
        ))
        for r in figures.all("error_correlation", reference="reviewed")
    ]  # fmt: skip
    note = "Phi of being wrong, over the rows on which both voted; - where one never erred."
    return Section("Error correlation", note, ("jurors", "reviewed", "anchors"), _texts(rows))


def _agreement(figures: _Figures) -> Section:
    measures = ("alpha", "abstention_by_intended", "abstention_by_final")
    names = {row["category"] for measure in measures for row in figures.all(measure)}
    rows: list[tuple[str | int, ...]] = []
    for name in [ALL, *sorted(names - {ALL}, key=_slot)] if names else []:
        votes = figures.row("alpha", category=name)
        cells = [figures.told(measure, ".3f", category=name) for measure in ("alpha", "kappa")]
        cells += [figures.told(measure, ".1%", category=name) for measure in measures[1:]]
        rows.append((name, votes["n"] if votes else _NOTHING, *cells))
    note = (
        "By intended category: prompts with two valid votes or more, Krippendorff's alpha over "
        "them, Fleiss' kappa over those without an abstention, abstained votes. Last column: "
        "abstained votes by final category, or by drop reason."
    )
    head = ("category", "prompts", "alpha", "kappa", "abstained, intended", "abstained, final")
    return Section("Agreement and abstentions", note, head, rows)


def _labels(figures: _Figures) -> Section:
    cells = figures.all("label_matrix")
    finals = sorted({row["other"] for row in cells})
    counts = {(row["category"], row["other"]): row["n"] for row in cells}
    rows: list[tuple[str | int, ...]] = [
        (intended, *(counts.get((intended, final), 0) for final in finals))
        for intended in sorted({row["category"] for row in cells})
    ]
    differs = figures.row("majority_differs", "dawid_skene")
    difference = (
        f" Dawid-Skene differs from the majority on {differs['value']:,.0f} of {differs['n']:,} "
        "rows with a majority; the majority decides." if differs else ""
    )  # fmt: skip
    head = ("intended", *(f"final {name}" for name in finals))
    return Section("Intended and final labels", "Prompts." + difference, head, rows)


def _review(figures: _Figures) -> Section:
    rows: list[tuple[str | int, ...]] = [
        (f"{measure}: {row['other']}", row["n"])
        for measure in ("waiting", "decisions")
        for row in figures.all(measure)
    ]
    note = "Prompts that wait for a reviewer, by reason, and decisions, by whether they count."
    return Section("Review", note, ("what", "prompts or decisions"), rows)


def _texts(rows: Iterable[Sequence[str]]) -> list[tuple[str | int, ...]]:
    return [tuple(row) for row in rows]
