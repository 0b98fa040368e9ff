import pytest

from chillguard.labeling import quality, report, review
from chillguard.tables import lineage
from tests.chillguard import builders

JURORS = ("juror_1", "juror_2", "juror_3")
# Prompt: votes, intended label and category, final label and category, how it was decided.
ROWS = {
    "a": (("unsafe", "unsafe", "unsafe"), "unsafe", "M1a", "M1a", "jury"),
    "b": (("unsafe", "unsafe", "safe"), "unsafe", "M1a", "M1b", "jury"),
    "c": (("safe", "safe", "safe"), "safe", "M1a", None, "jury"),
    "d": (("safe", "unsafe", "safe"), "safe", "M2a", None, "jury"),
    "e": (("unsafe", "abstain", "safe"), None, None, None, "review"),
    "f": (("abstain", "abstain", "abstain"), "unsafe", "M2a", "unresolved", None),
}


def _labeled():
    made = []
    for key, (verdicts, label, category, final, by) in ROWS.items():
        votes = [f"{j}={v}" for j, v in zip(JURORS, verdicts, strict=True)]
        lost = final == "unresolved"
        columns = {"intended_label": label, "intended_category": category, "decided_by": by}
        if lost:
            columns |= {"label": None, "drop_reason": final, "drop_evidence": "why"}
        micro = None if lost else final
        made.append(builders.labeled(key, micro=micro, votes=votes, **columns))
    return lineage.LABELED_PROMPTS.build(made)


def _votes():
    return {
        juror: lineage.JURY_VOTES.build(
            {
                "prompt_id": key,
                "juror": juror,
                "model": f"{juror}@1",
                "verdict": row[0][place],
                "reason": "refusal" if row[0][place] == "abstain" and place == 0 else None,
                "call_key": key,
            }
            for key, row in ROWS.items()
        )
        for place, juror in enumerate(JURORS)
    }


def _anchor_votes(verdicts, refresh, model="juror_1@1"):
    """Votes of two jurors on three anchors, of which the first is unsafe."""
    return lineage.ANCHOR_VOTES.build(
        {
            "anchor_id": f"x{n}",
            "juror": juror,
            "model": model,
            "intended_label": "unsafe" if n == 0 else "safe",
            "intended_category": "M1a",
            "verdict": verdict,
            "refresh": refresh,
            "call_key": "k",
        }
        for juror, said in zip(JURORS, verdicts, strict=False)
        for n, verdict in enumerate(said)
    )


NOW = (("unsafe", "safe", "unsafe"), ("unsafe", "abstain", "unsafe"))
BEFORE = (("unsafe", "unsafe", "unsafe"), ("unsafe", "abstain", "unsafe"))


@pytest.fixture(scope="module")
def measured():
    labeled, panel = _labeled(), quality.Panel.of(_labeled(), _votes())
    waiting = review.waiting(labeled, panel.p_unsafe())
    return quality.table(
        panel,
        3,
        _anchor_votes(NOW, 2),
        _anchor_votes(BEFORE, 1, "older@1"),
        waiting,
        lineage.REVIEW_DECISIONS.build([]),
    )


@pytest.fixture(scope="module")
def figure(measured):
    rows = {
        (r["measure"], r["reference"], r["category"], r["juror"], r["other"]): (r["value"], r["n"])
        for r in measured.to_pylist()
    }

    def get(measure, reference="panel", category="all", juror="all", other="all"):
        return rows[measure, reference, category, juror, other]

    return get


def test_the_table_keeps_its_schema_and_is_the_same_again(measured):
    assert lineage.JURY_QUALITY.problems(measured) == []
    panel = quality.Panel.of(_labeled(), _votes())
    again = [panel.p_unsafe(), quality.Panel.of(_labeled(), _votes()).p_unsafe()]
    assert again[0] == again[1]


def test_refusals_abstentions_and_bias_are_counted_by_juror(figure):
    # Of 14 valid votes 7 are unsafe; of juror_1's five three.
    assert figure("bias", juror="juror_1") == (pytest.approx(3 / 5 - 7 / 14), 5)
    assert figure("abstention_rate", juror="juror_2") == (pytest.approx(2 / 6, abs=1e-6), 6)
    assert figure("refusal_rate", juror="juror_1") == (pytest.approx(1 / 6, abs=1e-6), 6)
    assert figure("refusal_rate", juror="juror_2") == (0, 6)


def test_abstentions_are_told_by_intended_and_by_final_category(figure):
    assert figure("abstention_by_intended", category="M1a") == (0, 9)
    assert figure("abstention_by_intended", category="M2a") == (0.5, 6)
    assert figure("abstention_by_intended", category="none") == (pytest.approx(1 / 3, abs=1e-6), 3)
    assert figure("abstention_by_final", category="unresolved") == (1, 3)
    assert figure("abstention_by_final", category="safe") == (pytest.approx(1 / 9, abs=1e-6), 9)


def test_errors_are_held_against_the_reviewer_before_dawid_skene(figure):
    # The reviewer calls e safe, on which juror_1 said unsafe.
    assert figure("error_rate", "reviewed", juror="juror_1")[0] == pytest.approx(0.2)
    assert figure("error_rate", "reviewed", juror="juror_1")[1] == 5


def test_without_a_juror_the_effective_size_counts_the_pairs_of_the_others_only():
    # On four safe anchors juror_1 and juror_2 err alike, juror_3 errs where they do not.
    verdicts = (
        ("unsafe", "unsafe", "safe", "safe"),
        ("unsafe", "unsafe", "safe", "safe"),
        ("safe", "safe", "unsafe", "unsafe"),
    )
    votes = lineage.ANCHOR_VOTES.build(
        {**row, "intended_label": "safe"} for row in _anchor_votes(verdicts, 1).to_pylist()
    )
    empty = quality.Panel.of(
        _labeled().slice(0, 0), {juror: table.slice(0, 0) for juror, table in _votes().items()}
    )
    table = quality.table(empty, 3, votes, None, [], lineage.REVIEW_DECISIONS.build([]))
    sizes = {
        row["juror"]: row["value"]
        for row in table.to_pylist()
        if row["reference"] == "anchors" and row["measure"] == "effective_size_without"
    }
    # The two that err alike are worth one juror; two that never err together are worth two.
    assert sizes == {"juror_1": 2, "juror_2": 2, "juror_3": 1}


def test_the_matrices_add_up_to_the_rows(measured, figure):
    assert figure("label_matrix", category="unsafe", other="unsafe") == (
        pytest.approx(2 / 3, abs=1e-6),
        2,
    )
    assert figure("label_matrix", category="unsafe", other="unresolved")[1] == 1
    assert figure("category_matrix", category="M1a", other="M1b")[1] == 1
    for measure in ("label_matrix", "category_matrix"):
        rows = [row for row in measured.to_pylist() if row["measure"] == measure]
        assert sum(row["n"] for row in rows) == len(ROWS)


def test_agreement_is_told_overall_and_by_intended_category(figure):
    assert figure("alpha", category="M1a")[1] == 3
    assert figure("kappa")[1] == 4
    assert figure("kappa", category="none") == (None, 0)


def test_anchors_give_accuracy_drift_and_a_replaced_model(figure):
    assert figure("accuracy", "anchors", juror="juror_1") == (pytest.approx(2 / 3, abs=1e-6), 3)
    assert figure("accuracy", "anchors", juror="juror_2") == (pytest.approx(1 / 3, abs=1e-6), 3)
    assert figure("abstention_rate", "anchors", juror="juror_2")[0] == pytest.approx(
        1 / 3, abs=1e-6
    )
    assert figure("drift", "last", juror="juror_1") == (pytest.approx(1 / 3, abs=1e-6), 3)
    assert figure("drift", "last", juror="juror_2") == (0, 3)
    change = figure("accuracy_change", "last", juror="juror_1")
    assert change == (pytest.approx(1 / 3, abs=1e-6), 3)
    assert figure("model_replaced", "last", juror="juror_1") == (1, 3)


def test_what_waits_is_counted_before_the_queue_is_cut(figure):
    assert figure("waiting", "review", other="split") == (2, 2)
    assert figure("waiting", "review", other="unresolved") == (1, 1)


def test_a_jury_without_rows_or_anchors_has_a_table_all_the_same():
    empty = {juror: table.slice(0, 0) for juror, table in _votes().items()}
    panel = quality.Panel.of(_labeled().slice(0, 0), empty)
    none = lineage.ANCHOR_VOTES.build([])
    table = quality.table(panel, 3, none, None, [], lineage.REVIEW_DECISIONS.build([]))
    assert lineage.JURY_QUALITY.problems(table) == []
    assert {row["value"] for row in table.to_pylist() if row["measure"] == "alpha"} == {None}
    assert report.sections(table)


def test_a_row_that_no_juror_was_asked_about_is_no_abstention():
    kept = builders.labeled("z", decided_by="source", votes=[], n_valid_votes=0, agreement=None)
    rows = [*_labeled().to_pylist(), kept]
    panel = quality.Panel.of(lineage.LABELED_PROMPTS.build(rows), _votes())
    assert panel.prompt_ids == list(ROWS)


def test_the_report_shows_every_juror_and_says_what_errors_are_held_against(measured):
    found = {section.title: section for section in report.sections(measured)}
    assert [row[0] for row in found["Jurors"].rows] == list(JURORS)
    assert "Dawid-Skene" in found["Jurors"].note
    assert found["Jurors"].rows[0][-1] == "+33.3% (other model)"
    assert [row[0] for row in found["Independence"].rows] == ["reviewed", "anchors"]
    assert found["Review"].rows == [("waiting: split", 2), ("waiting: unresolved", 1)]
    for section in found.values():
        assert {len(row) for row in section.rows} == {len(section.head)}


def test_the_headline_figures_are_those_of_the_whole_panel(measured, figure):
    assert report.headline(measured) == {
        "alpha": figure("alpha")[0],
        "kappa": figure("kappa")[0],
        "effective_jury_size": figure("effective_size", "reviewed")[0],
    }
    assert report.headline(lineage.JURY_QUALITY.build([])) == {}


def test_the_report_has_its_two_heat_maps(measured):
    found = report.pictures(measured)
    assert set(found) == {"error correlation of jurors", "intended and final category"}
    assert all(png.startswith(b"\x89PNG") for png in found.values())
    assert report.pictures(lineage.JURY_QUALITY.build([])) == {}
