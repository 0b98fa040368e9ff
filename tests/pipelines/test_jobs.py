import dagster as dg
import pytest

from pipelines import definitions, jobs
from pipelines import profile as profiles
from resources.models.ledger import Quarantined
from tests.chillguard import builders


@pytest.fixture(scope="module")
def defs(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    return definitions.build(profiles.load("offline"), home)


def _selected(defs, name):
    job = defs.resolve_job_def(name)
    return {key.to_user_string() for key in job.asset_layer.selected_asset_keys}


def test_refresh_is_the_whole_lineage_up_to_the_card(defs):
    everything = {spec.key.to_user_string() for spec in defs.resolve_all_asset_specs()}
    assert _selected(defs, "refresh") == everything - {"refresh_plan"}
    assert _selected(defs, "plan") == {"refresh_plan"}


def test_the_plan_stands_beside_the_lineage(defs):
    node = defs.resolve_asset_graph().get(dg.AssetKey("refresh_plan"))
    assert (node.parent_keys, node.child_keys) == (set(), set())


REFRESHES = (
    "refresh",
    "real_prompts_refresh",
    "public_prompts_refresh",
    "benchmarks_refresh",
    "prompts_refresh",
)


@pytest.mark.parametrize("name", REFRESHES)
def test_a_refresh_ends_in_a_release(defs, name):
    assert "dataset_card" in _selected(defs, name)


def test_a_crawl_is_the_corpus_and_its_index(defs):
    assert _selected(defs, "corpus_refresh") == {
        key for key in _selected(defs, "refresh") if "crawled_posts/" in key or key == "post_index"
    }


def test_a_refresh_of_prompts_crawls_nothing(defs):
    assert _selected(defs, "prompts_refresh") == _selected(defs, "refresh") - _selected(
        defs, "corpus_refresh"
    )


def test_a_refresh_of_real_prompts_is_what_depends_on_them(defs):
    selected = _selected(defs, "real_prompts_refresh")
    assert {
        "real_prompts",
        "rejected_rows/real_prompts",
        "annotated_prompts",
        "rewritten_prompts",
        "candidate_prompts",
        "clean_prompts",
        "labeled_prompts",
        "train_set",
        "test_set",
        "dataset_card",
    } <= selected
    assert {f"jury_votes/juror_{slot}" for slot in range(1, 5)} <= selected
    for name in ("taxonomy", "expanded_keywords", "post_index", "synthesized_prompts"):
        assert name not in selected
    assert not [key for key in selected if key.startswith("crawled_posts/")]


def test_no_asset_is_left_half_fed_by_a_refresh_of_real_prompts(defs):
    selected = _selected(defs, "real_prompts_refresh")
    for spec in defs.resolve_all_asset_specs():
        upstream = {dep.asset_key.to_user_string() for dep in spec.deps}
        if upstream & selected:
            assert spec.key.to_user_string() in selected


@pytest.mark.parametrize(("asset", "free"), [(None, {"a", "b"}), ("one", {"a"})])
def test_a_re_drive_lets_quarantined_calls_be_asked_again(tmp_path, asset, free):
    defs = definitions.build(profiles.load("offline"), tmp_path)
    ledger = defs.resources["llm"].ledger
    ledger.quarantine(
        Quarantined(key, place, "r", "m", "row", "why", 1, None)
        for key, place in (("a", "one"), ("b", "two"))
    )
    config = {"ops": {"redrive": {"config": {"asset": asset} if asset else {}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        job = defs.resolve_job_def("redrive_quarantine")
        assert job.execute_in_process(run_config=config, instance=instance).success
    found = ledger.quarantined(["a", "b"])
    assert {key for key, one in found.items() if not one.held} == free


@pytest.mark.parametrize(("version", "published"), [("v1", True), ("v2", False)])
def test_a_release_is_published_by_its_approval_only(tmp_path, version, published):
    defs = definitions.build(profiles.load("offline"), tmp_path)
    sides = {side: builders.released(side, [builders.labeled(side)]) for side in ("train", "test")}
    documents = {"public_card.md": b"card"}
    defs.resources["releases"].write("v1", sides, {}, documents)
    approval = tmp_path / "approval.yaml"
    approval.write_text(f"person: A\ndate: 2026-11-25\nrelease: '{version}'\npurposes: [publish]\n")
    config = {"ops": {"publish_release": {"config": {"approval": str(approval)}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        job = defs.resolve_job_def("publish")
        done = job.execute_in_process(run_config=config, instance=instance, raise_on_error=False)
    assert done.success is published
    assert (tmp_path / "public" / "v1" / "SHA256SUMS").exists() is published


def test_the_launchpad_says_what_each_field_of_a_job_is():
    for config in (jobs.Redrive, jobs.Removal, jobs.Publication):
        shape = config.to_config_schema().as_field().config_type
        assert [name for name, field in shape.fields.items() if not field.description] == []
