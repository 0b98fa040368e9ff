import sys
from pathlib import Path

import dagster as dg
import pytest

from resources.training import launcher
from resources.training.launcher import Launcher, Machine

JOB = Path("/shared/job.json")
COMMAND = ["python", "-m", "resources.training.pipes_trainer", "2", "m", "/shared/job.json"]


@pytest.mark.parametrize(
    ("settings", "gpus", "python", "processes"),
    [
        ({"kind": "local"}, 0, sys.executable, "1"),
        ({"kind": "local"}, 4, sys.executable, "4"),
        ({"kind": "ray"}, 1, "python", "1"),
        ({"kind": "kubernetes", "python": "/opt/py"}, 8, "/opt/py", "8"),
    ],
)
def test_there_is_a_process_per_gpu_under_the_interpreter_of_the_machine(
    settings, gpus, python, processes
):
    command = Launcher(**settings).command("m", JOB, Machine(gpus=gpus))
    assert command == [python, "-m", "resources.training.pipes_trainer", processes, "m", str(JOB)]


def test_a_ray_job_asks_for_what_the_machine_has_and_leaves_the_settings_as_they_are():
    runtime = {"env_vars": {"A": "1"}, "working_dir": "/src"}
    made = Launcher(kind="ray", environment={"B": "2"}, runtime_env=runtime)
    job = made.ray_job(COMMAND, Machine(gpus=2, cpus=3.5, memory_gib=1, image="image:1"))
    assert job == {
        "entrypoint": " ".join(COMMAND),
        "entrypoint_num_gpus": 2,
        "entrypoint_num_cpus": 3.5,
        "entrypoint_memory": 2**30,
        "runtime_env": {
            "env_vars": {"A": "1", "B": "2"}, "working_dir": "/src", "image_uri": "image:1",
        },
    }  # fmt: skip
    assert made.runtime_env == {"env_vars": {"A": "1"}, "working_dir": "/src"}
    bare = made.ray_job(COMMAND, Machine())
    assert {name for name in bare if name.startswith("entrypoint_")} == set()


def test_a_pod_has_the_limits_of_the_machine_beside_what_is_configured():
    pod = {
        "node_selector": {"pool": "gpu"},
        "containers": [{"volume_mounts": [{"name": "home"}], "resources": {"limits": {"x": "1"}}}],
    }
    made = Launcher(kind="kubernetes", pod=pod)
    spec = made.pod_spec(Machine(gpus=8, memory_gib=512.0))
    assert spec["node_selector"] == {"pool": "gpu"}
    [container] = spec["containers"]
    assert container["volume_mounts"] == [{"name": "home"}]
    limits = {"x": "1", "nvidia.com/gpu": "8", "memory": "512Gi"}
    assert container["resources"]["limits"] == limits
    assert made.pod == pod
    assert Launcher().pod_spec(Machine()) == {"containers": [{"resources": {"limits": {}}}]}


@pytest.mark.parametrize(
    ("kind", "package"), [("ray", "dagster-ray"), ("kubernetes", "dagster-k8s")]
)
def test_a_kind_whose_packages_are_missing_says_what_to_install(kind, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package.replace("-", "_"), None)
    made = Launcher(kind=kind, address="http://127.0.0.1:1")
    with dg.build_asset_context() as context, pytest.raises(dg.Failure, match=package):
        getattr(made, f"_{kind}")(context, COMMAND, Machine())


def _run(made, module, job):
    @dg.asset
    def trained(
        context: dg.AssetExecutionContext, launcher: Launcher
    ) -> dg.MaterializeResult[None]:
        """One row."""
        launcher.run(context, module, job, Machine())
        return dg.MaterializeResult()

    with dg.DagsterInstance.ephemeral() as instance:
        found = dg.materialize(
            [trained], resources={"launcher": made}, instance=instance, raise_on_error=False
        )
        logs = instance.all_logs(found.run_id)
    return found, [entry.user_message for entry in logs]


PROGRAM = """
import json, pathlib, sys
job = json.loads(pathlib.Path(sys.argv[1]).read_text())
for step in (1, 2):
    print(json.dumps({"step": step, "total_steps": 2, "loss": 1 / step}), flush=True)
if job["fail"]:
    sys.exit("row p7 has no label; mend the table")
"""


@pytest.mark.parametrize("fail", [False, True])
def test_a_local_program_streams_its_progress_into_the_log(fail, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM, "utf-8")
    job = tmp_path / "job.json"
    job.write_text(f'{{"fail": {str(fail).lower()}}}', "utf-8")
    path = f"{tmp_path}:{Path.cwd()}"
    found, told = _run(Launcher(environment={"PYTHONPATH": path}), "program", job)
    assert found.success is not fail
    assert any(line.startswith("step 2 of 2, loss 0.5") for line in told)
    if fail:
        assert any("row p7 has no label; mend the table" in line for line in told)
        [failure] = found.get_step_failure_events()
        message = failure.step_failure_data.error.to_string()
        assert "asset trained: program ended with an error" in message
        assert "goes on from the last one" in message


def test_the_kinds_of_a_profile_are_those_that_there_are():
    from typing import get_args

    from pipelines.parts import Executor

    assert get_args(Executor.model_fields["kind"].annotation) == launcher.KINDS
