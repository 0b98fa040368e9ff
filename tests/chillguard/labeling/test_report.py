"""How figures are shown: every cell from the figure that its column names, `-` for none."""

import pytest

from chillguard.labeling import report
from chillguard.tables import lineage


def _figures(*rows):
    whole = {"reference": "panel", "category": "all", "juror": "all", "other": "all", "n": 4}
    return lineage.JURY_QUALITY.build({**whole, **row} for row in rows)


def _bias(juror, value=0.0):
    return {"measure": "bias", "juror": juror, "value": value}


def _sections(*rows):
    return {section.title: section for section in report.sections(_figures(*rows))}


def test_without_figures_nothing_is_shown():
    assert report.sections(_figures()) == []
    assert report.headline(_figures()) == {}
    assert report.pictures(_figures()) == {}


def test_a_juror_has_a_row_with_each_figure_in_its_column():
    anchors = {"reference": "anchors", "juror": "juror_1"}
    jurors = _sections(
        _bias("juror_1", -0.125),
        {"measure": "abstention_rate", "juror": "juror_1", "value": 0.25},
        {"measure": "abstention_rate", **anchors, "value": 0.5},
        {"measure": "accuracy", **anchors, "value": 0.75},
    )["Jurors"]
    [row] = jurors.rows
    shown = dict(zip(jurors.head, row, strict=True))
    assert shown["juror"] == "juror_1"
    assert (shown["bias"], shown["abstained"]) == ("-12.5%", "25.0%")
    assert (shown["anchors right"], shown["anchors abstained"]) == ("75.0%", "50.0%")
    assert (shown["refused"], shown["sensitivity"], shown["anchors drifted"]) == ("-", "-", "-")


def test_a_replaced_model_is_told_beside_the_change_on_the_anchors():
    last = {"reference": "last", "juror": "juror_1"}
    rows = _sections(
        _bias("juror_1"),
        {"measure": "accuracy_change", **last, "value": 0.5},
        {"measure": "model_replaced", **last, "value": 1.0},
    )["Jurors"].rows
    assert rows[0][-1] == "+50.0% (other model)"


def test_jurors_are_in_the_order_of_their_numbers():
    jurors = _sections(*map(_bias, ("juror_10", "juror_9", "juror_1")))["Jurors"]
    assert [row[0] for row in jurors.rows] == ["juror_1", "juror_9", "juror_10"]


def test_the_effective_size_without_a_juror_stands_in_that_jurors_column():
    sizes = {"measure": "effective_size_without", "reference": "anchors"}
    independence = _sections(
        _bias("juror_1"),
        _bias("juror_2"),
        {"measure": "effective_size", "reference": "anchors", "value": 1.5},
        {**sizes, "juror": "juror_1", "value": 1.25},
        {**sizes, "juror": "juror_2", "value": 1.75},
    )["Independence"]
    assert independence.head[2:] == ("without juror_1", "without juror_2")
    assert independence.rows == [("anchors", "1.50", "1.25", "1.75")]


def test_labels_are_counted_by_intended_and_final_and_the_difference_told():
    labels = _sections(
        {"measure": "label_matrix", "category": "safe", "other": "unsafe", "value": 1.0, "n": 3},
        {"measure": "label_matrix", "category": "unsafe", "other": "unsafe", "value": 1.0, "n": 5},
        {"measure": "label_matrix", "category": "unsafe", "other": "none", "value": 0.0, "n": 1},
        {"measure": "majority_differs", "reference": "dawid_skene", "value": 2.0, "n": 9},
    )["Intended and final labels"]
    assert labels.head == ("intended", "final none", "final unsafe")
    assert labels.rows == [("safe", 0, 3), ("unsafe", 1, 5)]
    assert "differs from the majority on 2 of 9 rows" in labels.note


@pytest.mark.parametrize("value", [0.5, None])
def test_the_headline_leaves_out_what_could_not_be_measured(value):
    headline = report.headline(_figures({"measure": "alpha", "value": value}))
    assert headline == ({} if value is None else {"alpha": 0.5})
