"""The three iterations of co-training from end to end: tiny models, real trainer, real engine."""

import sqlite3
from contextlib import closing

import pyarrow.parquet as pq
import pytest
import yaml

from chillguard.calls.call import call_key
from chillguard.cleaning import survivors
from chillguard.evaluation.predict import predict
from chillguard.release import sides
from chillguard.training import generation, pairs
from chillguard.training.label_format import LabelFormat
from resources.home.releases import Releases
from resources.models.ledger import Call, Ledger
from resources.models.llm import Asker, LanguageModels
from resources.models.model_server import ModelServer
from resources.models.progress import Progress
from resources.models.roles import ModelRole
from tests.chillguard.builders import labeled, released
from tests.integration import tiny_generator
from tests.integration.real_engine import ENVIRONMENT, JURORS, Server
from tests.integration.test_model_server import ARGUMENTS

pytestmark = [pytest.mark.engine, pytest.mark.train]

N_TRAIN, N_TEST = 24, 8
LOOP = [
    "iteration_0/classifier",
    "iteration_1/generated_prompts",
    "iteration_1/classifier",
    "iteration_2/graded_prompts",
    "iteration_2/preference_pairs",
    "iteration_2/generator",
    "iteration_2/generated_prompts",
    "iteration_2/classifier",
]
SETTINGS = {
    "generation": {"sampling": {"temperature": 0.7, "max_tokens": 48}},
    "sft": {
        "label_format": "binary",
        "learning_rate": 1.0e-4,
        "epochs": 2,
        "batch_size": 8,
        "log_every": 1,
        "save_every": 2,
    },
    "mdpo": {"learning_rate": 1.0e-3, "batch_size": 4, "log_every": 1, "save_every": 100},
}
# Makes the trainer end itself once, right after its first checkpoint: no race with a clock.
SUICIDE = """
import os, pathlib, signal, sys
if "chillguard.training" in sys.orig_argv:
    from chillguard.training import output
    flag, mark = pathlib.Path({flag!r}), output.Output.mark
    def dying(self, folder, name, content):
        mark(self, folder, name, content)
        if name == output.MARKER and flag.exists():
            flag.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
    output.Output.mark = dying
"""


def _samples(side, count):
    rows = [
        labeled(
            f"{side}{n:02}",
            tiny_generator.sentence(f"{side}{n}", unsafe=bool(n % 2)),
            "A1" if n % 2 else None,
            macro_category="A" if n % 2 else None,
            origin="real" if n % 3 else "rag",
        )
        for n in range(count)
    ]
    return released(side, rows)


TRAIN, TEST = _samples("train", N_TRAIN), _samples("test", N_TEST)
VERSION = sides.version(TRAIN, TEST)


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """A classifier that knows one word, and a generator that can just write."""
    folder = tmp_path_factory.mktemp("bases")
    tiny_generator.classifier(folder / "classifier")
    tiny_generator.generator(folder / "base")
    return folder


@pytest.fixture(scope="module")
def g0(engine_home, bases, tmp_path_factory):
    log = tmp_path_factory.mktemp("g0") / "engine.log"
    server = Server(engine_home / "bin/vllm", bases, log)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def make_loop(make_house, bases, engine_home):
    """A house with a release, its approval, and the loop in its profile."""

    def make(stem, url, gpus=0, **environment):
        classifier = {"name": "tiny", "model": str(bases / "classifier"), "machine": {"gpus": gpus}}
        house = make_house(
            stem,
            roles={"generator": {"model": JURORS[0], "url": url, "concurrency": 16}},
            settings={"training": SETTINGS},
            training={
                "loop_size": "tiny",
                "classifiers": [classifier],
                "generator": {"model": str(bases / "base")},
                "serve": {
                    "program": str(engine_home / "bin/vllm"),
                    "arguments": ARGUMENTS,
                    "environment": ENVIRONMENT,
                    "ready_within_s": 900,
                },
                "executor": {"environment": {"OMP_NUM_THREADS": "1", **environment}},
            },
        )
        releases = Releases(folder=str(house.home / "release"))
        releases.write(VERSION, {"train": TRAIN, "test": TEST}, {}, {})
        given = {"person": "Lin", "date": "2026-11-25", "release": VERSION, "purposes": ["train"]}
        (house.home / "approval.yaml").write_text(yaml.safe_dump(given), "utf-8")
        assert house.run("taxonomy", "benchmark_prompts").success
        return house

    return make


def _plant(house, seed_number, answer):
    """Let the generator have written `answer` for the first rewrite of a seed."""
    seed = TRAIN.to_pylist()[seed_number]
    config = house.profile.settings.training.generation
    request = next(generation.requests([seed], config))
    call = Call(
        key=call_key(JURORS[0], "main", request, 0),
        asset="iteration_1/generated_prompts",
        role="generator",
        run_id="planted",
        row_id=request.row_id,
        template=request.template,
        model=JURORS[0],
        revision="main",
        repeat_index=0,
        answer=answer,
        finish_reason="stop",
        endpoint="none",
        latency_ms=1,
    )
    Ledger(url=f"sqlite:///{house.home / 'ledger.db'}").add([call])
    return seed["prompt_id"]


@pytest.fixture(scope="module")
def planted():
    """A copy of a row of Test but for its last sign."""
    return TEST["text"][0].as_py().rstrip("？") + "！"


@pytest.fixture(scope="module")
def loop(make_loop, g0, planted):
    """The whole loop, run once."""
    house = make_loop("loop", g0.url)
    seed = _plant(house, 0, planted)
    before = _files(house.home / "release")
    found = house.run(*LOOP)
    assert found.success
    return house, found, seed, before


def _files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _stage(house, key, number=1):
    [row] = house.rows(key)
    return pq.read_table(house.home / "training" / row["folder"] / f"stage_{number}.parquet")


def _kept(house, key):
    return [row for row in house.rows(key) if row["drop_reason"] is None]


def _shown(run, key):
    """The metadata of an asset in a run."""
    events = run.get_asset_materialization_events()
    [event] = [e for e in events if e.asset_key.to_user_string() == key]
    return event.materialization.metadata


def test_every_iteration_leaves_its_artefacts(loop):
    house, found, _, _ = loop
    made = {event.asset_key.to_user_string() for event in found.get_asset_materialization_events()}
    assert made == set(LOOP)
    for key in ("iteration_0", "iteration_1", "iteration_2"):
        [row] = house.rows(f"{key}/classifier")
        folder = house.home / "training" / row["folder"]
        assert (folder / "model/model.safetensors").is_file()
        assert (row["release"], row["kind"]) == (VERSION, "sft")
        assert row["folder"].startswith(f"{key}/classifier/")
    weights = [house.rows(f"iteration_{n}/classifier")[0]["weights"] for n in range(3)]
    assert len(set(weights)) == 3
    [generator] = house.rows("iteration_2/generator")
    assert generator["kind"] == "mdpo"


def test_classifiers_start_from_the_base_and_see_train_and_the_current_prompts_only(loop):
    house, *_ = loop
    train = set(TRAIN["prompt_id"].to_pylist())
    bases = {house.rows(f"iteration_{n}/classifier")[0]["base_model"] for n in range(3)}
    assert len(bases) == 1
    assert set(_stage(house, "iteration_0/classifier")["prompt_id"].to_pylist()) == train
    for number in (1, 2):
        made = {row["prompt_id"] for row in _kept(house, f"iteration_{number}/generated_prompts")}
        assert made
        stage = _stage(house, f"iteration_{number}/classifier")
        assert set(stage["prompt_id"].to_pylist()) == train | made


def test_every_rewrite_is_accounted_for_and_none_that_is_kept_is_near_to_test(loop):
    house, *_ = loop
    for number in (1, 2):
        rows = house.rows(f"iteration_{number}/generated_prompts")
        assert len(rows) == N_TRAIN * 4
        assert all(row["drop_evidence"] for row in rows if row["drop_reason"])
        kept = _kept(house, f"iteration_{number}/generated_prompts")
        assert survivors.leaks(kept, TEST.to_pylist(), survivors.CleaningConfig()) == []


def test_a_planted_near_copy_of_a_test_row_never_reaches_training(loop, planted):
    house, _, seed, _ = loop
    [row] = [
        row
        for row in house.rows("iteration_1/generated_prompts")
        if row["parent_ids"] == [seed] and row["candidate"] == 0
    ]
    assert row["text"] == planted
    assert (row["drop_reason"], row["drop_evidence"][:11]) == ("leak", "twin=test00")
    for number in (1, 2):
        assert planted not in _stage(house, f"iteration_{number}/classifier")["text"].to_pylist()
    graded = {row["prompt_id"] for row in house.rows("iteration_2/graded_prompts")}
    assert row["prompt_id"] not in graded


def test_pairs_follow_from_predictions_and_scores_and_train_the_generator(loop):
    house, *_ = loop
    graded = house.table("iteration_2/graded_prompts")
    kept = _kept(house, "iteration_1/generated_prompts")
    assert graded.num_rows == len(kept)
    assert graded["level"].null_count < graded.num_rows
    found = house.table("iteration_2/preference_pairs")
    assert found.num_rows > 0
    assert found.to_pylist() == pairs.pairs(graded, pairs.PairsConfig()).to_pylist()
    stage = _stage(house, "iteration_2/generator")
    assert sorted(stage["pair_id"].to_pylist()) == found["pair_id"].to_pylist()


def test_the_second_iteration_is_written_by_the_trained_generator_and_scored_by_the_first(loop):
    house, *_ = loop
    [generator] = house.rows("iteration_2/generator")
    query = "select distinct asset, role, revision from calls"
    with closing(sqlite3.connect(house.home / "ledger.db")) as connection:
        found = set(connection.execute(query))
    trained = f"trained-{generator['weights'][:12]}"
    assert found == {
        ("iteration_1/generated_prompts", "generator", "main"),
        ("iteration_2/graded_prompts", "scorer", "main"),
        ("iteration_2/generated_prompts", "generator", trained),
    }


def test_metrics_and_loss_curve_are_in_the_metadata(loop):
    _, found, _, _ = loop
    for key in ("iteration_0/classifier", "iteration_2/generator"):
        shown = _shown(found, key)
        assert shown["metrics"].value["steps"] > 0
        assert "data:image/png;base64," in shown["loss_curve"].value
        assert shown["history"].schema.columns[0].name == "stage"


def test_nothing_of_the_generator_leaves_the_house(loop):
    house, _, _, before = loop
    assert _files(house.home / "release") == before
    assert not (house.home / "public").exists()


def test_a_second_run_pays_nothing_and_makes_the_same(loop):
    house, *_ = loop
    paid, before = house.calls(), house.table("iteration_1/generated_prompts")
    assert house.run("iteration_1/generated_prompts").success
    assert house.calls() == paid
    assert house.table("iteration_1/generated_prompts").equals(before)


def test_a_trainer_that_is_killed_goes_on_and_comes_to_the_same_end(loop, make_loop, tmp_path):
    whole, *_ = loop
    flag = tmp_path / "kill once"
    flag.touch()
    (tmp_path / "sitecustomize.py").write_text(SUICIDE.format(flag=str(flag)), "utf-8")
    house = make_loop("killed", "http://127.0.0.1:1/v1", PYTHONPATH=str(tmp_path))
    first = house.run("iteration_0/classifier", check=False)
    assert not first.success
    assert not flag.exists()
    [failed] = first.get_step_failure_events()
    assert "goes on from the last one" in failed.step_failure_data.error.to_string()
    assert list((house.home / "training").rglob("checkpoint-*/complete.json"))
    assert house.run("iteration_0/classifier").success
    assert house.table("iteration_0/classifier").equals(whole.table("iteration_0/classifier"))


def test_two_processes_under_torchrun_train_as_one(loop, make_loop):
    # On a machine without GPUs torchrun's processes train on its cores, over gloo.
    _, one, *_ = loop
    house = make_loop("two", "http://127.0.0.1:1/v1", gpus=2)
    two = house.run("iteration_0/classifier")
    assert two.success
    alone, together = (_shown(run, "iteration_0/classifier")["metrics"].value for run in (one, two))
    assert together["steps"] == alone["steps"]
    assert together["tokens"] == alone["tokens"]
    assert together["loss"] == pytest.approx(alone["loss"], rel=1e-3)


def test_an_exported_classifier_says_the_same_served_by_vllm_as_loaded(loop, engine_home):
    house, *_ = loop
    [row] = house.rows("iteration_0/classifier")
    folder = str(house.home / "training" / row["folder"] / "model")
    rows, form = [*TRAIN.to_pylist(), *TEST.to_pylist()], LabelFormat("binary")
    models = LanguageModels(
        roles=[ModelRole(role="juror", model="chillguard", urls=[])],
        ledger=Ledger(url=f"sqlite:///{house.home / 'served.db'}"),
        servers=[
            ModelServer(
                role="juror",
                model=folder,
                served_name="chillguard",
                program=str(engine_home / "bin/vllm"),
                arguments=ARGUMENTS,
                environment=ENVIRONMENT,
                ready_within_s=900,
            )
        ],
    )
    ask = Asker(models, "served", "run", Progress("served", print))
    served = {o.row_id: o.value.label for o in ask("juror", form.requests(rows), form.parse)}
    loaded = predict(folder, [r["text"] for r in rows], form, decoding="constrained")
    assert served == {r["prompt_id"]: one.label for r, one in zip(rows, loaded, strict=True)}
