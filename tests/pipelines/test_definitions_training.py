"""Co-training in the code location: only where the profile has it, and never by itself."""

import dagster as dg
import pytest
import yaml

from chillguard import tables
from pipelines import definitions, sensors
from pipelines import profile as profiles
from resources.home.releases import Releases
from resources.training.jobs import Training
from resources.training.launcher import Launcher
from tests.chillguard import builders

SIZES = [
    {"name": "small", "model": "/m/s", "machine": {"gpus": 1, "image": "trainer:1"}},
    {"name": "big", "model": "/m/b", "iterations": [0, 2]},
]
LOOP = {
    "roles": {"generator": {"model": "g0", "revision": "r1", "url": "http://127.0.0.1:1/v1"}},
    "training": {
        "loop_size": "small",
        "classifiers": SIZES,
        "generator": {"model": "/m/g"},
        "serve": {"program": "/opt/vllm", "arguments": ["--max-model-len", "20480"]},
        "executor": {"kind": "ray", "address": {"env": "MY_RAY"}},
    },
}


@pytest.fixture(scope="module")
def defs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("profile")
    path = folder / "loop.yaml"
    path.write_text(yaml.safe_dump({"extends": "offline", **LOOP}), "utf-8")
    return definitions.build(profiles.load(str(path)), folder / "home")


def _training(defs):
    specs = defs.resolve_all_asset_specs()
    return {s.key.to_user_string(): s for s in specs if s.group_name == "training"}


def test_the_loop_is_unrolled_into_keys(defs):
    dg.Definitions.validate_loadable(defs)
    assert set(_training(defs)) == {
        "iteration_0/classifier",
        "iteration_0/classifier/big",
        "iteration_1/generated_prompts",
        "iteration_1/classifier",
        "iteration_2/graded_prompts",
        "iteration_2/preference_pairs",
        "iteration_2/generator",
        "iteration_2/generated_prompts",
        "iteration_2/classifier",
        "iteration_2/classifier/big",
    }


def test_every_table_has_a_schema_and_a_blocking_check(defs):
    found = _training(defs)
    checks = [spec for check in defs.asset_checks for spec in check.check_specs]
    for key, spec in found.items():
        assert tables.table_of(spec.key.path).name in tables.training.TABLES
        assert spec.description.startswith("One row per ")
        assert [c.blocking for c in checks if c.asset_key == spec.key and c.name == "schema"] == [
            True
        ]
        guarded = {c.name for c in checks if c.asset_key == spec.key and c.blocking}
        wanted = {"no_test_leak", "every_seed_accounted_for"}
        assert (wanted <= guarded) is key.endswith("generated_prompts")


@pytest.mark.parametrize("job", ["refresh", "real_prompts_refresh", "plan"])
def test_no_job_of_the_data_lineage_trains(defs, job):
    keys = defs.resolve_job_def(job).asset_layer.executable_asset_keys
    assert keys
    assert not [key for key in keys if key.path[0].startswith("iteration_")]


def test_without_the_section_nothing_of_it_is_defined(tmp_path):
    offline = definitions.build(profiles.load("offline"), tmp_path)
    assert not _training(offline)
    assert "training" not in offline.resources


def test_parts_of_the_profile_reach_the_resources(defs):
    training, llm = defs.resources["training"], defs.resources["llm"]
    assert training.folder.endswith("/home/training")
    assert training.approval.endswith("/home/approval.yaml")
    assert training.launcher.kind == "ray"
    assert training.launcher.address == dg.EnvVar("MY_RAY")
    roles = {role.role: role for role in llm.roles}
    assert (roles["scorer"].model, roles["scorer"].revision) == ("g0", "r1")
    assert llm.server_of_trained.arguments == ["--max-model-len", "20480"]
    folder = training.folder
    served = llm.trained("generator", folder, "abcdef" * 11)
    [server] = served.servers
    assert (server.role, server.model, server.served_name) == ("generator", folder, "g0")
    assert server.program == "/opt/vllm"
    revisions = {role.role: role.revision for role in served.roles}
    assert (revisions["generator"], revisions["scorer"]) == ("trained-abcdefabcdef", "r1")


def _tick(folder, approved, versions):
    """What the sensor asks for, given the approval file's content and the releases there are."""
    if approved is not None:
        (folder / "approval.yaml").write_text(yaml.safe_dump(approved), "utf-8")
    releases = Releases(folder=str(folder / "release"))
    for version in versions:
        empty = {side: builders.released(side, []) for side in ("train", "test")}
        releases.write(version, empty, {}, {})
    training = Training(
        folder=str(folder), approval=str(folder / "approval.yaml"), releases=releases,
        launcher=Launcher(),
    )  # fmt: skip
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance=instance, resources={"training": training}) as context,
    ):
        return sensors.training_approved(context)


APPROVED = {"person": "Lin", "date": "2026-11-25", "release": "abc", "purposes": ["train"]}


def test_training_starts_once_for_each_release_that_is_approved(tmp_path):
    request = _tick(tmp_path, APPROVED, ["abc"])
    assert (request.run_key, request.tags["chillguard/release"]) == ("abc", "abc")
    again = _tick(tmp_path, APPROVED | {"release": "def"}, ["def"])
    assert again.run_key == "def"


@pytest.mark.parametrize(
    ("approved", "told"),
    [
        (None, "there is no approval file"),
        (APPROVED | {"purposes": ["publish"]}, "allows publish, not train"),
        (APPROVED | {"release": "gone"}, "names release gone, which does not exist"),
    ],
)
def test_without_the_approval_of_a_release_nothing_starts_and_the_reason_is_told(
    tmp_path, approved, told
):
    skipped = _tick(tmp_path, approved, ["abc"])
    assert told in skipped.skip_message


def test_sensor_and_job_are_where_the_profile_trains_and_nowhere_else(defs, tmp_path):
    assert "training_approved" in {sensor.name for sensor in defs.sensors}
    selected = defs.resolve_job_def("training").asset_layer.selected_asset_keys
    assert {key.to_user_string() for key in selected} == set(_training(defs))
    bare = definitions.build(profiles.load("offline"), tmp_path)
    assert "training_approved" not in {sensor.name for sensor in bare.sensors}
    assert "training" not in {job.name for job in bare.jobs}
