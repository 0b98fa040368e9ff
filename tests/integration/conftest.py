"""Homes in which the lineage really ran, and a real engine: each made once per session."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipelines import documents
from pipelines import profile as profiles
from pipelines.definitions import build
from resources.home.releases import Releases
from resources.models.ledger import Ledger
from resources.models.llm import Asker, LanguageModels
from resources.models.progress import Progress
from resources.models.roles import ModelRole
from resources.offline.lexicon import SAMPLES
from tests.integration.real_engine import ADAPTERS, ENVIRONMENT, JURORS, Server

TRAINED_STEPS = 150
# The bundled samples by kind of source, for profiles that name only some of their own.
BUNDLED = documents.document(SAMPLES / "sources.yaml")


@dataclass(frozen=True)
class House:
    """A profile and the home in which it runs."""

    profile: profiles.Profile
    home: Path

    def run(self, *keys: str, check: bool = True) -> dg.ExecuteInProcessResult:
        """Materialise all assets, or only some, with their checks."""
        defs = build(self.profile, self.home)
        job = defs.resolve_implicit_global_asset_job_def()
        selection = [dg.AssetKey(key.split("/")) for key in keys] or None
        with dg.DagsterInstance.ephemeral() as instance:
            return job.execute_in_process(
                instance=instance, asset_selection=selection, raise_on_error=check
            )

    def table(self, key: str) -> pa.Table:
        return pq.read_table(self.home / "tables" / key / "part-00000.parquet")

    def rows(self, key: str) -> list[dict[str, Any]]:
        return self.table(key).to_pylist()

    def bytes(self) -> dict[str, bytes]:
        """Content of every table and of every Parquet file of every release."""
        found = [*self.home.glob("tables/**/*.parquet"), *self.home.glob("release/**/*.parquet")]
        return {str(path.relative_to(self.home)): path.read_bytes() for path in sorted(found)}

    def calls(self) -> int:
        return Ledger(url=f"sqlite:///{self.home / 'ledger.db'}").count()

    def versions(self) -> list[str]:
        return Releases(folder=str(self.home / "release")).versions()


@pytest.fixture(scope="session")
def make_house(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., House]:
    """A house for a profile document: offline, and the samples for what it does not name."""

    def make(stem: str = "offline", **document: Any) -> House:
        folder = tmp_path_factory.mktemp(stem)
        file = folder / f"{stem}.yaml"
        file.write_text(yaml.safe_dump({"extends": "offline", **BUNDLED, **document}), "utf-8")
        return House(profiles.load(str(file)), folder / "home")

    return make


@pytest.fixture(scope="session")
def offline(make_house: Callable[..., House]) -> House:
    """The offline profile, run once; tests leave its tables as they found them."""
    house = make_house()
    assert house.run().success
    return house


SMALL = {
    "synthesis": {"queries_per_category": 1},
    "bounds": {
        "min_per_category": None,
        "min_safe_share": None,
        "max_safe_share": None,
        "min_agreement": None,
    },
}


@pytest.fixture(scope="session")
def engine_home():
    home = Path(os.environ.get("CHILLGUARD_ENGINE", "engine environment"))
    if not (home / "ready").exists():
        pytest.fail(f"there is no engine at {home}: run `make engine` (it sets CHILLGUARD_ENGINE)")
    return home


@pytest.fixture(scope="session")
def models_folder(engine_home, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny_models")
    script = Path(__file__).with_name("tiny_models.py")
    command = [engine_home / "bin/python", script, folder, str(TRAINED_STEPS)]
    done = subprocess.run(
        command, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="session")
def engine(engine_home, models_folder, tmp_path_factory):
    log = tmp_path_factory.mktemp("engine") / "engine.log"
    server = Server(engine_home / "bin/vllm", models_folder, log, ADAPTERS)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def ledger(tmp_path):
    return Ledger(url=f"sqlite:///{tmp_path / 'ledger.db'}")


@pytest.fixture
def ask(engine, ledger):
    """Make an asker whose role `role` is a model of the engine."""

    def make(model=JURORS[0], role="juror", server=engine, **settings):
        assert engine.process.poll() is None, "the engine is dead; its log says why"
        settings = {"concurrency": 16, "timeout_s": 60.0, "give_up_after_s": 10.0, **settings}
        bound = ModelRole(role=role, model=model, urls=[server.url], **settings)
        models = LanguageModels(roles=[bound], ledger=ledger)
        return Asker(
            models, "jury_votes/juror_1", "run-1", Progress("jury_votes/juror_1", lambda line: None)
        )

    return make
