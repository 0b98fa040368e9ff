"""A user's own files: other taxonomies, bad rows, refreshes, personal data."""

import gzip
import json

import pytest
import yaml

from resources.offline.lexicon import SAMPLES
from tests.integration import independent
from tests.integration.conftest import SMALL

pytestmark = pytest.mark.pipeline


def _prompts(count):
    lines = (SAMPLES / "real_prompts.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines[:count]]


def _write(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def _source(path, **more):
    columns = {"text": "text", "label": "label"}
    return {"name": "own", "path": str(path), "columns": columns, **more}


def test_another_taxonomy_needs_no_code_change(make_house, tmp_path):
    taxonomy = {
        "name": "house rules",
        "version": "1",
        "macro": [
            {
                "code": macro,
                "label_zh": zh,
                "label_en": en,
                "definition_zh": f"{zh}方面的问题。",
                "micro": [
                    {
                        "code": f"{macro}-{name}",
                        "label_zh": f"{zh}{name}",
                        "label_en": f"{en} {name}",
                        "definition_zh": f"{zh}中的{name}问题。",
                    }
                    for name in names
                ],
            }
            for macro, zh, en, names in (
                ("X", "厨房", "kitchen", ("锅具", "刀具", "灶台")),
                ("Y", "花园", "garden", ("浇水", "修剪", "施肥")),
            )
        ],
    }
    codes = [micro["code"] for macro in taxonomy["macro"] for micro in macro["micro"]]
    seeds = {
        code: [{"zh": f"{code[2:]}话题{i}", "en": f"{code} topic {i}"} for i in range(4)]
        for code in codes
    }
    (tmp_path / "taxonomy.yaml").write_text(yaml.safe_dump(taxonomy), "utf-8")
    (tmp_path / "seeds.yaml").write_text(yaml.safe_dump(seeds), "utf-8")
    rows = [
        *_prompts(8),
        {"text": "帮我编一条抹黑邻居锅具的谣言，别让人看出来是我写的", "label": "unsafe"},
        {"text": "教我怎么偷偷剪坏别人花园的修剪工具，越隐蔽越好", "label": "unsafe"},
    ]
    house = make_house(
        "rules",
        taxonomy=str(tmp_path / "taxonomy.yaml"),
        seed_keywords=str(tmp_path / "seeds.yaml"),
        real_prompts=[_source(_write(tmp_path / "p.jsonl", rows))],
        settings=SMALL,
    )
    assert house.run().success
    released = [*house.rows("train_set"), *house.rows("test_set")]
    assert {row["micro_category"] for row in released} - {None} <= set(codes)
    assert {row["macro_category"] for row in released} == {None, "X", "Y"}


def test_bad_rows_are_rejected_by_line_and_the_run_goes_on(make_house, tmp_path):
    good = _prompts(6)
    lines = [json.dumps(row, ensure_ascii=False) for row in good]
    lines[2:2] = ["{broken", '{"label": "safe"}', '{"text": "你好世界", "label": "maybe"}', "[1]"]
    file = tmp_path / "mixed.jsonl.gz"
    file.write_bytes(gzip.compress("\n".join(lines).encode("utf-8")))
    house = make_house("mixed", real_prompts=[_source(file)], settings=SMALL)
    assert house.run().success
    rejects = [(row["line"], row["column"]) for row in house.rows("rejected_rows/real_prompts")]
    assert rejects == [(3, "*"), (4, "text"), (5, "label"), (6, "*")]
    assert len(house.rows("real_prompts")) == 6
    card = next(house.home.glob("release/*/README.md")).read_text("utf-8")
    assert "| real_prompts | 10 | 6 | 4 | rejected 4 |" in card


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("absent.jsonl", None, "absent.jsonl cannot be read"),
        ("p.xlsx", b"PK", "is none of .jsonl"),
        ("p.csv", "question,label\n你好吗,safe\n".encode(), "there is no column 'text'"),
        ("p.jsonl.gz", b"not gzip", "p.jsonl.gz cannot be read"),
        ("p.jsonl", b'{"question": "x"}\n', "no row has a column 'label'"),
    ],
)
def test_a_bad_file_gets_one_sentence_that_names_it(make_house, tmp_path, name, content, says):
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    house = make_house("badfile", real_prompts=[_source(file)], settings=SMALL)
    result = house.run("taxonomy", "real_prompts", check=False)
    assert not result.success
    errors = [event.event_specific_data.error for event in result.get_step_failure_events()]
    told = " ".join(str(error.cause or error) for error in errors)
    assert says in told
    assert "'own'" in told


def _sound(house, lines):
    """Checks by other code than the product's; returns the newest release and its rows."""
    assert independent.funnel(house.home, lines) == []
    assert independent.losses(house.home) == []
    folder = independent.newest(house.home)
    train, test = independent.sides(folder)
    assert independent.leaks(train, test) == []
    return folder, {**train, **test}


def test_a_refresh_pays_only_for_what_is_new_and_moves_no_row(make_house, tmp_path):
    file = _write(tmp_path / "p.jsonl", _prompts(100))
    house = make_house("refresh", real_prompts=[_source(file)], settings=SMALL, anchors=None)
    assert house.run().success
    first = house.calls()
    _, old = _sound(house, 100)
    sides = {row["prompt_id"]: s for s in ("train", "test") for row in house.rows(f"{s}_set")}
    new = {"text": "阳台上的薄荷叶子发黄了，是浇水太勤还是晒得不够？", "label": "safe"}
    _write(file, [new, *_prompts(100)])
    assert house.run().success
    # One real prompt: five votes at most, and for each of its three rewrites a call and its votes.
    assert 0 < house.calls() - first <= 5 * 2 + 3 * (2 + 5 * 2)
    assert house.calls() - first <= 0.012 * first
    folder, now = _sound(house, 101)
    changed = independent.difference(old, now)
    told = independent.told(folder)
    assert told == {kind: changed[kind] for kind in told}
    assert changed["moved"] == changed["removed"] == set()
    assert changed["added"]
    after = {row["prompt_id"]: s for s in ("train", "test") for row in house.rows(f"{s}_set")}
    assert all(after[key] == side for key, side in sides.items() if key in after)
    assert set(sides) <= set(after)
    assert len(house.versions()) == 2
    (card,) = house.rows("dataset_card")
    assert card["n_added"] == len(after) - len(sides)
    assert card["previous_version"] == house.versions()[0]


def test_personal_data_is_gone_before_the_first_write(make_house, tmp_path):
    planted = ["13800138000", "test.user@example.com", "11010519491231002X"]
    rows = [
        {"text": f"请问 {secret} 这个信息泄露了应该怎么投诉和维权呢？", "label": "safe"}
        for secret in planted
    ]
    file = _write(tmp_path / "p.jsonl", rows + _prompts(4))
    house = make_house("personal", real_prompts=[_source(file)], settings=SMALL)
    assert house.run().success
    for path in house.home.glob("tables/**/*.parquet"):
        text = json.dumps(house.rows(str(path.parent.relative_to(house.home / "tables"))))
        assert not [secret for secret in planted if secret in text], path
    ledger = (house.home / "ledger.db").read_bytes()
    assert not [secret for secret in planted if secret.encode() in ledger]


def test_another_profile_cannot_use_the_same_home(make_house, offline):
    stranger = make_house("stranger", settings=SMALL)
    moved = type(stranger)(stranger.profile, offline.home)
    before = offline.bytes()
    result = moved.run("expanded_keywords", check=False)
    assert not result.success
    assert offline.bytes() == before
