"""Jobs on disk: one folder per content that goes in, and a sentence for all that is not there."""

import json
import shutil

import dagster as dg
import pyarrow as pa
import pytest

from chillguard.training.spec import SftConfig, TrainingSpec
from resources.home.releases import Releases
from resources.training.jobs import Job, Training
from resources.training.launcher import Launcher, Machine

STAGE = pa.table({"prompt_id": ["a", "b"]})


class Trainer(Launcher):
    """Leaves what a training program would."""

    def run(self, context, module, job, machine):
        spec = TrainingSpec.model_validate_json(job.read_text("utf-8"))
        assert module == "chillguard.training"
        (job.parent / "model").mkdir(exist_ok=True)
        (job.parent / "model/model.safetensors").write_bytes(spec.model.encode())
        (job.parent / "history.json").write_text('{"steps": [{"step": 1}]}', "utf-8")
        (job.parent / "result.json").write_text('{"metrics": {"loss": 0.5}}', "utf-8")


class Idle(Launcher):
    """Ends in good order and leaves nothing."""

    def run(self, context, module, job, machine):
        pass


@pytest.fixture
def home(tmp_path):
    releases = Releases(folder=str(tmp_path / "release"))
    releases.write("v1", {"train": STAGE, "test": STAGE}, {}, {})
    return tmp_path


def _training(home, launcher=None):
    return Training(
        folder=str(home / "training"),
        approval=str(home / "approval.yaml"),
        releases=Releases(folder=str(home / "release")),
        launcher=launcher or Trainer(),
    )


def _train(home, stages=(STAGE,), launcher=None, model="/base", **settings):
    job = Job("small", model, "sft", SftConfig(**settings), Machine())

    @dg.asset(key=["iteration_0", "classifier"])
    def asset(context: dg.AssetExecutionContext):
        trained.append(_training(home, launcher).train(context, job, stages, "v1"))

    trained = []
    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([asset], instance=instance)
    return trained[0]


def test_the_row_names_what_was_trained_and_where_it_is(home):
    trained = _train(home, [STAGE, STAGE.slice(1)])
    row = trained.row
    assert (row["name"], row["kind"], row["base_model"]) == ("small", "sft", "/base")
    assert (row["release"], row["n_rows"]) == ("v1", 3)
    assert row["folder"].startswith("iteration_0/classifier/")
    assert trained.model == home / "training" / row["folder"] / "model"
    assert (trained.metrics, trained.history) == ({"loss": 0.5}, [{"step": 1}])


def test_the_same_content_is_the_same_job_and_anything_else_another(home):
    folder = _train(home).row["folder"]
    in_chunks = pa.concat_tables([STAGE.slice(0, 1), STAGE.slice(1)])
    assert _train(home, [in_chunks]).row["folder"] == folder
    others = {
        _train(home, [STAGE.slice(1)]).row["folder"],
        _train(home, [STAGE, STAGE]).row["folder"],
        _train(home, model="/other").row["folder"],
        _train(home, learning_rate=2e-5).row["folder"],
    }
    assert len(others | {folder}) == 5


def test_a_job_keeps_its_name_for_ever(home):
    # Another one would train every model anew.
    assert _train(home).row["folder"] == "iteration_0/classifier/986dd0e74d5a"


def test_a_trainer_that_leaves_no_result_is_told_with_the_asset(home):
    with pytest.raises(dg.Failure, match=r"asset iteration_0/classifier: the trainer ended witho"):
        _train(home, launcher=Idle())


def test_a_checkpoint_of_another_release_is_refused(home):
    row = _train(home).row
    training = _training(home)
    assert training.model(row, "v1").is_dir()
    with pytest.raises(dg.Failure, match="was trained on release v1, the approval file names v2"):
        training.model(row, "v2")


def test_only_an_approved_release_that_exists_is_trained_on(home):
    training = _training(home)
    with pytest.raises(dg.Failure, match="there is no approval file"):
        training.version()
    approval = {"person": "Lin", "date": "2026-11-26", "release": "v9", "purposes": ["train"]}
    (home / "approval.yaml").write_text(json.dumps(approval), "utf-8")
    with pytest.raises(dg.Failure, match=r"names release v9, which does not exist \(there are: v1"):
        training.version()
    (home / "approval.yaml").write_text(json.dumps(approval | {"release": "v1"}), "utf-8")
    approved = training.approved()
    assert (approved.version, approved.train, approved.test) == ("v1", STAGE, STAGE)
    shutil.rmtree(home / "release")
    with pytest.raises(dg.Failure, match="there are: none"):
        training.version()
