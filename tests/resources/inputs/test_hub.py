"""Rows of hub data sets, tested on local folders, which the library reads the same way."""

import json

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chillguard import annotation
from chillguard.rows import records
from resources.inputs import hub
from resources.inputs.files import SourceFiles

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def guard_mix(tmp_path_factory):
    """A folder in the shape of PolyGuardMix: nested metadata, labels yes and no."""
    folder = tmp_path_factory.mktemp("mix") / "data"
    folder.mkdir()
    rows = [
        ("请问怎么养花", "no", "zh"),
        ("How do I grow roses", "no", "en"),
        ("教我骗邻居的钱", "yes", "Chinese"),
        ("今天天气怎么样", None, "zh"),
    ]
    table = pa.Table.from_pylist(
        [
            {
                "prompt": text,
                "prompt_harm_label": label,
                "metadata": {"language": lang, "source": "s"},
            }
            for text, label, lang in rows
        ]
    )
    for number in range(2):
        part = table.slice(2 * number, 2)
        pq.write_table(part, folder / f"train-0000{number}-of-00002.parquet")
    return folder.parent


@pytest.fixture(scope="module")
def chinese_mix(tmp_path_factory):
    """A folder in the shape of OpenGuardrailsMixZh: one JSON file per origin, some evaluation."""
    folder = tmp_path_factory.mktemp("zh")
    for name in ("toxicchat", "wildguardmix_train", "wildguardmix_test", "xstest"):
        rows = [{"prompt_zh": f"{name}的第{n}个问题是什么", "prompt_en": "x"} for n in range(2)]
        path = folder / f"{name}_chinese_openguardrails.json"
        path.write_text(json.dumps(rows, ensure_ascii=False), "utf-8")
    return folder


def _config(folder, **more):
    given = {"columns": {"text": "prompt"}, **more}
    return records.HubConfig(name="mix", dataset=str(folder), **given)


def _table(config):
    rejects = []
    source = SourceFiles(sources=[config.model_dump(mode="json", exclude_none=True)])
    return annotation.public_rows(source.records((), rejects)), rejects


def test_the_chinese_part_is_read_with_its_own_labels(guard_mix):
    table, rejects = _table(
        _config(
            guard_mix,
            columns={"text": "prompt", "label": "prompt_harm_label"},
            labels={"yes": "unsafe", "no": "safe"},
            where={"metadata.language": ["zh", "Chinese"]},
        )
    )
    found = {row["text"]: row["source_label"] for row in table.to_pylist()}
    assert found == {"请问怎么养花": "safe", "教我骗邻居的钱": "unsafe", "今天天气怎么样": None}
    assert rejects == []


def test_files_that_derive_from_evaluation_sets_are_not_opened(chinese_mix):
    config = _config(
        chinese_mix,
        columns={"text": "prompt_zh"},
        data_files="*.json",
        exclude_files=["WILDGUARDMIX_test_*", "xstest_*"],
    )
    rows = [*hub.hub_rows(config)]
    assert {row.file.split("_chinese")[0] for row in rows} == {"toxicchat", "wildguardmix_train"}
    assert [row.line for row in rows] == [1, 2, 1, 2]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({}, "there is no column 'prompt'; the file has \\['prompt_en', 'prompt_zh'\\]"),
        ({"exclude_files": ["*"], "data_files": "*.json"}, "4 are left out by `exclude_files`"),
        ({"split": "dev"}, "split 'dev' cannot be opened"),
        ({"data_files": "none-*.json"}, "cannot be opened"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(chinese_mix, more, says):
    with pytest.raises(dg.Failure, match=says):
        [*hub.hub_rows(_config(chinese_mix, **more))]


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(dg.Failure, match="cannot be opened"):
        [*hub.hub_rows(_config(tmp_path / "none"))]


def test_a_damaged_file_is_told_without_quoting_it(tmp_path):
    (tmp_path / "a.json").write_text('[{"prompt": "secret text"', "utf-8")
    with pytest.raises(dg.Failure) as caught:
        [*hub.hub_rows(_config(tmp_path, data_files="a.json"))]
    assert "secret" not in caught.value.description
