"""The embedder of the profile offline: it stands in for a model, and needs none."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from resources.vectors.embedding import Embedder
from resources.vectors.port import Vectors

_SIZES = (1, 2, 3)


class HashedEmbedder(Embedder):
    """Signed hashes of character n-grams, unit length: texts that share wording are near."""

    model: str = "offline-hashed-ngrams"
    revision: str = "1"
    dimension: int = 256

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of the texts, in order."""
        total = np.zeros((len(texts), self.dimension), np.float64)
        for size in _SIZES if texts else ():
            total += size * self._counts(texts, size)
        norms = np.linalg.norm(total, axis=1, keepdims=True)
        return Vectors(np.asarray(total / np.maximum(norms, 1e-12), np.float32))

    def _counts(self, texts: Sequence[str], size: int) -> npt.NDArray[np.float64]:
        padded = [text.lower().ljust(size, "\0") for text in texts]
        lengths = np.array([len(text) for text in padded])
        points = np.frombuffer("".join(padded).encode("utf-32-le"), np.uint32)
        grams = np.zeros(len(points) - size + 1, np.uint32)
        for offset in range(size):
            grams = (grams + points[offset : offset + len(grams)]) * np.uint32(0x9E3779B1)
        grams = (grams ^ (grams >> np.uint32(15))) * np.uint32(0x85EBCA6B)
        rows = np.repeat(np.arange(len(texts)), lengths)[: len(grams)]
        ends = np.repeat(np.cumsum(lengths), lengths)[: len(grams)]
        inside = np.arange(len(grams)) + size <= ends
        signs = np.where(grams[inside] >> np.uint32(31), 1.0, -1.0)
        cells = rows[inside] * self.dimension + grams[inside] % np.uint32(self.dimension)
        shape = len(texts) * self.dimension
        counts = np.bincount(cells, signs, shape).reshape(len(texts), self.dimension)
        return np.asarray(counts, np.float64)
