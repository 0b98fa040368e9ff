"""State that outlives a run: keyword pool, sides of families, signatures of released rows.

One home holds the state of one profile; another profile's state is refused, so that offline
rows can never mix with a real release.
"""

import datetime as dt
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chillguard.cleaning import earlier
from chillguard.tables import lineage
from chillguard.text import near_duplicates
from resources.home.damaged import read_parquet, reading
from resources.home.whole import write_parquet, write_text

_TAKEDOWNS = "takedowns.jsonl"
_QUERIES = "extra_queries.json"
_KEYWORDS = "keywords.parquet"
_POOL_BACK = (
    "bring it back from a copy, or copy tables/expanded_keywords/part-00000.parquet, the pool of "
    "the last run, to its place"
)
_AGAIN = "delete it, and what it holds is made anew"


class State(dg.ConfigurableResource):
    """The `state/` folder of a home."""

    folder: str
    profile: str

    def keywords(self) -> pa.Table:
        """The keyword pool; empty before the first run."""
        path = self._folder() / _KEYWORDS
        if not path.exists():
            return lineage.EXPANDED_KEYWORDS.build([])
        return read_parquet(path, "keyword pool", _POOL_BACK)

    def save_keywords(self, pool: pa.Table) -> None:
        """Replace the pool by a larger one; raises `dg.Failure` if a keyword would be lost."""
        lost = set(self.keywords()["keyword_id"].to_pylist()) - set(pool["keyword_id"].to_pylist())
        if lost:
            raise dg.Failure(
                f"keyword pool: {len(lost)} keywords would be lost; the pool only grows"
            )
        write_parquet(pool, self._folder() / _KEYWORDS)

    def require_keywords(self, releases: int) -> None:
        """Raises `dg.Failure` when the pool is gone though there are releases made from it.

        From the seeds alone other queries, and so other prompts, would follow.
        """
        path = self._folder() / _KEYWORDS
        if releases and not path.exists():
            raise dg.Failure(
                f"keyword pool {path} is gone, and {releases} releases were made from it: "
                f"{_POOL_BACK}"
            )

    def splits(self) -> dict[str, str]:
        """Side of every family that was ever released."""
        files = sorted((self._folder() / "splits").glob("*.parquet"))
        found: dict[str, str] = {}
        for file in files:
            table = pq.read_table(file)
            found |= dict(
                zip(table["family_id"].to_pylist(), table["split"].to_pylist(), strict=True)
            )
        return found

    def append_splits(self, families: pa.Table, version: str) -> None:
        """Add the new families of a release; what is there stays untouched."""
        if families.num_rows:
            folder = self._folder() / "splits"
            number = len(list(folder.glob("*.parquet"))) + 1
            write_parquet(families, folder / f"{number:05d}-{version}.parquet")

    def signatures(self, config: near_duplicates.NearDuplicateConfig) -> list[pa.Table]:
        """The signature index of released rows, one table per release.

        Raises `dg.Failure` when it was made by other settings.
        """
        found = []
        for file in sorted((self._folder() / "signatures").glob("*.parquet")):
            table = read_parquet(file, "signature index", _AGAIN)
            problem = earlier.mismatch(table, config)
            if problem:
                raise dg.Failure(
                    f"signature index {file}: {problem}; set cleaning.shingles back, or delete "
                    f"{file.parent}: signatures are then made anew from the releases"
                )
            found.append(table)
        return found

    def append_signatures(self, index: pa.Table, version: str) -> None:
        """Add the signatures of a release's rows that no earlier release has."""
        folder = self._folder() / "signatures"
        files = sorted(folder.glob("*.parquet"))
        there = [
            read_parquet(file, "signature index", _AGAIN, ["prompt_id"])["prompt_id"]
            for file in files
        ]
        known = pa.array([key for column in there for key in column.to_pylist()], pa.string())
        new = index.filter(pc.invert(pc.is_in(index["prompt_id"], value_set=known)))
        if new.num_rows:
            write_parquet(new, folder / f"{len(files) + 1:05d}-{version}.parquet")

    def forget_signatures(self, prompt_ids: Collection[str]) -> int:
        """Take rows out of the signature index; returns how many it held."""
        gone, count = pa.array(sorted(prompt_ids), pa.string()), 0
        for file in sorted((self._folder() / "signatures").glob("*.parquet")):
            table = read_parquet(file, "signature index", _AGAIN)
            left = table.filter(pc.invert(pc.is_in(table["prompt_id"], value_set=gone)))
            if left.num_rows < table.num_rows:
                count += table.num_rows - left.num_rows
                write_parquet(left, file)
        return count

    def anchors_before(self, votes: pa.Table) -> pa.Table | None:
        """Votes on the anchors at the newest release before that of `votes`, if there is one."""
        files = sorted((self._folder() / "anchors").glob("*.parquet"))
        refresh = votes["refresh"][0].as_py() if votes.num_rows else 0
        before = [file for file in files if int(file.name.partition("-")[0]) < refresh]
        mend = "delete it, and nothing is compared with the release before"
        return read_parquet(before[-1], "votes on anchors", mend) if before else None

    def append_anchors(self, votes: pa.Table, version: str) -> None:
        """Keep the votes on the anchors of a release; what is there stays untouched."""
        if votes.num_rows:
            path = (
                self._folder() / "anchors" / f"{votes['refresh'][0].as_py():05d}-{version}.parquet"
            )
            if not path.exists():
                write_parquet(votes, path)

    def extra_queries(self) -> dict[str, int]:
        """How many queries steering has given each category so far, by code."""
        found: dict[str, int] = self._steered()["extra"]
        return found

    def save_extra_queries(self, extra: Mapping[str, int], version: str) -> None:
        """Replace the extra queries of the categories, once per release."""
        if self._steered()["release"] != version:
            content = json.dumps({"release": version, "extra": dict(extra)})
            write_text(self._folder() / _QUERIES, content)

    def _steered(self) -> dict[str, Any]:
        path = self._folder() / _QUERIES
        if not path.exists():
            return {"release": None, "extra": {}}
        with reading(path, "steering", "bring it back from a copy, or delete it to steer anew"):
            found: dict[str, Any] = json.loads(path.read_text("utf-8"))
            return {"release": found["release"], "extra": dict(found["extra"])}

    def taken_down(self) -> frozenset[str]:
        """Marks of all posts that were ever taken down (`chillguard.rows.removal.marks`)."""
        path = self._folder() / _TAKEDOWNS
        if not path.exists():
            return frozenset()
        mend = "bring it back from a copy, or what was taken down would come back"
        with reading(path, "list of takedowns", mend):
            lines = path.read_text("utf-8").splitlines()
            if not lines:
                raise ValueError("it is empty, and never written so")
            return frozenset(mark for line in lines for mark in json.loads(line)["marks"])

    def take_down(self, record: Mapping[str, Any]) -> None:
        """Append a takedown: `request`, the `marks` of the posts it meant, and what came of it."""
        line = {"date": dt.datetime.now(dt.UTC).date().isoformat(), **record}
        with (self._folder() / _TAKEDOWNS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _folder(self) -> Path:
        folder = Path(self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        owner = folder / "profile"
        if not owner.exists():
            write_text(owner, self.profile)
        if owner.read_text("utf-8") != self.profile:
            raise dg.Failure(
                f"the state in {folder} belongs to profile {owner.read_text('utf-8')!r}, this run "
                f"uses {self.profile!r}: set CHILLGUARD_HOME to another folder, or `name:` in the "
                "profile if it is meant to continue that work"
            )
        return folder
