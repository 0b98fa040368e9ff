"""The vector store port: one collection of points, by point id.

Two adapters: `resources.vectors.edge_store` (Qdrant's engine in process, the default) and
`resources.vectors.qdrant_store` (a Qdrant server). What is put in and what is asked for is decided
elsewhere.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import dagster as dg
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chillguard.embedding import PostFilter

DENSE, SPARSE = "dense", "sparse"
# Payload fields that a filter may name; all hold words, since the embedded engine matches no flags.
PAYLOAD = ("lang", "sources", "terms")
Scored = Sequence[tuple[float, str]]
HYBRID_DEPTH = 4
"""Candidates per vector kind and wanted result, before both rankings are fused."""


@dataclass(frozen=True)
class Vectors:
    """Vectors of n texts: dense of shape (n, dimension) and unit length, and maybe sparse.

    A sparse vector maps token ids to weights.
    """

    dense: npt.NDArray[np.float32]
    sparse: Sequence[Mapping[int, float]] | None = None

    def __len__(self) -> int:
        return len(self.dense)


class Collection(ABC):
    """An open collection; an id is 32 hex digits."""

    @abstractmethod
    def ids(self) -> pa.Array:
        """Ids of all points, as strings in any order."""

    @abstractmethod
    def upsert(
        self, ids: Sequence[str], vectors: Vectors, payloads: Sequence[Mapping[str, Any]]
    ) -> None:
        """Add or replace points: one row of vectors and one payload per id."""

    @abstractmethod
    def delete(self, ids: Iterable[str]) -> None:
        """Remove points; unknown ids are ignored."""

    @abstractmethod
    def nearest(self, vectors: Vectors, k: int, where: PostFilter) -> list[list[str]]:
        """Ids of the k nearest points per vector, by (similarity, id).

        With sparse vectors, both rankings are fused by reciprocal rank.
        """


class VectorStore(dg.ConfigurableResource, ABC):
    """Points of one embedding model."""

    @abstractmethod
    def open(self, model: str, dimension: int, sparse: bool) -> AbstractContextManager[Collection]:
        """The collection of `model`, made if it is not there.

        Raises `dg.Failure` when it holds vectors of another model or dimension.
        """


def refuse_other(where: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise `dg.Failure` unless the collection was made for the wanted vectors."""
    if dict(found) != dict(wanted):
        raise dg.Failure(
            f"vector store {where} holds vectors of {dict(found)}, this run embeds with "
            f"{dict(wanted)}: remove the collection to embed anew, or name another in the profile"
        )


def stored(payload: Mapping[str, Any]) -> dict[str, Any]:
    """A payload as a point carries it: flags that are set become words under `terms`."""
    terms = [name for name, value in payload.items() if value is True]
    return {**{n: v for n, v in payload.items() if not isinstance(v, bool)}, "terms": terms}


def conditions(where: PostFilter) -> dict[str, list[str]]:
    """Payload fields and the words of which each must hold one."""
    asked = {
        "lang": list(where.languages),
        "sources": list(where.sources),
        "terms": ["may_redistribute"] if where.redistributable_only else [],
    }
    return {field: words for field, words in asked.items() if words}


def top(k: int, scored: Scored, limit: int, more: Callable[[int], Scored]) -> list[str]:
    """The k best ids, by falling score and among equals by id, whatever order the engine has.

    `scored` are the best `limit`; while all beyond the k-th are its equals, `more` is asked for.
    """
    while len(scored) == limit and scored[k - 1][0] == scored[-1][0]:
        limit *= 4
        scored = more(limit)
    return [key for _, key in sorted((-score, key) for score, key in scored)][:k]
