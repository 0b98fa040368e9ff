"""Profile `cluster`: steps on Ray, what each asks of it, and tables on an object store."""

import json
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from pipelines import cluster, definitions
from pipelines import profile as profiles

pytest.importorskip("dagster_ray", reason="needs the group `dev` or `scale`")


@pytest.fixture
def build(tmp_path):
    """A function from a parent profile and settings over it to its definitions."""

    def made(extends="offline", **document):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump({"extends": extends, **document}), "utf-8")
        return definitions.build(profiles.load(str(path)), tmp_path / "home")

    return made


def _asked(defs):
    """What the step of each asset asks of Ray, by the asset's name."""
    tags = {
        key.to_user_string(): asset.op.tags[cluster.TAG]
        for asset in defs.assets
        for key in asset.keys
    }
    return {name: json.loads(tag) for name, tag in tags.items()}


def _with_gpu(defs):
    return {name: asked["num_gpus"] for name, asked in _asked(defs).items() if "num_gpus" in asked}


def test_profile_cluster_builds_and_runs_its_steps_on_ray(build):
    defs = build("cluster")
    dg.Definitions.validate_loadable(defs)
    assert defs.executor.name == "ray"
    steps = [*defs.assets, *defs.asset_checks]
    assert {json.loads(step.op.tags[cluster.TAG])["num_cpus"] for step in steps} == {1}
    assert {step.op.retry_policy.max_retries for step in steps} == {1}


def test_profile_cluster_asks_for_gpus_where_a_model_runs_in_the_step(build):
    data = {
        name: gpus
        for name, gpus in _with_gpu(build("cluster")).items()
        if not name.startswith("iteration_")
    }
    assert data == {
        "refresh_plan": 1,
        "post_index": 1,
        "synthesized_prompts": 1,
        "candidate_prompts": 1,
    }


def test_training_asks_for_its_machine_unless_a_launcher_does(build):
    asked = _with_gpu(build("cluster"))
    assert asked["iteration_0/classifier"] == asked["iteration_2/classifier/qwen3_4b"] == 8
    assert asked["iteration_2/generator"] == asked["iteration_2/graded_prompts"] == 8
    assert asked["iteration_1/generated_prompts"] == 1
    assert "iteration_2/preference_pairs" not in asked
    launched = {"executor": {"kind": "ray", "address": "http://ray:8265"}}
    asked = _with_gpu(build("cluster", training=launched))
    assert "iteration_0/classifier" not in asked
    assert asked["iteration_1/generated_prompts"] == 1


@pytest.mark.parametrize(
    ("document", "asking"),
    [
        ({}, {}),
        ({"embedder": {"kind": "endpoint", "url": "http://e/v1", "model": "m"}}, {}),
        ({"embedder": {"kind": "bge-m3", "devices": ["cpu"]}}, {}),
        (
            {"embedder": {"kind": "bge-m3", "devices": ["cuda:0", "cuda:1"]}},
            dict.fromkeys(("refresh_plan", "post_index", "synthesized_prompts"), 2),
        ),
        ({"translator": {"kind": "opus-mt"}}, {}),
        (
            {"translator": {"kind": "opus-mt", "device": "cuda"}},
            {"refresh_plan": 1, "candidate_prompts": 1},
        ),
        (
            {"roles": {"rewriter": {"model": "m", "serve": {"model": "/m"}}}},
            {"rewritten_prompts": 1},
        ),
        (
            {"roles": {"categorizer": {"model": "m", "serve": {"model": "/m"}}}},
            {"annotated_prompts": 1, "labeled_prompts": 1},
        ),
    ],
)
def test_a_gpu_is_asked_for_only_where_the_profile_puts_a_model(build, document, asking):
    assert _with_gpu(build(executor="ray", **document)) == asking


def test_a_served_juror_needs_a_gpu_in_its_slot_and_wherever_all_jurors_are_asked(build):
    jurors = [{"model": f"offline-juror-{slot}"} for slot in (1, 2, 3)]
    jurors.append({"model": "m", "serve": {"model": "/m"}})
    asked = _with_gpu(build(executor="ray", jurors=jurors))
    assert asked == dict.fromkeys(("jury_votes/juror_4", "annotated_prompts", "anchor_votes"), 1)


def test_the_profile_overrides_what_a_step_asks(build):
    machine = {"cpus": 4, "gpus": 2, "memory_gib": 16, "image": "registry.example/gpu:1.0"}
    asked = _asked(build(executor="ray", machines={"clean_prompts": machine}))
    assert asked["clean_prompts"] == {
        "num_cpus": 4,
        "num_gpus": 2,
        "memory": 16 * 2**30,
        "runtime_env": {"image_uri": "registry.example/gpu:1.0"},
    }
    assert asked["taxonomy"] == {"num_cpus": 1}


def test_a_machine_for_an_asset_that_is_not_there_is_refused(build):
    with pytest.raises(profiles.ProfileError, match="there is no asset 'clean_promts'"):
        build(executor="ray", machines={"clean_promts": {"cpus": 2}})


@pytest.mark.parametrize("executor", ["in_process", "multiprocess"])
def test_other_executors_see_nothing_of_it(build, executor):
    machines = {"clean_prompts": {"cpus": 4}}
    defs = build("cluster", executor=executor, machines=machines)
    for step in [*defs.assets, *defs.asset_checks]:
        assert cluster.TAG not in step.op.tags
        assert step.op.retry_policy is None


def test_steps_differ_from_those_of_other_executors_in_nothing_else(build):
    def told(defs):
        return {
            tuple(sorted(key.to_user_string() for key in asset.keys)): (
                sorted(asset.keys_by_input_name.items()),
                sorted(asset.code_versions_by_key.items()),
                sorted(asset.descriptions_by_key.items()),
                sorted(hook.name for hook in asset.hook_defs),
                sorted(asset.required_resource_keys),
                asset.can_subset,
                asset.op.pool,
                [(spec.key, spec.kinds, spec.owners) for spec in asset.specs],
            )
            for asset in defs.assets
        }

    assert told(build("cluster")) == told(build("paper"))


def test_a_step_gets_profile_and_home_and_no_secret(build, tmp_path, monkeypatch):
    monkeypatch.setenv("CHILLGUARD_PROFILE", "deploy/profile.yaml")
    monkeypatch.setenv("CHILLGUARD_EXPANDER_KEY", "quite-secret")
    home = tmp_path / "home"
    place = Path("deploy/profile.yaml").resolve()
    assert profiles.environment(home) == [f"CHILLGUARD_PROFILE={place}", f"CHILLGUARD_HOME={home}"]
    monkeypatch.setenv("CHILLGUARD_PROFILE", "cluster")
    assert profiles.environment(home)[0] == "CHILLGUARD_PROFILE=cluster"


def test_a_missing_package_names_the_command_that_installs_it(build, monkeypatch):
    monkeypatch.setitem(sys.modules, "dagster_ray", None)
    with pytest.raises(profiles.ProfileError, match=r"make \.venv/scale"):
        build("cluster")


def test_tables_are_where_the_profile_says(build, tmp_path, monkeypatch):
    found = build("cluster").resources
    for name in ("io_manager", "tables"):
        assert isinstance(found[name].folder, dg.EnvVar)
        assert found[name].folder.env_var_name == "CHILLGUARD_TABLES_URL"
    for given, wanted in (
        ("s3://bucket/home", "s3://bucket/home"),
        ("shared", str(tmp_path / "shared")),
    ):
        assert build(tables=given).resources["io_manager"].folder == wanted
        assert profiles.load(str(tmp_path / "mine.yaml")).tables_url(tmp_path) == wanted
    monkeypatch.setenv("CHILLGUARD_TABLES_URL", "s3://bucket/other")
    assert profiles.load("cluster").tables_url(tmp_path) == "s3://bucket/other"
