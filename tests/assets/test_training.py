"""The assets of co-training with a scripted generator and a trainer that only notes its input."""

import hashlib
import json
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from assets import checks, training
from chillguard import taxonomy
from chillguard.cleaning import survivors
from chillguard.release import sides
from chillguard.settings import Settings
from chillguard.tables import lineage
from chillguard.tables.training import CLASSIFIER, GENERATED_PROMPTS
from resources.home.releases import Releases
from resources.home.tables import TablesIOManager
from resources.models.ledger import Ledger
from resources.models.llm import LanguageModels
from resources.models.model_server import ModelServer
from resources.models.progress import Usage
from resources.models.roles import ModelRole
from resources.training.jobs import Training
from resources.training.launcher import Launcher, Machine
from tests.chillguard.builders import SMALL, Ask, labeled, mixed, released

TRAIN = released(
    "train",
    [labeled(f"s{n}", mixed(f"s{n}"), "M1a" if n % 2 else None, origin="real" if n < 3 else "rag")
     for n in range(6)],
)  # fmt: skip
TEST = released("test", [labeled(f"t{n}", mixed(f"t{n}", 14)) for n in range(4)])
VERSION = sides.version(TRAIN, TEST)
NEAR = TEST["text"][1].as_py().replace("怎么样", "怎样")
LOOP = training.Trainee("small", "/models/small", Machine())
BIG = training.Trainee("big", "/models/big", Machine(gpus=2), (2,))
GENERATOR = training.Trainee("generator", "/models/g0", Machine())
ASSETS = training.lineage(LOOP, [BIG], GENERATOR, ["juror_1"])
KEYS = {key.to_user_string(): key for asset in ASSETS for key in asset.keys}


class NotingLauncher(Launcher):
    """Writes what a trainer or predictor would, made from its input."""

    def run(self, context, module, job, machine):
        asked = json.loads(job.read_text("utf-8"))
        if module == "chillguard.evaluation":
            rows = pq.read_table(asked["input"]).to_pylist()
            found = [
                {
                    "prompt_id": row["prompt_id"],
                    "predicted_label": (None, "safe", "unsafe")[len(row["text"]) % 3],
                    "reason": "not a label" if len(row["text"]) % 3 == 0 else None,
                }
                for row in rows
            ]
            pq.write_table(pa.Table.from_pylist(found), asked["output"])
            return
        seen = [hashlib.sha256(Path(stage).read_bytes()).hexdigest() for stage in asked["stages"]]
        (job.parent / "model").mkdir(exist_ok=True)
        (job.parent / "model/model.safetensors").write_text("".join(seen), "utf-8")
        steps = [{"stage": 1, "step": n, "loss": 1 / n} for n in (1, 2)]
        (job.parent / "history.json").write_text(json.dumps({"steps": steps}), "utf-8")
        (job.parent / "result.json").write_text('{"metrics": {"loss": 0.5}}', "utf-8")


class ScriptedModels(LanguageModels):
    """Models by hand; the texts of the generator depend on its revision."""

    def asker(self, context):
        revision = self.role("generator").revision

        def generator(request):
            if revision == "main" and request.row_id == "s0/0":
                return NEAR
            if request.row_id == "s1/1":
                return None
            return mixed(f"{revision} {request.row_id}", 5 + request.repeat)

        ask = Ask(
            generator=generator,
            scorer=lambda request: "12345x"[len(request.messages[1]["content"]) % 6],
            juror_1=lambda request: "safe",
            tie_breaker=lambda request: "safe",
        )
        ask.usage = Usage()
        return ask


class World:
    """A home with a release, its approval, and all resources of the loop."""

    def __init__(self, home):
        self.home = home
        self.settings = {"sft": {"label_format": "binary"}}
        releases = Releases(folder=str(home / "release"))
        releases.write(VERSION, {"train": TRAIN, "test": TEST}, {}, {})
        self.approve()
        self.training = Training(
            folder=str(home / "training"),
            approval=str(home / "approval.yaml"),
            releases=releases,
            launcher=NotingLauncher(),
        )
        self.put("taxonomy", taxonomy.rows(SMALL))
        self.put("benchmark_prompts", lineage.BENCHMARK_PROMPTS.build([]))

    def approve(self, **more):
        given = {"person": "Lin", "date": "2026-11-25", "release": VERSION, "purposes": ["train"]}
        (self.home / "approval.yaml").write_text(yaml.safe_dump({**given, **more}), "utf-8")

    def put(self, key, table):
        path = self.home / "tables" / key / "part-00000.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)

    def rows(self, key):
        return pq.read_table(self.home / "tables" / key / "part-00000.parquet").to_pylist()

    def stage(self, key, number=1):
        [row] = self.rows(key)
        return pq.read_table(self.home / "training" / row["folder"] / f"stage_{number}.parquet")

    def run(self, *keys, check=True):
        wanted = [KEYS[key] for key in keys or KEYS]
        models = ScriptedModels(
            roles=[ModelRole(role=role, model="g0") for role in ("generator", "scorer")],
            ledger=Ledger(url=f"sqlite:///{self.home / 'ledger.db'}"),
            servers=[ModelServer(role="generator", model="/models/g0", served_name="g0")],
        )
        with dg.DagsterInstance.ephemeral() as instance:
            return dg.materialize(
                [
                    *ASSETS,
                    *checks.generation_checks(list(KEYS.values())),
                    *(checks.schema_check(key) for key in KEYS.values()),
                    dg.AssetSpec("taxonomy"),
                    dg.AssetSpec("benchmark_prompts"),
                    dg.AssetSpec("dataset_card"),
                ],
                resources={
                    "io_manager": TablesIOManager(folder=str(self.home / "tables")),
                    "settings": Settings.model_validate({"training": self.settings}),
                    "llm": models,
                    "training": self.training,
                },
                instance=instance,
                selection=dg.AssetSelection.assets(*wanted),
                raise_on_error=check,
            )

    def sentence(self, *keys):
        """What the one step that fails says."""
        found = self.run(*keys, check=False)
        [failed] = found.get_step_failure_events()
        error = failed.step_failure_data.error
        return (error.cause or error).message


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A world in which the whole loop has run."""
    made = World(tmp_path_factory.mktemp("world"))
    before = _files(made.home / "release")
    made.found = made.run()
    assert _files(made.home / "release") == before
    return made


def _files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _kept(rows):
    return [row for row in rows if row["drop_reason"] is None]


def test_every_asset_of_the_loop_leaves_a_table_under_its_schema(whole):
    assert set(KEYS) == {
        "iteration_0/classifier",
        "iteration_1/generated_prompts",
        "iteration_1/classifier",
        "iteration_2/graded_prompts",
        "iteration_2/preference_pairs",
        "iteration_2/generator",
        "iteration_2/generated_prompts",
        "iteration_2/classifier",
        "iteration_2/classifier/big",
    }
    for key in KEYS:
        assert whole.rows(key), key
    evaluations = whole.found.get_asset_check_evaluations()
    assert all(one.passed for one in evaluations)
    assert {one.check_name for one in evaluations} == {
        "schema", "no_test_leak", "every_seed_accounted_for",
    }  # fmt: skip


def test_each_iteration_hangs_on_the_one_before():
    upstream = {
        key: {dep.to_user_string() for dep in asset.asset_deps[KEYS[key]]}
        for asset in ASSETS
        for key in [next(iter(asset.keys)).to_user_string()]
    }
    assert upstream["iteration_1/classifier"] >= {"iteration_1/generated_prompts"}
    graded = {"iteration_1/generated_prompts", "iteration_1/classifier"}
    assert upstream["iteration_2/graded_prompts"] >= graded
    assert upstream["iteration_2/generator"] >= {"iteration_2/preference_pairs"}
    assert upstream["iteration_2/generated_prompts"] >= {"iteration_2/generator"}
    for size in ("", "/big"):
        key = f"iteration_2/classifier{size}"
        assert upstream[key] >= {"iteration_2/generated_prompts", "dataset_card"}
        assert "iteration_1/generated_prompts" not in upstream[key]


def test_a_near_copy_of_a_test_row_is_dropped_as_leak_and_reaches_no_training_file(whole):
    rows = whole.rows("iteration_1/generated_prompts")
    assert len(rows) == TRAIN.num_rows * 4
    [leak] = [row for row in rows if row["text"] == NEAR]
    assert leak["drop_reason"] == "leak"
    assert leak["drop_evidence"].startswith("twin=t1 jaccard=0.")
    texts = [
        text
        for file in (whole.home / "training").rglob("*.parquet")
        for column in {"text", "chosen", "rejected"} & set(pq.read_schema(file).names)
        for text in pq.read_table(file)[column].to_pylist()
    ]
    assert len(texts) > 4 * TRAIN.num_rows
    rows = [{**leak, "prompt_id": str(n), "text": text} for n, text in enumerate(texts)]
    assert survivors.leaks(rows, TEST.to_pylist(), survivors.CleaningConfig()) == []


def test_all_sizes_learn_from_the_same_rows_of_the_current_iteration(whole):
    train = set(TRAIN["prompt_id"].to_pylist())
    made = {}
    for number in (1, 2):
        kept = _kept(whole.rows(f"iteration_{number}/generated_prompts"))
        made[number] = {row["prompt_id"] for row in kept}
        stage = whole.stage(f"iteration_{number}/classifier")
        assert set(stage["prompt_id"].to_pylist()) == train | made[number]
    assert made[1].isdisjoint(made[2])
    assert whole.stage("iteration_2/classifier/big").equals(whole.stage("iteration_2/classifier"))
    bases = [whole.rows(key)[0]["base_model"] for key in KEYS if "classifier" in key]
    assert sorted(bases) == ["/models/big", "/models/small", "/models/small", "/models/small"]


def test_the_second_round_is_written_by_the_trained_generator(whole):
    [generator] = whole.rows("iteration_2/generator")
    assert (generator["base_model"], generator["kind"]) == ("/models/g0", "mdpo")
    revision = f"trained-{generator['weights'][:12]}"
    for row in _kept(whole.rows("iteration_2/generated_prompts")):
        name = f"{row['parent_ids'][0]}/{row['candidate']}"
        assert row["text"] == mixed(f"{revision} {name}", 5 + row["candidate"])


def test_prompts_without_prediction_or_score_are_counted_and_in_no_pair(whole):
    graded = whole.rows("iteration_2/graded_prompts")
    missing = {row["prompt_id"] for row in graded if row["level"] is None}
    assert missing
    assert all(row["ungraded"] for row in graded if row["level"] is None)
    assert len(graded) == len(_kept(whole.rows("iteration_1/generated_prompts")))
    found = whole.rows("iteration_2/preference_pairs")
    assert found
    assert missing.isdisjoint(row[name] for row in found for name in ("chosen_id", "rejected_id"))
    [shown] = [
        event.materialization.metadata
        for event in whole.found.get_asset_materialization_events()
        if event.asset_key == KEYS["iteration_2/graded_prompts"]
    ]
    assert shown["without_level"].value == len(missing)


def test_generator_and_pairs_lie_only_where_nothing_is_exported_from(whole):
    places = {path.relative_to(whole.home).parts[0] for path in whole.home.rglob("*.safetensors")}
    assert places == {"training"}
    for key in ("pair_id", "chosen_id", "chosen"):
        holders = {
            file.relative_to(whole.home).parts[0]
            for file in whole.home.rglob("*.parquet")
            if key in pq.read_schema(file).names
        }
        assert holders <= {"training", "tables"}
        assert holders
    assert not (whole.home / "public").exists()


@pytest.mark.parametrize("key", ["iteration_0/classifier", "iteration_1/generated_prompts"])
@pytest.mark.parametrize(
    ("approved", "words"),
    [
        (None, "there is no approval file"),
        ({"purposes": ["publish"]}, "allows publish, not train"),
        ({"release": "ffffffffffff"}, "names release ffffffffffff, which does not exist"),
    ],
)
def test_nothing_starts_without_an_approval_of_a_release_that_exists(world, key, approved, words):
    world.approve(**(approved or {}))
    if approved is None:
        (world.home / "approval.yaml").unlink()
    assert words in world.sentence(key)
    assert not list(world.home.rglob("stage_*.parquet"))


def test_a_leak_that_was_not_seen_before_stops_the_classifier(world):
    world.run("iteration_1/generated_prompts")
    rows = world.rows("iteration_1/generated_prompts")
    for row in rows:
        if row["drop_reason"] == "leak":
            row["drop_reason"] = row["drop_evidence"] = None
    world.put("iteration_1/generated_prompts", GENERATED_PROMPTS.build(rows))
    assert "is a near-copy of Test row t1" in world.sentence("iteration_1/classifier")
    assert not list(world.home.rglob("stage_*.parquet"))


def test_a_checkpoint_of_another_release_is_not_mixed_in(world):
    world.run("iteration_1/generated_prompts", "iteration_1/classifier")
    [row] = world.rows("iteration_1/classifier")
    stale = CLASSIFIER.build([{**row, "release": "0" * 12}])
    world.put("iteration_1/classifier", stale)
    told = world.sentence("iteration_2/graded_prompts")
    assert "was trained on release 000000000000" in told
    assert "from the first on again" in told


def test_the_curriculum_ends_with_the_real_rows(world):
    world.settings |= {"plan": "curriculum"}
    world.run("iteration_0/classifier")
    first, second = (world.stage("iteration_0/classifier", number) for number in (1, 2))
    assert sorted(second["prompt_id"].to_pylist()) == ["s0", "s1", "s2"]
    assert sorted(first["prompt_id"].to_pylist()) == ["s3", "s4", "s5"]


def test_a_second_jury_drops_flipped_labels_when_it_is_asked_for(world):
    world.settings |= {"generation": {"rejury": True}}
    world.run("iteration_1/generated_prompts")
    rows = world.rows("iteration_1/generated_prompts")
    assert {row["drop_reason"] for row in rows if row["label"] == "unsafe"} >= {"label_flipped"}
    assert not _kept([row for row in rows if row["label"] == "unsafe"])
    assert _kept([row for row in rows if row["label"] == "safe"])


def test_a_changed_input_never_goes_on_with_the_checkpoints_of_another_job(world):
    world.run("iteration_0/classifier")
    [before] = world.rows("iteration_0/classifier")
    world.run("iteration_0/classifier")
    assert world.rows("iteration_0/classifier") == [before]
    world.settings |= {"sft": {"label_format": "binary", "seed": 7}}
    world.run("iteration_0/classifier")
    [after] = world.rows("iteration_0/classifier")
    assert after["folder"] != before["folder"]


def test_a_trained_generator_that_nothing_can_serve_is_told(world):
    models = LanguageModels(
        roles=[ModelRole(role="generator", model="g0")], ledger=Ledger(url="sqlite://")
    )
    with pytest.raises(dg.Failure, match=r"say under `training\.serve` how"):
        models.trained("generator", world.home, "abc")
