"""Jury figures beside the libraries that have them: equal values, time, size of the installation.

`make bench NAME=jury`. crowd-kit (Dawid-Skene) and statsmodels (Fleiss' kappa) run where `PEERS`
names the Python of an environment that has both; without it, only our own figures are printed.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SIZES = (2_889, 456_752)
SKILLS = ((0.95, 0.97), (0.9, 0.92), (0.85, 0.8), (0.7, 0.9))
MACHINE = f"{os.cpu_count()} cores, Python {platform.python_version()}"
_PEER = """
import json, sys, time, numpy as np, pandas as pd
from crowdkit.aggregation import DawidSkene
from statsmodels.stats.inter_rater import fleiss_kappa
votes = np.load(sys.argv[1])
rows, jurors = np.nonzero(votes >= 0)
frame = pd.DataFrame({"task": rows, "worker": jurors, "label": votes[rows, jurors]})
began = time.perf_counter()
model = DawidSkene(n_iter=500, tol=1e-9).fit(frame)
seconds = time.perf_counter() - began
probability = model.probas_[1].reindex(range(len(votes))).to_numpy()
full = votes[(votes >= 0).all(axis=1)]
counts = np.stack([(full == label).sum(axis=1) for label in (0, 1)], axis=1)
np.save(sys.argv[1] + ".peer.npy", probability)
print(json.dumps({"seconds": seconds, "kappa": fleiss_kappa(counts)}))
"""


def votes_of(size: int) -> Any:
    """Votes of four jurors of known skill, a thirtieth of them abstentions."""
    rng = np.random.default_rng(7)
    truth = rng.random(size) < 0.55
    columns = []
    for sensitivity, specificity in SKILLS:
        right = rng.random(size) < np.where(truth, sensitivity, specificity)
        columns.append(np.where(right, truth, ~truth))
    votes = np.stack(columns, axis=1).astype(np.int8)
    votes[rng.random(votes.shape) < 1 / 30] = -1
    return votes


def say(metric: str, value: float, unit: str, **more: Any) -> None:
    """One figure on one line."""
    told = {"bench": "jury", "metric": metric, "value": value, "unit": unit, **more}
    sys.stdout.write(json.dumps({**told, "rounds": 1, "machine": MACHINE}) + "\n")


def main() -> None:
    """Print all figures."""
    sys.path.insert(0, str(ROOT))
    from chillguard.labeling import agreement, dawid_skene

    peer = os.environ.get("PEERS")
    for size in SIZES:
        votes = votes_of(size)
        began = time.perf_counter()
        found = dawid_skene.fit(votes)
        own = time.perf_counter() - began
        kappa, _ = agreement.fleiss_kappa(votes)
        say(f"dawid_skene_{size}", round(own, 4), "s", against=None, ratio=None)
        if not peer:
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "votes.npy"
            np.save(path, votes)
            command = [peer, "-W", "ignore", "-c", _PEER, str(path)]
            theirs = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            probability = np.load(f"{path}.peer.npy")
        gap = float(np.nanmax(np.abs(probability - found.p_unsafe)))
        ratio = round(theirs["seconds"] / own, 1)
        against = {"against": "crowd-kit", "ratio": ratio}
        say(f"dawid_skene_{size}", round(theirs["seconds"], 4), "s", **against)
        say(f"largest_difference_{size}", gap, "probability", against="crowd-kit", ratio=None)
        gap = abs(theirs["kappa"] - (kappa or 0))
        say(f"kappa_difference_{size}", gap, "kappa", against="statsmodels", ratio=None)


if __name__ == "__main__":
    main()
