"""Drill: the same training assets on a local Ray cluster with a declared GPU resource.

Starts a Ray of its own with one declared GPU (no real one is needed), materialises
`iteration_0/classifier` there as a Ray job that asks for it, compares with a local run, and ends
everything it started. Prints one JSON report; exits non-zero when a part does not hold.

    make .venv/train .venv/scale && .venv/bin/python benchmarks/ray_training_drill.py
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
os.environ |= {
    "RAY_AUTH_MODE": "disabled",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_NUM_THREADS": "1",
}

import dagster as dg
import pyarrow.parquet as pq
import ray
import yaml

from chillguard.release import sides
from pipelines import definitions
from pipelines import profile as profiles
from resources.home.releases import Releases
from tests.chillguard.builders import labeled, mixed, released
from tests.chillguard.training import tiny

KEY = "iteration_0/classifier"
SFT = {"label_format": "binary", "learning_rate": 3.0e-3, "epochs": 5, "batch_size": 8}
# A trainer that notes what it was given before it trains: the declared GPU as Ray hands it out.
NOTE = """
import json, os, pathlib, sys
if "chillguard.training" in sys.orig_argv:
    names = ("CUDA_VISIBLE_DEVICES", "RAY_JOB_ID")
    seen = {{name: os.environ.get(name) for name in names}}
    pathlib.Path({note!r}).write_text(json.dumps(seen))
"""


def main() -> int:
    """Run the drill in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="ray-") as name:
        folder = Path(name)
        (folder / "sitecustomize.py").write_text(NOTE.format(note=str(folder / "note.json")))
        base = tiny.make(folder / "base", [mixed(n) for n in range(40)], spread=0.05)
        began = time.perf_counter()
        cluster = ray.init(
            num_cpus=2,
            num_gpus=1,
            include_dashboard=True,
            dashboard_host="127.0.0.1",
            configure_logging=False,
        )
        started_s = time.perf_counter() - began
        try:
            there = _on_ray(folder, base, f"http://{cluster.dashboard_url}")
        finally:
            ray.shutdown()
        if not there["success"]:
            sys.exit("the run on Ray failed; the log above says why")
        here = _materialise(folder / "local", base, {"kind": "local"}, 0)
        report = _report(here, there, json.loads((folder / "note.json").read_text()), started_s)
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    return 0 if all(report["holds"].values()) else 1


def _on_ray(folder: Path, base: str, address: str) -> dict:
    variables = {"PYTHONPATH": f"{folder}:{ROOT}", "OMP_NUM_THREADS": "1"}
    executor = {"kind": "ray", "python": sys.executable, "address": address}
    executor["runtime_env"] = {"env_vars": variables}
    return _materialise(folder / "ray", base, executor, 1)


def _report(here: dict, there: dict, seen: dict, started_s: float) -> dict:
    return {
        "drill": "ray_training",
        "asset": KEY,
        "ray_ready_s": round(started_s, 1),
        "seconds": {"local": here["seconds"], "ray": there["seconds"]},
        "trainer_on_ray_saw": seen,
        "progress_in_the_log": there["progress"],
        "holds": {
            "the asset succeeds on Ray": there["success"],
            "the trainer gets the declared GPU": seen["CUDA_VISIBLE_DEVICES"] == "0",
            "progress comes back": bool(there["progress"]),
            "loss and metrics come back": "loss_curve" in there["metadata"],
            "the table is that of a local run": here["row"] == there["row"],
        },
    }


def _materialise(home: Path, base: str, executor: dict, gpus: int) -> dict:
    train = released("train", [labeled(f"s{n}", mixed(n), "A1" if n % 2 else None)
                               for n in range(40)])  # fmt: skip
    test = released("test", [labeled("t", mixed("t"))])
    version = sides.version(train, test)
    Releases(folder=str(home / "release")).write(version, {"train": train, "test": test}, {}, {})
    approved = {"person": "drill", "date": "2026-11-25", "release": version, "purposes": ["train"]}
    (home / "approval.yaml").write_text(yaml.safe_dump(approved))
    profile = home / "drill.yaml"
    machine = {"gpus": gpus}
    profile.write_text(yaml.safe_dump({
        "extends": "offline",
        "roles": {"generator": {"model": "g0", "serve": {"model": base}}},
        "settings": {"training": {"sft": {**SFT, "log_every": 5, "save_every": 5}}},
        "training": {
            "loop_size": "tiny",
            "classifiers": [{"name": "tiny", "model": base, "machine": machine}],
            "generator": {"model": base},
            "executor": executor,
        },
    }))  # fmt: skip
    defs = definitions.build(profiles.load(str(profile)), home)
    job = defs.resolve_implicit_global_asset_job_def()
    began = time.perf_counter()
    with dg.DagsterInstance.ephemeral() as instance:
        found = job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(KEY.split("/"))],
            raise_on_error=False,
        )
        logs = [entry.user_message for entry in instance.all_logs(found.run_id)]
    events = found.get_asset_materialization_events()
    table = home / "tables" / KEY / "part-00000.parquet"
    [row] = pq.read_table(table).to_pylist() if table.exists() else [None]
    return {
        "success": found.success,
        "seconds": round(time.perf_counter() - began, 1),
        "row": row,
        "metadata": list(events[0].materialization.metadata) if events else [],
        "progress": [line for line in logs if line.startswith("step ")][-1:],
    }


if __name__ == "__main__":
    sys.exit(main())
