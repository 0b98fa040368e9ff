"""Sides follow texts: release after release, whatever happens to sources, rows, state and ids."""

import json
import random
import shutil

import pyarrow.parquet as pq
import pytest
import yaml

from assets import metadata
from assets import release as release_assets
from chillguard import identity, taxonomy
from chillguard.release import sides
from chillguard.text import matching
from pipelines import profile as profiles
from resources.offline.lexicon import SAMPLES
from tests.chillguard.builders import mixed
from tests.integration import independent
from tests.integration.conftest import SMALL, House

pytestmark = pytest.mark.pipeline
SPELL = {
    "zero_width": "\u200b".join,
    "emoji": "{}😀".format,
    "script": lambda text: independent.TRADITIONAL.convert(text),
    "spaces": " ".join,
    "punctuation": lambda text: text.replace("？", "……！"),
    "width": lambda text: f"\ufeff{text}\u3000",
}


class Desk:
    """One home, under a profile that changes from release to release."""

    def __init__(self, folder):
        self.folder, self.home = folder, folder / "home"

    def house(self, real, source="logs", posts=(), public=(), **document):
        """The home, with these rows in its files."""
        for name, rows in (("real", real), ("posts", posts), ("public", public)):
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
            (self.folder / f"{name}.jsonl").write_text("".join(lines), "utf-8")
        columns = {"text": "text", "label": "label"}
        own = {"may_redistribute": True, "columns": {"text": "text"}}
        document = {
            "extends": "offline",
            "name": "sides",
            "real_prompts": [
                {"name": source, "path": str(self.folder / "real.jsonl"), "columns": columns}
            ],
            "posts": [
                {"name": "own", "path": str(self.folder / "posts.jsonl"), **own},
                {"name": "few", "path": str(SAMPLES / "posts_zh.jsonl"), "limit": 12, **own},
            ],
            "public_prompts": [
                {"name": source, "path": str(self.folder / "public.jsonl"), **own},
            ],
            "settings": {**SMALL, "keywords": {"target": 20}},
            **document,
        }
        file = self.folder / "sides.yaml"
        file.write_text(yaml.safe_dump(document, allow_unicode=True), "utf-8")
        return House(profiles.load(str(file)), self.home)


def _row(text, label="safe"):
    return {"text": text, "label": label}


def _planted():
    """Rows with copies in every spelling, between files too."""
    base = [_row(mixed(n)) for n in range(36)]
    copies = [
        _row(spell(base[3 * k + i]["text"]))
        for k, spell in enumerate(SPELL.values())
        for i in range(3)
    ]
    real = [*base, *copies]
    random.Random(1).shuffle(real)
    posts = [_row(SPELL["zero_width"](row["text"])) for row in base[20:26]]
    public = [_row(SPELL["spaces"](row["text"])) for row in base[28:32]]
    public += [_row(mixed(f"public {n}")) for n in range(3)]
    return {"real": real, "posts": posts, "public": public}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A home after its first release."""
    with pytest.MonkeyPatch.context() as patch:
        # Pictures take most of the time of a small run.
        patch.setattr(metadata.plots, "bars", lambda *_: b"\x89PNG")
        desk = Desk(tmp_path_factory.mktemp("sides"))
        house = desk.house(**_planted())
        assert house.run().success
        yield desk, house


@pytest.fixture
def desk(first, tmp_path, monkeypatch):
    """A copy of that home, to go on with."""
    monkeypatch.setattr(metadata.plots, "bars", lambda *_: b"\x89PNG")
    shutil.copytree(first[0].folder, tmp_path / "copy")
    return Desk(tmp_path / "copy")


def _hold(home, ever):
    """No root text on both sides, none on another side than ever before; keeps what it saw."""
    now = independent.root_sides(home)
    assert independent.both(now)["plain"] == []
    assert independent.changed(ever, now)["plain"] == []
    for form, of in now.items():
        ever[form].update(of)
    return ever


def test_copies_are_one_family_and_one_of_them_is_rewritten(first):
    _, house = first
    copies = [row for row in house.rows("real_prompts") if row["drop_reason"]]
    assert len(copies) == 3 * len(SPELL)
    assert {row["drop_reason"] for row in copies} == {"duplicate"}
    parents = [row["parent_ids"][0] for row in house.rows("rewritten_prompts")]
    assert not set(parents) & {row["prompt_id"] for row in copies}
    assert len(set(parents)) == 36
    found = independent.root_sides(house.home)
    assert independent.both(found) == {"plain": [], "read": []}
    assert len(found["plain"]) > 40


def test_without_families_by_text_the_same_rows_stand_on_both_sides(desk, monkeypatch):
    """The planted copies would be seen, if ids of rows were what families are known by."""
    monkeypatch.setattr(matching, "family_id", identity.text_hash)
    monkeypatch.setattr(sides.roots, "alike", lambda *_: iter(()))
    shutil.rmtree(desk.home)
    house = desk.house(**_planted())
    house.run(check=False)
    made = [house.rows(name) for name in ("train_set", "test_set")]
    assert all(made)
    folder = desk.folder / "unreleased"
    folder.mkdir()
    for name in ("train", "test"):
        (folder / f"{name}.parquet").write_bytes(
            (house.home / f"tables/{name}_set/part-00000.parquet").read_bytes()
        )
    assert independent.both(independent.root_sides(house.home, folder))["plain"]


def test_a_renamed_source_is_paid_for_by_nobody_and_changes_nothing(desk, first):
    before, paid = first[1].bytes(), first[1].calls()
    house = desk.house(**_planted(), source="may")
    assert house.run().success
    assert house.calls() == paid
    assert house.versions() == first[1].versions()
    after = house.bytes()
    files = [name for name in before if name.startswith("release/")]
    assert {name: after[name] for name in files} == {name: before[name] for name in files}
    assert {row["method"] for row in house.rows("real_prompts")} == {"may"}


def test_five_releases_change_no_side(desk, tmp_path):
    ever = _hold(desk.home, {"plain": {}, "read": {}})
    planted = _planted()
    less = {**planted, "real": [_row(r["text"], "unsafe") for r in planted["real"][10:]]}
    assert desk.house(**less, source="june").run().success
    ever = _hold(desk.home, ever)
    document = taxonomy.packaged("taxonomy.yaml")
    for macro in document["macro"]:
        macro["micro"][0] = {**macro["micro"][0], "label_zh": macro["micro"][0]["label_zh"] + "等"}
    file = tmp_path / "taxonomy.yaml"
    file.write_text(yaml.safe_dump({**document, "version": "other"}, allow_unicode=True), "utf-8")
    assert desk.house(**planted, source="june", taxonomy=str(file)).run().success
    ever = _hold(desk.home, ever)
    _lose_state(desk.home)
    new = [_row(mixed(f"new {n}")) for n in range(12)]
    house = desk.house(**{**planted, "real": [*new, *planted["real"]]}, source="july")
    assert house.run().success
    ever = _hold(desk.home, ever)
    shutil.rmtree(desk.home / "state" / "splits")
    spelled = [_row(f"{row['text']}~") for row in planted["real"]]
    house = desk.house(**{**planted, "real": [*new[:6], *spelled]}, source="july")
    assert house.run().success
    _hold(desk.home, ever)
    assert len(house.versions()) == 5


def test_sides_that_were_forgotten_are_told_before_anything_is_released(desk, monkeypatch):
    class Forgetful:
        @staticmethod
        def earlier(*_):
            return sides.Earlier()

    monkeypatch.setattr(release_assets, "frozen", Forgetful)
    monkeypatch.setattr(
        identity, "hash_order", lambda *parts: identity.text_hash(str(parts)).encode()
    )
    _lose_state(desk.home)
    house = desk.house(**_planted())
    result = house.run(check=False)
    assert not result.success
    failed = {e.check_name for e in result.get_asset_check_evaluations() if not e.passed}
    assert "frozen_sides" in failed
    assert len(house.versions()) == 1


def _as_of_old(home):
    """Give a home the ids of homes in which a family was known by the row at its root."""
    born = [row for name in ("real", "public") for row in _read(home, f"tables/{name}_prompts")]
    old = {
        row["family_id"]: identity.digest(
            "prompt", row["origin"], [], row["method"], 0, row["text"]
        )
        for row in born
        if row["drop_reason"] is None
    }
    old |= {
        row["family_id"]: row["parent_ids"][0]
        for row in _read(home, "tables/synthesized_prompts")
        if row["family_id"] not in old
    }
    roots = {row["prompt_id"]: old[row["family_id"]] for row in born}
    for path in [*home.glob("release/*/*.parquet"), *home.glob("state/splits/*.parquet")]:
        table = pq.read_table(path)
        for name, by in (("family_id", old), ("prompt_id", roots)):
            if name in table.column_names:
                place = table.column_names.index(name)
                column = [by.get(key, key) for key in table[name].to_pylist()]
                table = table.set_column(place, table.schema.field(name), [column])
        pq.write_table(table, path)
    shutil.rmtree(home / "tables")
    # What is released today may be what was released then, but for the ids.
    (release,) = home.glob("release/*")
    manifest = json.loads((release / "release.json").read_text("utf-8")) | {"version": "old"}
    (release / "release.json").write_text(json.dumps(manifest), "utf-8")
    release.rename(release.with_name("old"))
    return old


def _read(home, name):
    return pq.read_table(home / name).to_pylist()


@pytest.mark.parametrize("source", ["logs", "june"])
def test_a_home_of_old_keeps_its_sides(desk, source):
    ever = _hold(desk.home, {"plain": {}, "read": {}})
    old = _as_of_old(desk.home)
    house = desk.house(**_planted(), source=source)
    assert house.run().success
    given = {}
    for path in sorted((desk.home / "state/splits").glob("*.parquet")):
        given |= {row["family_id"]: row["split"] for row in pq.read_table(path).to_pylist()}
    taken = [family for family, before in old.items() if family in given and before in given]
    assert len(taken) > 40
    assert all(given[family] == given[old[family]] for family in taken)
    _hold(desk.home, ever)


def _lose_state(home):
    """All of `state/` is gone but the keyword pool, which a run beside releases asks back for."""
    pool = (home / "state/keywords.parquet").read_bytes()
    shutil.rmtree(home / "state")
    (home / "state").mkdir()
    (home / "state/keywords.parquet").write_bytes(pool)
