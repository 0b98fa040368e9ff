import json
import subprocess

import dagster as dg
import pyarrow.parquet as pq
import pytest
import yaml

from chillguard.release import card
from resources.home.publishing import Publishing
from resources.home.releases import Releases
from tests.chillguard import builders

VERSION = "0123456789ab"
FREE, BARRED = builders.mixed(1), builders.mixed(2)


@pytest.fixture
def releases(tmp_path):
    return Releases(folder=str(tmp_path / "release"))


@pytest.fixture
def publishing(tmp_path, releases):
    rows = [
        builders.labeled("a", FREE, "M1a", translated_from="An English original"),
        builders.labeled("b", BARRED, may_redistribute=False),
    ]
    sides = {"train": builders.released("train", rows), "test": builders.released("test", rows[:1])}
    documents = {card.PUBLIC_CARD: b"public card", "README.md": b"inside", "funnel.png": b"png"}
    releases.write(VERSION, sides, {}, documents)
    return Publishing(folder=str(tmp_path / "public"), releases=releases)


@pytest.fixture
def approval(tmp_path):
    def write(**changed):
        fields = {
            "person": "A. Editor",
            "date": "2026-11-25",
            "release": VERSION,
            "purposes": ["publish"],
            **changed,
        }
        path = tmp_path / "approval.yaml"
        given = {name: value for name, value in fields.items() if value is not None}
        path.write_text(yaml.safe_dump(given), "utf-8")
        return str(path)

    return write


def test_a_release_is_published_whole_and_without_barred_texts(publishing, approval, releases):
    folder = publishing.publish(approval(), None)
    assert sorted(path.name for path in folder.iterdir()) == [
        *("README.md", "SHA256SUMS", "approval.json", "funnel.png", "schema.json"),
        *("test.jsonl", "test.parquet", "train.jsonl", "train.parquet"),
    ]
    assert (folder / "README.md").read_bytes() == b"public card"
    texts = pq.read_table(folder / "train.parquet")["text"].to_pylist()
    assert texts == [FREE, None]
    whole = b"".join(path.read_bytes() for path in folder.glob("*.json*"))
    assert FREE.encode() in whole
    for hidden in (BARRED, "An English original", "A. Editor"):
        assert hidden.encode() not in whole
    assert json.loads((folder / "approval.json").read_text())["version"] == VERSION
    inside = releases.path(VERSION, "train").parent / "approval.yaml"
    assert yaml.safe_load(inside.read_text())["person"] == "A. Editor"
    done = subprocess.run(
        ["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=False
    )
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"person": None}, "person: Field required"),
        ({"person": " "}, "person: String should have at least 1 character"),
        ({"date": None}, "date: Field required"),
        ({"date": "tomorrow"}, "date: Input should be a valid date"),
        ({"release": None}, "release: Field required"),
        ({"release": "ffffffffffff"}, "is about release ffffffffffff, not 0123456789ab"),
        ({"purposes": ["train"]}, "allows train, not publish"),
        ({"scope": "all"}, "scope: Extra inputs are not permitted"),
    ],
)
def test_without_a_fitting_approval_nothing_is_written(
    publishing, approval, tmp_path, changed, says
):
    with pytest.raises(dg.Failure) as caught:
        publishing.publish(approval(**changed), None)
    assert says in caught.value.description
    assert "nothing was written" in caught.value.description
    assert "\n" not in caught.value.description
    assert not (tmp_path / "public").exists()


@pytest.mark.parametrize("content", [None, "{broken", "[]"])
def test_an_approval_file_that_is_none_is_told(publishing, tmp_path, content):
    path = tmp_path / "approval.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(dg.Failure, match=r"publish: .*approval file"):
        publishing.publish(str(path), None)
    assert not (tmp_path / "public").exists()


def test_a_version_that_is_not_there_is_told(publishing, approval):
    with pytest.raises(dg.Failure, match="there is no release ffff; there are 0123456789ab"):
        publishing.publish(approval(release="ffff"), "ffff")


def test_without_a_release_nothing_is_published(tmp_path, approval):
    empty = Releases(folder=str(tmp_path / "none"))
    bare = Publishing(folder=str(tmp_path / "public"), releases=empty)
    with pytest.raises(dg.Failure, match="there is no release"):
        bare.publish(approval(), None)


def test_publishing_twice_is_harmless_and_other_content_is_never_overwritten(publishing, approval):
    folder = publishing.publish(approval(), VERSION)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert publishing.publish(approval(person="B. Editor"), VERSION) == folder
    with pytest.raises(dg.Failure, match="never overwritten"):
        publishing.publish(approval(date="2026-11-26"), VERSION)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == [VERSION]


def test_a_kill_while_writing_leaves_no_folder(publishing, approval, monkeypatch):
    def killed(folder, files):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("resources.home.publishing.write_files", killed)
        with pytest.raises(KeyboardInterrupt):
            publishing.publish(approval(), VERSION)
    assert publishing.publish(approval(), VERSION).is_dir()


def test_a_release_of_an_earlier_version_of_the_code_is_told(publishing, approval, releases):
    (releases.path(VERSION, "train").parent / card.PUBLIC_CARD).unlink()
    with pytest.raises(dg.Failure, match="materialize dataset_card again; nothing was written"):
        publishing.publish(approval(), VERSION)


@pytest.mark.parametrize("name", ["train.parquet", "test.parquet", "train.jsonl", "release.json"])
def test_a_release_that_was_tampered_with_is_refused_by_the_name_of_the_file(
    publishing, approval, releases, tmp_path, name
):
    path = releases.path(VERSION, "train").parent / name
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(dg.Failure, match=f"release {VERSION}: {name} is not what SHA256SUMS says"):
        publishing.publish(approval(), VERSION)
    assert list(tmp_path.glob("public/*")) == []


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda sums: sums.unlink(), "SHA256SUMS is missing or cannot be read"),
        (lambda sums: sums.write_bytes(b"\xff"), "SHA256SUMS is missing or cannot be read"),
        (lambda sums: sums.write_text(""), "SHA256SUMS does not name train.parquet"),
        (lambda sums: sums.with_name("train.jsonl").unlink(), "train.jsonl is missing"),
    ],
)
def test_a_release_that_nobody_can_vouch_for_is_refused(
    publishing, approval, releases, tmp_path, spoil, says
):
    spoil(releases.path(VERSION, "train").parent / "SHA256SUMS")
    with pytest.raises(dg.Failure, match=says):
        publishing.publish(approval(), VERSION)
    assert list(tmp_path.glob("public/*")) == []


def test_published_copies_that_hold_prompts_are_told_by_folder(publishing, approval):
    assert publishing.holding({"a"}) == {}
    folder = publishing.publish(approval(), None)
    assert publishing.holding({"a", "b", "gone"}) == {str(folder): 3}
    assert publishing.holding({"gone"}) == {}
