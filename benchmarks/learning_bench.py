"""Benchmark "it really learns": a small classifier from scratch against counted characters.

A random Qwen3 of about a million parameters and a character tokenizer are made on the spot, trained
on the train rows of a labelled file by the asset `iteration_0/classifier` through the local
launcher, and asked for the dev rows by `chillguard.evaluation`. The base line is a logistic
regression on characters and their pairs and triples. Fails when F1(unsafe) is more than 3 points
below it, or training takes more than 5 minutes. The file has `text`, `label` and `split` (train,
dev) per JSON line, gzipped.
"""

import argparse
import gzip
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from harness import figure, home, say

BENCH = "learning"
_SHAPE = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
}
_ASSET = ("iteration_0", "classifier")
_MARGIN, _MOST_SECONDS = 0.03, 300


def read(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Rows by split."""
    rows: dict[str, list[dict[str, Any]]] = {"train": [], "dev": []}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            row = json.loads(line)
            rows[row["split"]].append({"prompt_id": f"{number:06}", **row})
    return rows


def base_line(train: list[dict[str, Any]], dev: list[dict[str, Any]]) -> list[str]:
    """What a logistic regression on characters, pairs and triples says of the dev rows."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    counts = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True)
    regression = LogisticRegression(C=10.0, max_iter=300)
    regression.fit(counts.fit_transform([r["text"] for r in train]), [r["label"] for r in train])
    said: list[str] = regression.predict(counts.transform([r["text"] for r in dev])).tolist()
    return said


def train_classifier(
    rows: dict[str, list[dict[str, Any]]], folder: Path, given: argparse.Namespace
) -> tuple[str, float, dict[str, Any]]:
    """Make the small model and materialise `iteration_0/classifier`; its folder, seconds, metrics.

    The train rows are Train of a release, the dev rows its Test; the approval file names it.
    """
    import dagster as dg
    import pyarrow.parquet as pq

    from chillguard.release.sides import version
    from pipelines import profile
    from pipelines.definitions import build
    from resources.home.releases import Releases
    from tests.chillguard.builders import labeled, released
    from tests.chillguard.training import tiny

    home, base = folder / "home", tiny.make(folder / "base", _texts(rows["train"]), **_SHAPE)
    # The file has no categories; a binary classifier is shown none.
    sides = {
        side: released(
            side,
            [
                labeled(row["prompt_id"], row["text"], "A1" if row["label"] == "unsafe" else None)
                for row in rows[split]
            ],
        )
        for side, split in (("train", "train"), ("test", "dev"))
    }
    version = version(sides["train"], sides["test"])
    Releases(folder=str(home / "release")).write(version, sides, {}, {})
    approved = {"person": "bench", "date": "2026-11-25", "release": version, "purposes": ["train"]}
    (home / "approval.yaml").write_text(yaml.safe_dump(approved), "utf-8")
    document = _profile(base, given)
    (folder / "learning.yaml").write_text(yaml.safe_dump(document), "utf-8")
    defs = build(profile.load(str(folder / "learning.yaml")), home)
    job, key = defs.resolve_implicit_global_asset_job_def(), dg.AssetKey(_ASSET)
    began = time.perf_counter()
    with dg.DagsterInstance.ephemeral() as instance:
        done = job.execute_in_process(instance=instance, asset_selection=[key])
    seconds = time.perf_counter() - began
    [row] = pq.read_table(home / "tables" / Path(*_ASSET) / "part-00000.parquet").to_pylist()
    [event] = done.get_asset_materialization_events()
    learnt: Any = event.materialization.metadata["metrics"].value
    return str(home / "training" / row["folder"] / "model"), seconds, learnt


def _profile(base: str, given: argparse.Namespace) -> dict[str, Any]:
    sft = {
        "label_format": "binary",
        "learning_rate": given.learning_rate,
        "epochs": given.epochs,
        "batch_size": given.batch_size,
        "log_every": 50,
        "save_every": 100_000,
    }
    # Threads on cores that others use too make them many times slower, not faster.
    executor = {"environment": {"OMP_NUM_THREADS": str(given.threads)}}
    return {
        "extends": "offline",
        # The classifier of iteration 0 needs none, the profile does.
        "roles": {"generator": {"model": "none", "url": "http://127.0.0.1:1/v1"}},
        "settings": {"training": {"sft": sft}},
        "training": {
            "loop_size": "small",
            "classifiers": [{"name": "small", "model": base}],
            "generator": {"model": base},
            "serve": {},
            "executor": executor,
        },
    }


def _texts(rows: list[dict[str, Any]]) -> list[str]:
    return [row["text"] for row in rows]


def overall(dev: list[dict[str, Any]], predicted: list[str | None]) -> Any:
    """The overall score of predictions."""
    import pyarrow as pa

    from chillguard.evaluation import metrics

    none = pa.nulls(len(dev), pa.string())
    labels = [row["label"] for row in dev]
    table = pa.table({"label": labels, "micro_category": none, "intended_category": none})
    return metrics.scores(table, predicted, {})[-1]


def main() -> None:
    """Train, predict, compare; one JSON line per figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = ROOT.parent / "shared" / "data" / "cold_prompts.jsonl.gz"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    if not given.data.is_file():
        say(f"left out: there is no {given.data}; name a labelled file with --data")
        return
    rows = read(given.data)
    train, dev = rows["train"], rows["dev"]
    from chillguard.evaluation.predict import predict
    from chillguard.training.label_format import LabelFormat

    with home() as folder:
        model, seconds, learnt = train_classifier(rows, folder, given)
        began = time.perf_counter()
        found = predict(model, _texts(dev), LabelFormat("binary"), batch_size=128)
        predicting = time.perf_counter() - began
    ours = overall(dev, [one.label for one in found])
    say(f"F1 {ours.f1:.4f} after {seconds:.0f} s")
    theirs = overall(dev, list(base_line(train, dev)))
    name = "logistic regression on character 1- to 3-grams"
    figure("F1(unsafe), dev", ours.f1, "", name, ours.f1 / theirs.f1, bench=BENCH)
    figure("F1(unsafe), dev: base line", theirs.f1, "", bench=BENCH)
    figure("unreadable answers", ours.n_errors, "rows", bench=BENCH)
    figure("training, from asset to table", seconds, "s", bench=BENCH)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    figure("training, CPU", spent.ru_utime + spent.ru_stime, "s", bench=BENCH)
    figure("training", learnt["tokens"] / seconds, "tokens/s", bench=BENCH)
    figure("prediction", len(dev) / predicting, "rows/s", bench=BENCH)
    if ours.f1 < theirs.f1 - _MARGIN or seconds > _MOST_SECONDS:
        raise SystemExit("it did not learn as it should")


if __name__ == "__main__":
    main()
