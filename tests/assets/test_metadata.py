import base64
import types

import dagster as dg
import pyarrow as pa
import pytest

from assets import metadata
from chillguard.labeling import report
from chillguard.tables import lineage
from resources.models.planner import StagePlan
from resources.models.progress import Usage


def cells(shown):
    """The head and the rows of a table in the metadata."""
    head = tuple(column.name for column in shown.schema.columns)
    return head, [tuple(record.data[name] for name in head) for record in shown.records]


@pytest.fixture
def table(prompt):
    rows = [
        prompt("今天的天气真的不错"),
        prompt("明天的天气也很不错", intended_label="safe"),
        prompt("后天的天气还不知道", drop_reason="duplicate", drop_evidence="same text"),
    ]
    return lineage.SYNTHESIZED_PROMPTS.build(rows)


def test_rows_are_counted_kept_dropped_and_by_reason(table):
    found = metadata.counts(table)
    assert (found["rows"], found["kept"], found["dropped"]) == (3, 2, 1)
    assert cells(found["drops_by_reason"]) == (("reason", "rows"), [("duplicate", 1)])


def test_a_table_without_rows_keeps_its_head():
    found = metadata.counts(lineage.SYNTHESIZED_PROMPTS.build([]))
    assert cells(found["drops_by_reason"]) == (("reason", "rows"), [])


def test_the_columns_of_a_table_are_typed_so_that_they_sort_as_numbers():
    stages = [
        StagePlan("a", "r", "m", (10, 12), 2, (5, 6), (6, 6), None, (0.5, 0.6), "posts"),
        StagePlan("b", "r", "m", (9, 9), 2, (5, 5), (6, 6), (1.5, 1.5), None, ""),
    ]
    shown = metadata.plan_metadata(stages)["plan"]
    kinds = {column.name: column.type for column in shown.schema.columns}
    assert (kinds["asset"], kinds["at least"], kinds["cost"]) == ("string", "int", "float")
    assert [row[-5:] for row in cells(shown)[1]] == [
        (None, None, 0.5, 0.6, "posts"),
        (1.5, 1.5, None, None, None),
    ]


def test_a_section_of_the_report_is_a_table_with_its_note():
    section = report.Section("Labels and votes", "Prompts.", ("intended", "final"), [("safe", 3)])
    found = metadata.sections([section], {})
    assert cells(found["labels_and_votes"]) == (("intended", "final"), [("safe", 3)])
    assert found["labels_and_votes_note"] == "Prompts."


def test_steps_of_training_that_lack_a_figure_leave_it_empty(tmp_path):
    history = [{"step": 1, "loss": 0.5}, {"step": 2}]
    shown = metadata.learned({}, history, tmp_path)["history"]
    assert cells(shown) == (("step", "loss"), [(1, 0.5), (2, None)])


def test_a_table_that_drops_nothing_is_only_counted():
    assert metadata.counts(pa.table({"x": [1, 2]})) == {"rows": 2}


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (
            ["intended_label", "intended_category"],
            {"rows_per_intended_label", "rows_per_intended_one"},
        ),
        (["text"], set()),
    ],
)
def test_pictures_are_png_files_of_the_columns_there_are(table, columns, names):
    found = metadata.pictures(table.select(columns))
    assert set(found) == names
    for picture in found.values():
        data = picture.value.removeprefix("![bars](data:image/png;base64,").removesuffix(")")
        assert base64.b64decode(data).startswith(b"\x89PNG")


def test_final_labels_are_pictured_rather_than_intended_ones(sample):
    table = lineage.TRAIN_SET.build([sample("今天的天气", "train")])
    assert set(metadata.pictures(table)) == {"rows_per_label", "rows_per_category"}


def test_a_preview_shows_five_rows_and_never_the_text(prompt):
    texts = [f"第{number}条不应当被任何人看见的文字" for number in range(7)]
    table = lineage.SYNTHESIZED_PROMPTS.build(prompt(text) for text in texts)
    shown = metadata.preview(table)["preview"]
    head, rows = cells(shown)
    assert " ".join(head) == "prompt_id label micro_category origin method text response"
    assert len(rows) == 5
    assert "不应当被任何人看见" not in str(shown)
    assert all(row[-2].endswith("… (15 chars)") for row in rows)


def test_a_preview_survives_rows_without_text(prompt):
    row = prompt(None, drop_reason="quarantined")
    table = lineage.SYNTHESIZED_PROMPTS.build([row])
    [row] = cells(metadata.preview(table)["preview"])[1]
    assert row[-2:] == (None, None)


@pytest.mark.parametrize(
    "table",
    [pa.table({"zh": ["词"]}), lineage.SYNTHESIZED_PROMPTS.build([])],
    ids=["no prompts", "no rows"],
)
def test_where_there_are_no_prompts_there_is_no_preview(table):
    assert metadata.preview(table) == {}


def test_usage_is_shown_with_reasons_of_quarantine():
    usage = Usage(paid=3, from_ledger=4, quarantined=2, prompt_tokens=5, cost=0.5)
    usage.reasons["taken down"] += 2
    found = metadata.spent(usage)
    assert cells(found["quarantined_by_reason"])[1] == [("taken down", 2)]
    assert {key: found[key] for key in found if key != "quarantined_by_reason"} == {
        "calls_paid": 3,
        "calls_from_ledger": 4,
        "calls_quarantined": 2,
        "prompt_tokens": 5,
        "completion_tokens": 0,
        "cost": 0.5,
    }


def test_without_calls_there_is_no_usage():
    assert metadata.spent(None) == {}
    assert "quarantined_by_reason" not in metadata.spent(Usage())


def test_a_result_carries_table_version_and_all_metadata(table):
    found = metadata.result(table, Usage(paid=1), short=2)
    assert found.value is table
    assert found.data_version == metadata.data_version(table)
    wanted = {"rows", "kept", "dropped", "preview", "calls_paid", "short"}
    assert wanted <= found.metadata.keys()


def test_no_metadata_hold_the_raw_text(table):
    shown = str(metadata.result(table).metadata)
    assert not [text for text in table["text"].to_pylist() if text in shown]


def test_a_data_version_is_that_of_the_content(table):
    version = metadata.data_version(table)
    again = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    assert metadata.data_version(again) == version
    assert metadata.data_version(table.slice(1)) != version
    renamed = table.rename_columns({"text": "words"})
    assert metadata.data_version(renamed) != version


def test_outputs_are_named_after_their_keys_and_may_be_left_out():
    key = dg.AssetKey(["rejected_rows", "real_prompts"])
    found = metadata.outputs({key: "input row"})
    [(name, out)] = found.items()
    assert name == key.to_python_identifier()
    assert (out.key, out.description, out.is_required) == (key, "One row per input row.", False)


@pytest.mark.parametrize("selected", [["one"], ["two"], ["one", "two"]])
def test_only_what_the_run_selected_is_made(selected):
    keys = {name: dg.AssetKey(name) for name in ("one", "two")}

    context = types.SimpleNamespace(selected_asset_keys={keys[name] for name in selected})
    tables = {key: pa.table({"x": [name]}) for name, key in keys.items()}
    found = list(metadata.results(context, tables))
    assert [made.asset_key for made in found] == [keys[name] for name in selected]
    assert [made.value["x"][0].as_py() for made in found] == selected


def test_written_files_are_linked_by_name(tmp_path):
    found = metadata.paths(tmp_path, ["a.parquet", "b.md"])
    assert {name: link.value for name, link in found.items()} == {
        "a.parquet": str(tmp_path / "a.parquet"),
        "b.md": str(tmp_path / "b.md"),
    }


def test_the_pictures_among_the_files_of_a_release_are_shown_and_no_other_file():
    files = {"funnel.png": b"\x89PNG", "report.html": b"<html>", "losses.parquet": pa.table({})}
    found = metadata.images(files)
    assert {name: shown.value for name, shown in found.items()} == {
        "funnel": "![bars](data:image/png;base64,iVBORw==)"
    }
