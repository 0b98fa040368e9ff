"""Where a training program runs: a process here, a job on a running Ray, or a Kubernetes pod.

All three go through Dagster Pipes and start `resources.training.pipes_trainer`; logs and progress
stream back, and cancelling the run ends the program. What is trained is not known here.
"""

import copy
import shlex
import sys
from pathlib import Path
from typing import Any

import dagster as dg

KINDS = ("local", "ray", "kubernetes")
_ENTRY = "resources.training.pipes_trainer"
_GIB = 2**30


class Machine(dg.Config):
    """What one step needs: GPUs (one process each), CPUs, memory in GiB, container image."""

    gpus: int = 0
    cpus: float | None = None
    memory_gib: float | None = None
    image: str | None = None


class Launcher(dg.ConfigurableResource):
    """Runs a module on a job file, out of this process.

    `python` is the interpreter on the machine that trains (`local`: this one). `address` is Ray's
    dashboard. `environment` is added to the program's own. `runtime_env` is handed to Ray, `pod`
    (a pod spec) to Kubernetes; the folder of the job must be on storage that both sides share.
    """

    kind: str = "local"
    python: str | None = None
    address: str | None = None
    namespace: str | None = None
    environment: dict[str, str] = {}
    runtime_env: dict[str, Any] = {}
    pod: dict[str, Any] = {}

    def run(
        self, context: dg.AssetExecutionContext, module: str, job: Path, machine: Machine
    ) -> None:
        """Run to the end; raises `dg.Failure` when the program fails."""
        asset = context.asset_key.to_user_string()
        start = {"local": self._local, "ray": self._ray, "kubernetes": self._kubernetes}[self.kind]
        try:
            start(context, self.command(module, job, machine), machine)
        except dg.Failure:
            raise
        except Exception as error:
            # Each client fails in exceptions of its own: a status, a lost connection, a lost pod.
            raise dg.Failure(
                f"asset {asset}: {module} ended with an error ({error}); the log above and the "
                f"step's output tell it. Checkpoints are kept beside {job}: mend the cause and "
                "materialize the asset again, it goes on from the last one"
            ) from None

    def command(self, module: str, job: Path, machine: Machine) -> list[str]:
        """What starts the program on the machine that trains."""
        python = self.python or (sys.executable if self.kind == "local" else "python")
        return [python, "-m", _ENTRY, str(max(1, machine.gpus)), module, str(job)]

    def ray_job(self, command: list[str], machine: Machine) -> dict[str, Any]:
        """Parameters of the job that Ray gets; resources that are not set are left to Ray."""
        runtime = copy.deepcopy(self.runtime_env)
        runtime["env_vars"] = {**runtime.get("env_vars", {}), **self.environment}
        if machine.image:
            runtime["image_uri"] = machine.image
        resources = {
            "entrypoint_num_gpus": machine.gpus or None,
            "entrypoint_num_cpus": machine.cpus,
            "entrypoint_memory": int(machine.memory_gib * _GIB) if machine.memory_gib else None,
        }
        given = {name: value for name, value in resources.items() if value is not None}
        return {"entrypoint": shlex.join(command), "runtime_env": runtime, **given}

    def pod_spec(self, machine: Machine) -> dict[str, Any]:
        """The configured pod spec, its first container with the limits of the machine."""
        spec = copy.deepcopy(self.pod)
        limits = {
            "nvidia.com/gpu": str(machine.gpus) if machine.gpus else None,
            "cpu": str(machine.cpus) if machine.cpus else None,
            "memory": f"{machine.memory_gib:g}Gi" if machine.memory_gib else None,
        }
        container = spec.setdefault("containers", [{}])[0]
        own = container.setdefault("resources", {}).setdefault("limits", {})
        own |= {name: value for name, value in limits.items() if value}
        return spec

    def _local(
        self, context: dg.AssetExecutionContext, command: list[str], machine: Machine
    ) -> None:
        dg.PipesSubprocessClient(env=self.environment).run(context=context, command=command)

    def _ray(self, context: dg.AssetExecutionContext, command: list[str], machine: Machine) -> None:
        try:
            from dagster_ray import PipesRayJobClient
        except ImportError:
            raise dg.Failure(_lacks("ray", "dagster-ray")) from None
        job: Any = self.ray_job(command, machine)
        PipesRayJobClient(address=self.address).run(context=context, submit_job_params=job)

    def _kubernetes(
        self, context: dg.AssetExecutionContext, command: list[str], machine: Machine
    ) -> None:
        try:
            from dagster_k8s import PipesK8sClient
        except ImportError:
            raise dg.Failure(_lacks("kubernetes", "dagster-k8s")) from None
        PipesK8sClient(env=self.environment).run(
            context=context,
            image=machine.image,
            command=command,
            namespace=self.namespace,
            base_pod_spec=self.pod_spec(machine),
        )


def _lacks(kind: str, package: str) -> str:
    return f"executor kind {kind} needs {package}: install the group `scale` (make .venv/scale)"
