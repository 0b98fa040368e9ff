"""A queue is exported, decided and imported: labels follow, nothing is paid, and it stays so."""

import csv
import json

import pytest

from tests.integration.conftest import SMALL

pytestmark = pytest.mark.pipeline
# What depends on decisions; nothing before it changes.
LATER = (
    *("review_decisions", "rejected_rows/review_decisions", "labeled_prompts", "review_queue"),
    *("train_set", "test_set", "release_drops", "anchor_votes", "jury_quality", "dataset_card"),
)


def _export(house):
    [folder] = [path for path in (house.home / "review").glob("[!.]*") if path.name != "decisions"]
    return folder


@pytest.fixture(scope="module")
def reviewed(make_house):
    """A house before and after three decisions: a filled-in sheet, and an export of tasks."""
    house = make_house("reviewed", settings=SMALL)
    assert house.run().success
    before = {row["prompt_id"]: row for row in house.rows("labeled_prompts")}
    paid, export, anchored = house.calls(), _export(house), house.rows("anchor_votes")
    with (export / "queue.csv").open(encoding="utf-8-sig", newline="") as file:
        sheet = list(csv.DictReader(file))
    rescued, undecided = sheet[0]["prompt_id"], sheet[1]["prompt_id"]
    sheet[0] |= {"label": "unsafe", "category": "B4", "reviewer": "li.wei", "date": "2026/11/25"}
    sheet[1] |= {"label": "safe", "date": "2026-11-25"}
    folder = house.home / "review" / "decisions"
    folder.mkdir()
    with (folder / "sheet.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(sheet[0]))
        writer.writeheader()
        writer.writerows(sheet)
    task = json.loads((export / "tasks.json").read_text("utf-8"))[-1]
    choice = {"from_name": "label", "to_name": "text", "type": "choices",
              "value": {"choices": ["safe"]}}  # fmt: skip
    task |= {
        "annotations": [
            {"completed_by": {"id": 1, "email": "zhang.min@example.org"}, "result": [choice],
             "was_cancelled": False, "updated_at": "2026-11-25T03:00:00.000000Z"}
        ]
    }  # fmt: skip
    stranger = {**task, "data": {"prompt_id": "0" * 32}}
    (folder / "studio.json").write_text(json.dumps([task, stranger]), "utf-8")
    assert house.run(*LATER).success
    return house, before, paid, anchored, rescued, undecided, task["data"]["prompt_id"]


def test_decisions_override_the_jury_and_bring_lost_rows_back(reviewed):
    house, before, _, _, rescued, undecided, last = reviewed
    after = {row["prompt_id"]: row for row in house.rows("labeled_prompts")}
    assert before[rescued]["drop_reason"] == "unresolved"
    assert (after[rescued]["label"], after[rescued]["micro_category"]) == ("unsafe", "B4")
    assert (after[last]["label"], after[last]["micro_category"]) == ("safe", None)
    assert {after[key]["decided_by"] for key in (rescued, last)} == {"review"}
    assert after[rescued]["votes"] == before[rescued]["votes"]
    others = after.keys() - {rescued, last}
    assert {key: after[key] for key in others} == {key: before[key] for key in others}
    assert undecided in others


def test_decided_rows_leave_the_queue_and_unsigned_ones_are_told(reviewed):
    house, _, _, _, rescued, undecided, last = reviewed
    queue = {row["prompt_id"] for row in house.rows("review_queue")}
    assert undecided in queue
    assert not {rescued, last} & queue
    (reject,) = house.rows("rejected_rows/review_decisions")
    assert (reject["source"], reject["column"]) == ("sheet.csv", "reviewer")
    assert "unsigned" in reject["reason"]
    standings = [row["standing"] for row in house.rows("review_decisions")]
    assert sorted(standings) == ["applied", "applied", "unknown_prompt"]
    figures = house.rows("jury_quality")
    told = {row["other"]: row["n"] for row in figures if row["measure"] == "decisions"}
    assert told == {"applied": 2, "unknown_prompt": 1}


def test_a_decision_pays_for_nothing_but_the_anchors_of_the_new_release(reviewed):
    house, _, paid, anchored, *_ = reviewed
    now = house.rows("anchor_votes")
    assert ({row["refresh"] for row in anchored}, {row["refresh"] for row in now}) == ({1}, {2})
    again = sum(row["verdict"] == "abstain" for row in now)
    assert house.calls() - paid == len(now) + again
    drift = [row for row in house.rows("jury_quality") if row["measure"] == "drift"]
    assert [(row["value"], row["n"]) for row in drift] == [(0.0, 62)] * 4
    card = (house.home / "release" / house.versions()[-1] / "README.md").read_text("utf-8")
    assert "decisions: unknown_prompt | 1" in card


def test_a_further_run_changes_no_byte_and_pays_nothing(reviewed):
    house, *_ = reviewed
    bytes_before, calls = house.bytes(), house.calls()
    assert house.run(*LATER).success
    assert (house.bytes(), house.calls()) == (bytes_before, calls)
