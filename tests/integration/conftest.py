"""Homes in which the lineage really ran, made once per session."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipelines import profile as profiles
from pipelines.definitions import build
from resources.ledger import Ledger
from resources.releases import Releases


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
    """A house for a profile document (extends offline unless it says else)."""

    def make(stem: str = "offline", **document: Any) -> House:
        folder = tmp_path_factory.mktemp(stem)
        file = folder / f"{stem}.yaml"
        file.write_text(yaml.safe_dump({"extends": "offline", **document}), "utf-8")
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
