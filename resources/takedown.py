"""Taking a post down everywhere: tables, index, crawled posts, ledger; releases are reported.

Which rows come from a post is decided by `chillguard.lineage.takedown`.
"""

from typing import Any

import dagster as dg
import pyarrow as pa

from chillguard.lineage import takedown
from chillguard.tables import table_of
from resources.crawlers.store import PostStore
from resources.home.publishing import Publishing
from resources.home.releases import Releases
from resources.home.review import Review
from resources.home.state import State
from resources.home.tables import Tables
from resources.models.ledger import Ledger
from resources.vectors.retrieval import Retrieval


class Takedown(dg.ConfigurableResource):
    """Everything that may hold a trace of a post."""

    tables: dg.ResourceDependency[Tables]
    state: dg.ResourceDependency[State]
    ledger: dg.ResourceDependency[Ledger]
    crawl_store: dg.ResourceDependency[PostStore]
    retrieval: dg.ResourceDependency[Retrieval]
    releases: dg.ResourceDependency[Releases]
    reviews: dg.ResourceDependency[Review]
    publishing: dg.ResourceDependency[Publishing]

    def remove(self, request: str) -> dict[str, Any]:
        """Remove the posts that `request` means; returns what was removed and who still holds it.

        Repeating a request is harmless. Raises `dg.Failure` when no post is meant.
        """
        tables = {key: table for key in self.tables.made() if (table := self._read(key))}
        found = self._traces(request, tables)
        # First of all it is remembered, so that no run in between brings the posts back.
        self.state.take_down({"request": request, "marks": sorted(found.marks)})
        self.crawl_store.take_down(found.native_ids)
        answers = self.ledger.take_down(sorted(found.call_keys), sorted(found.row_ids))
        index = tables.get(("post_index",))
        points = self.retrieval.remove(index, found.post_ids) if index else 0
        for key, table in tables.items():
            clean = takedown.redacted(table_of(key).name, table, found)
            if clean is not None:
                self.tables.write(clean, *key)
        report = {
            "posts": len(found.post_ids),
            "points": points,
            "signatures": self.state.forget_signatures(found.prompt_ids),
            "ledger_answers": answers,
            "derived_prompts": sorted(found.prompt_ids),
            **self.reviews.remove(found.prompt_ids),
            "releases": self.releases.holding(found.prompt_ids),
            "published": self.publishing.holding(found.prompt_ids),
        }
        self.state.take_down({"request": request, "marks": [], **report})
        return report | {"to_do": _to_do(report)}

    def _traces(self, request: str, tables: dict[tuple[str, ...], pa.Table]) -> takedown.Traces:
        crawled = [table for key, table in tables.items() if key[0] == "crawled_posts"]
        found = takedown.posts(request, crawled)
        if not found.post_ids:
            raise dg.Failure(
                f"takedown: no crawled post has own id, URL or post id {request!r}; nothing was "
                "removed. Look it up in tables/crawled_posts/*"
            )
        for table in tables.values():
            if {"prompt_id", "family_id", "context_post_ids"} <= set(table.column_names):
                takedown.follow(found, table)
        for version in self.releases.versions():
            takedown.follow(found, self.releases.rows(version))
        for key, table in tables.items():
            if key[0] == "jury_votes":
                takedown.follow_votes(found, table)
        return found

    def _read(self, key: tuple[str, ...]) -> pa.Table | None:
        return self.tables.read(*key)


def _to_do(report: dict[str, Any]) -> list[str]:
    """What a person has to do: releases and what left the house are not changed by a program."""
    to_do = [
        f"release {version} is kept as it was and holds {rows:,} rows made from the post: run the "
        "refresh, hand out the new release instead, and delete the old one where it may not be kept"
        for version, rows in report["releases"].items()
    ]
    to_do += [
        f"published copy {folder} holds {rows:,} rows made from the post: delete it, take it down "
        "where it was uploaded, tell whoever has it, and publish the next release"
        for folder, rows in report["published"].items()
    ]
    return to_do + [f"{path} still names prompts made from it: take them out by hand"
                    for path in report["review_files_left"]]  # fmt: skip
