"""The embedding port, and bge-m3 behind it (paper section 3.1).

Turns texts into vectors; which texts is decided elsewhere.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import dagster as dg
import numpy as np
import numpy.typing as npt


class Embedder(dg.ConfigurableResource, ABC):
    """One embedding model; `dimension` is the length of its vectors."""

    model: str
    revision: str
    dimension: int

    @abstractmethod
    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Vectors, shape (len(texts), dimension), unit length."""

    @property
    def identity(self) -> str:
        """Model and revision: two vectors compare only under the same identity."""
        return f"{self.model}@{self.revision}"


class BgeM3Embedder(Embedder):
    """bge-m3 by FlagEmbedding, dense vectors; needs the `train` install group."""

    model: str = "BAAI/bge-m3"
    revision: str = "main"
    dimension: int = 1024
    batch_size: int = 64

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Vectors, shape (len(texts), 1024), unit length."""
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        from FlagEmbedding import BGEM3FlagModel

        model = BGEM3FlagModel(self.model)
        found = model.encode(list(texts), batch_size=self.batch_size, return_dense=True)
        return np.asarray(found["dense_vecs"], np.float32)
