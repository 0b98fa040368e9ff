"""Benchmark "it really learns": a small classifier from scratch against counted characters.

A random Qwen3 of about a million parameters and a character tokenizer are made on the spot,
trained by `python -m chillguard.training` on the train rows of a labelled file, and asked for the
dev rows by `chillguard.evaluation`. The base line is a logistic regression on characters and their
pairs and triples. Fails when F1(unsafe) is more than 3 points below it, or training takes more than
5 minutes. The file has `text`, `label` and `split` (train, dev) per JSON line, gzipped.
"""

import argparse
import gzip
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
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
    train: list[dict[str, Any]], folder: Path, given: argparse.Namespace
) -> tuple[str, float, dict[str, Any]]:
    """Make and train the small model; its folder, seconds in all, its metrics."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from chillguard.training.spec import SftConfig, TrainingSpec
    from tests.chillguard.training import tiny

    columns = ("prompt_id", "text", "label")
    rows = [{**{c: row[c] for c in columns}, "micro_category": None} for row in train]
    names = pa.schema([(c, pa.string()) for c in (*columns, "micro_category")])
    pq.write_table(pa.Table.from_pylist(rows, schema=names), folder / "train.parquet")
    base = tiny.make(folder / "base", [row["text"] for row in train], **_SHAPE)
    settings = SftConfig(
        label_format="binary",
        learning_rate=given.learning_rate,
        epochs=given.epochs,
        batch_size=given.batch_size,
        log_every=50,
        save_every=100_000,
    )
    spec = TrainingSpec(
        kind="sft",
        model=base,
        output=str(folder / "out"),
        stages=(str(folder / "train.parquet"),),
        settings=settings,
    )
    (folder / "spec.json").write_text(spec.model_dump_json(), "utf-8")
    began = time.perf_counter()
    command = [sys.executable, "-m", "chillguard.training", str(folder / "spec.json")]
    # Threads on cores that others use too make it many times slower, not faster.
    alone = {**os.environ, "OMP_NUM_THREADS": str(given.threads)}
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=alone
    ) as trainer:
        for line in trainer.stdout or ():
            told = json.loads(line)
            say(f"step {told['step']} of {told['total_steps']}: loss {told['loss']:.4f}")
    if trainer.returncode:
        raise SystemExit(f"the trainer ended with status {trainer.returncode}")
    result = json.loads((folder / "out" / "result.json").read_text("utf-8"))
    return str(folder / "out" / "model"), time.perf_counter() - began, result["metrics"]


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
        model, seconds, learnt = train_classifier(train, folder, given)
        began = time.perf_counter()
        found = predict(model, [row["text"] for row in dev], LabelFormat("binary"), batch_size=128)
        predicting = time.perf_counter() - began
    ours = overall(dev, [one.label for one in found])
    say(f"F1 {ours.f1:.4f} after {seconds:.0f} s")
    theirs = overall(dev, list(base_line(train, dev)))
    name = "logistic regression on character 1- to 3-grams"
    figure("F1(unsafe), dev", ours.f1, "", name, ours.f1 / theirs.f1, bench=BENCH)
    figure("F1(unsafe), dev: base line", theirs.f1, "", bench=BENCH)
    figure("unreadable answers", ours.n_errors, "rows", bench=BENCH)
    figure("training, imports included", seconds, "s", bench=BENCH)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    figure("training, CPU", spent.ru_utime + spent.ru_stime, "s", bench=BENCH)
    figure("training", learnt["tokens"] / seconds, "tokens/s", bench=BENCH)
    figure("prediction", len(dev) / predicting, "rows/s", bench=BENCH)
    if ours.f1 < theirs.f1 - _MARGIN or seconds > _MOST_SECONDS:
        raise SystemExit("it did not learn as it should")


if __name__ == "__main__":
    main()
