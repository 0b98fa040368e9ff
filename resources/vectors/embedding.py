"""The embedding port, bge-m3 and an embeddings endpoint behind it (paper section 3.1).

Turns texts into vectors; which texts is decided elsewhere.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import numpy as np
import numpy.typing as npt
import tenacity
from pydantic import PrivateAttr

from resources.models.chat import without_credentials
from resources.vectors.port import Vectors

_HEADS = ("sparse_linear.pt", "colbert_linear.pt")


class Embedder(dg.ConfigurableResource, ABC):
    """One embedding model; `dimension` is the length of its vectors.

    With `sparse`, lexical weights come along, for hybrid search.
    """

    model: str
    revision: str
    dimension: int
    sparse: bool = False

    @abstractmethod
    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of the texts, in order."""

    @property
    def identity(self) -> str:
        """Model and revision: two vectors compare only under the same identity."""
        return f"{self.model}@{self.revision}"


class BgeM3Embedder(Embedder):
    """bge-m3 by FlagEmbedding; needs the install group `train`.

    `path` is a local folder or, by default, the hub's name of the model. On several `devices` (such
    as `cuda:0`) the library shares the texts among them.
    """

    model: str = "BAAI/bge-m3"
    revision: str = "main"
    dimension: int = 1024
    path: str | None = None
    batch_size: int = 64
    max_length: int = 1024
    devices: list[str] = []
    fp16: bool = False

    _loaded: Any = PrivateAttr(default=None)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of the texts, in order; the library batches them by length."""
        if not texts:
            return _none(self)
        found = self._model().encode(
            list(texts),
            batch_size=self.batch_size,
            max_length=self.max_length,
            return_dense=True,
            return_sparse=self.sparse,
            return_colbert_vecs=False,
        )
        weights = found["lexical_weights"] if self.sparse else None
        return Vectors(
            np.asarray(found["dense_vecs"], np.float32),
            None if weights is None else [_weights(one) for one in weights],
        )

    def _model(self) -> Any:
        if self._loaded is None:
            try:
                from FlagEmbedding import BGEM3FlagModel
                from huggingface_hub import snapshot_download
            except ImportError:
                raise dg.Failure(
                    "embedder bge-m3 needs the install group `train`: run `make .venv/train`"
                ) from None
            try:
                folder = self.path or snapshot_download(self.model, revision=self.revision)
                _need_heads(Path(folder))
                self._loaded = BGEM3FlagModel(
                    folder, use_fp16=self.fp16, devices=self.devices or None
                )
            except dg.Failure:
                raise
            except (
                Exception
            ) as error:  # torch, safetensors and the hub each raise kinds of their own
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                raise dg.Failure(
                    f"embedder bge-m3: {self.path or self.model} cannot be loaded ({reason}); set "
                    "`embedder.path` in the profile to a local folder of the model"
                ) from None
        return self._loaded


class EndpointEmbedder(Embedder):
    """Any OpenAI-style `/v1/embeddings`; `url` ends in `/v1`. Dense vectors only."""

    url: str
    model: str
    revision: str = "main"
    dimension: int = 1024
    api_key: str | None = None
    batch_size: int = 64
    concurrency: int = 4
    attempts: int = 5
    timeout_s: float = 120.0

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of the texts, in order; raises `dg.Failure` when the endpoint gives none."""
        if not texts:
            return _none(self)
        headers = {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        batches = [texts[i : i + self.batch_size] for i in range(0, len(texts), self.batch_size)]
        with (
            httpx.Client(headers=headers, timeout=self.timeout_s, trust_env=False) as client,
            ThreadPoolExecutor(self.concurrency) as pool,
        ):
            parts = list(pool.map(lambda batch: self._batch(client, batch), batches))
        return Vectors(np.concatenate(parts))

    def _batch(self, client: httpx.Client, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Passing),
            stop=tenacity.stop_after_attempt(self.attempts),
            wait=tenacity.wait_exponential_jitter(multiplier=0.2, max=20),
            reraise=True,
        )
        try:
            document = retrying(self._ask, client, texts)
            entries = sorted(document["data"], key=lambda entry: entry["index"])
            found = np.array([entry["embedding"] for entry in entries], np.float32)
        except (_Passing, LookupError, TypeError, ValueError) as error:
            reason = str(error) if isinstance(error, _Passing) else "no list of embeddings"
            raise self._failed(reason) from None
        if not np.isfinite(found).all():
            raise self._failed("vectors that are not finite")
        if found.shape != (len(texts), self.dimension):
            raise self._failed(
                f"vectors of shape {found.shape}, expected {(len(texts), self.dimension)}"
            )
        norms: npt.NDArray[np.float32] = np.linalg.norm(found, axis=1, keepdims=True)
        return np.asarray(found / np.maximum(norms, 1e-12), np.float32)

    def _ask(self, client: httpx.Client, texts: Sequence[str]) -> Any:
        body = {"model": self.model, "input": list(texts), "encoding_format": "float"}
        try:
            response = client.post(f"{self.url.rstrip('/')}/embeddings", json=body)
        except httpx.TransportError as error:
            raise _Passing(type(error).__name__) from None
        if response.status_code == 429 or response.status_code >= 500:
            raise _Passing(f"HTTP {response.status_code}")
        if response.status_code != 200:
            raise self._failed(f"HTTP {response.status_code}")
        return response.json()

    def _failed(self, reason: str) -> dg.Failure:
        return dg.Failure(
            f"embedding endpoint {without_credentials(self.url)}, model {self.model}: {reason}; "
            "mend `embedder` in the profile, or start the endpoint"
        )


class _Passing(Exception):
    """A failure that may pass."""


def _need_heads(folder: Path) -> None:
    """The library takes random heads for missing ones, and only logs it."""
    missing = [name for name in _HEADS if not (folder / name).exists()]
    if missing:
        raise dg.Failure(
            f"embedder bge-m3: folder {folder} lacks {', '.join(missing)}; download the whole model"
        )


def _weights(found: Mapping[str, Any]) -> dict[int, float]:
    return {int(token): float(weight) for token, weight in found.items()}


def _none(embedder: Embedder) -> Vectors:
    empty = np.zeros((0, embedder.dimension), np.float32)
    return Vectors(empty, [] if embedder.sparse else None)
