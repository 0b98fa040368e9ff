"""The vector store on a Qdrant server, over qdrant-client.

The collection is made with the embedding model in its metadata; several processes may use it at
once. What is put in and what is asked for is decided elsewhere.
"""

import functools
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import dagster as dg
import pyarrow as pa
from pydantic import PrivateAttr

from chillguard.embedding import PostFilter
from resources.models.chat import without_credentials
from resources.vectors.port import (
    DENSE,
    HYBRID_DEPTH,
    PAYLOAD,
    SPARSE,
    Collection,
    Scored,
    Vectors,
    VectorStore,
    conditions,
    refuse_other,
    stored,
    top,
)

T = TypeVar("T")
MEMORY = ":memory:"
_BATCH = 500
_SCROLL = 10_000
_QUERIES = 32
_OVERSAMPLING = 2.0


class QdrantStore(VectorStore):
    """Points of `collection` at a server's `url` (or `:memory:`, the client's own engine).

    `grpc` talks over `grpc_port` instead of the URL's. `m`, `ef_construct` and `ef` are those of
    the index (HNSW); `exact` goes without it. `quantization` int8 keeps quantised vectors in memory
    and the full ones on disk; of twice as many candidates the full ones decide. `payload_indexes`
    names the fields that get an index, of those that a filter may name.
    """

    url: str
    api_key: str | None = None
    collection: str = "posts"
    grpc: bool = False
    grpc_port: int = 6334
    exact: bool = False
    m: int = 16
    ef_construct: int = 200
    ef: int = 256
    quantization: Literal["none", "int8"] = "none"
    payload_indexes: list[str] = list(PAYLOAD)
    timeout_s: int = 60

    _client: Any = PrivateAttr(default=None)

    @contextmanager
    def open(self, model: str, dimension: int, sparse: bool = False) -> Iterator["QdrantPoints"]:
        """The collection of `model`, made if it is not there."""
        where = f"{without_credentials(self.url)}, collection {self.collection!r}"
        wanted = {"model": model, "dimension": dimension, "sparse": sparse}
        client = self._connected()
        if _try(where, lambda: client.collection_exists(self.collection)):
            info = _try(where, lambda: client.get_collection(self.collection))
            refuse_other(where, info.config.metadata or {}, wanted)
        else:
            _try(where, lambda: self._create(client, wanted))
        yield QdrantPoints(client, self, where)

    def _connected(self) -> Any:
        # Kept for the time of the resource: in memory, the points live in the client.
        if self._client is None:
            import qdrant_client

            if self.url == MEMORY:
                self._client = qdrant_client.QdrantClient(MEMORY)
            else:
                self._client = qdrant_client.QdrantClient(
                    url=self.url,
                    api_key=self.api_key,
                    prefer_grpc=self.grpc,
                    grpc_port=self.grpc_port,
                    timeout=self.timeout_s,
                    check_compatibility=False,
                )
        return self._client

    def _create(self, client: Any, wanted: Mapping[str, Any]) -> None:
        from qdrant_client import models

        quantised = self.quantization == "int8"
        client.create_collection(
            self.collection,
            vectors_config={
                DENSE: models.VectorParams(
                    size=wanted["dimension"], distance=models.Distance.COSINE, on_disk=quantised
                )
            },
            sparse_vectors_config={SPARSE: models.SparseVectorParams()}
            if wanted["sparse"]
            else None,
            hnsw_config=models.HnswConfigDiff(m=self.m, ef_construct=self.ef_construct),
            quantization_config=(
                models.ScalarQuantization(
                    scalar=models.ScalarQuantizationConfig(
                        type=models.ScalarType.INT8, always_ram=True
                    )
                )
                if quantised
                else None
            ),
            metadata=dict(wanted),
        )
        if self.url != MEMORY:
            for field in self.payload_indexes:
                keyword = models.PayloadSchemaType.KEYWORD
                client.create_payload_index(self.collection, field, keyword)


class QdrantPoints(Collection):
    """A collection on a server."""

    def __init__(self, client: Any, store: QdrantStore, where: str) -> None:
        self._client = client
        self._store = store
        self._where = where

    def ids(self) -> pa.Array:
        """Ids of all points, as strings in any order."""
        found: list[str] = []
        offset: Any = None
        while True:
            scroll = functools.partial(
                self._client.scroll,
                self._store.collection,
                limit=_SCROLL,
                offset=offset,
                with_payload=False,
                with_vectors=False,
            )
            records, offset = self._try(scroll)
            found += [_hex(record.id) for record in records]
            if offset is None:
                return pa.array(found, pa.string())

    def upsert(
        self, ids: Sequence[str], vectors: Vectors, payloads: Sequence[Mapping[str, Any]]
    ) -> None:
        """Add or replace points: one row of vectors and one payload per id."""
        from qdrant_client import models

        for start in range(0, len(ids), _BATCH):
            points = [
                models.PointStruct(
                    id=str(uuid.UUID(ids[i])),
                    vector=_named(vectors, i),
                    payload=stored(payloads[i]),
                )
                for i in range(start, min(start + _BATCH, len(ids)))
            ]
            self._try(
                functools.partial(self._client.upsert, self._store.collection, points, wait=True)
            )

    def delete(self, ids: Iterable[str]) -> None:
        """Remove points; unknown ids are ignored."""
        gone = [str(uuid.UUID(key)) for key in ids]
        if gone:
            self._try(lambda: self._client.delete(self._store.collection, gone, wait=True))

    def nearest(self, vectors: Vectors, k: int, where: PostFilter) -> list[list[str]]:
        """Ids of the k nearest points per vector, by (similarity, id)."""
        found: list[list[str]] = []
        for start in range(0, len(vectors), _QUERIES):
            numbers = range(start, min(start + _QUERIES, len(vectors)))
            requests = [self._request(vectors, i, k + 1, where) for i in numbers]
            for i, points in zip(numbers, self._asked(requests), strict=True):
                more = functools.partial(self._scored, vectors, i, where)
                found.append(top(k, points, k + 1, more))
        return found

    def _scored(self, vectors: Vectors, i: int, where: PostFilter, limit: int) -> Scored:
        return self._asked([self._request(vectors, i, limit, where)])[0]

    def _asked(self, requests: Sequence[Any]) -> list[Scored]:
        query = self._client.query_batch_points
        answers: Any = self._try(functools.partial(query, self._store.collection, requests))
        return [_pairs(answer.points) for answer in answers]

    def _request(self, vectors: Vectors, i: int, k: int, where: PostFilter) -> Any:
        from qdrant_client import models

        exact = self._store.exact
        decided = models.QuantizationSearchParams(rescore=True, oversampling=_OVERSAMPLING)
        params = models.SearchParams(
            exact=exact,
            hnsw_ef=None if exact else self._store.ef,
            quantization=None if self._store.quantization == "none" else decided,
        )
        condition, named = _filter(where), _named(vectors, i)
        if SPARSE not in named:
            return models.QueryRequest(
                query=named[DENSE], using=DENSE, limit=k, filter=condition, params=params
            )
        prefetches = [
            models.Prefetch(
                query=vector, using=name, limit=k * HYBRID_DEPTH, filter=condition, params=params
            )
            for name, vector in named.items()
        ]
        fusion = models.FusionQuery(fusion=models.Fusion.RRF)
        return models.QueryRequest(prefetch=prefetches, query=fusion, limit=k)

    def _try(self, call: Callable[[], T]) -> T:
        return _try(self._where, call)


def _named(vectors: Vectors, i: int) -> dict[str, Any]:
    from qdrant_client import models

    named: dict[str, Any] = {DENSE: vectors.dense[i].tolist()}
    if vectors.sparse is not None:
        weights = vectors.sparse[i]
        named[SPARSE] = models.SparseVector(indices=list(weights), values=list(weights.values()))
    return named


def _filter(where: PostFilter) -> Any:
    from qdrant_client import models

    must: list[Any] = [
        models.FieldCondition(key=field, match=models.MatchAny(any=words))
        for field, words in conditions(where).items()
    ]
    return models.Filter(must=must) if must else None


def _pairs(points: Iterable[Any]) -> Scored:
    return [(point.score, _hex(point.id)) for point in points]


def _hex(key: Any) -> str:
    return uuid.UUID(str(key)).hex


def _try(where: str, call: Callable[[], T]) -> T:
    """The result of a client call; what goes wrong on the way is told in one sentence."""
    import grpc
    from qdrant_client.http.exceptions import ApiException

    try:
        return call()
    except (grpc.RpcError, ApiException, OSError, ValueError) as error:
        told = getattr(error, "details", None)
        reason = str(told() if callable(told) else error) or type(error).__name__
        raise dg.Failure(
            f"vector store {where} cannot be used ({reason.splitlines()[0][:200]}): start "
            "Qdrant there, or mend `vector_store` in the profile"
        ) from None
