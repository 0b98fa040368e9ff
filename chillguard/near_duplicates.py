"""Near-duplicates of short Chinese texts: MinHash signatures, banding, exact verification.

Signatures use datasketch's permutations (scheme affine32) in one flat numpy pass. Banding only
proposes; a pair counts when its exact Jaccard over character shingles reaches the threshold.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from datasketch import MinHash, MinHashLSH
from pydantic import BaseModel, ConfigDict

from chillguard import matching

Signatures = npt.NDArray[np.uint32]


class NearDuplicateConfig(BaseModel):
    """Shingle length in characters, number of permutations, and weight of missed pairs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shingle: int = 3
    num_perm: int = 128
    recall_weight: float = 0.95


def signatures(texts: Sequence[str], config: NearDuplicateConfig) -> Signatures:
    """MinHash signatures, shape (len(texts), num_perm), of texts in `match_text` form."""
    if not texts:
        return np.zeros((0, config.num_perm), np.uint32)
    padded = [text.ljust(config.shingle, "\0") for text in texts]
    lengths = np.array([len(text) for text in padded])
    points = np.frombuffer("".join(padded).encode("utf-32-le"), np.uint32)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    grams = np.zeros(len(points) - config.shingle + 1, np.uint32)
    for offset in range(config.shingle):
        grams = grams * np.uint32(0x01000193) + points[offset : offset + len(grams)]
    inside = np.ones(len(grams), bool)
    for offset in range(1, config.shingle):
        inside[ends[:-1] - offset] = False
    hashed = _mix(grams[inside])
    first = starts - np.arange(len(texts)) * (config.shingle - 1)
    permutations = MinHash(num_perm=config.num_perm, seed=1, scheme="affine32").permutations
    found = np.empty((len(texts), config.num_perm), np.uint32)
    for column, (a, b) in enumerate(permutations.T):
        found[:, column] = np.minimum.reduceat(hashed * a + b, first)
    return found


def buckets(
    found: Signatures, threshold: float, config: NearDuplicateConfig
) -> npt.NDArray[np.int64]:
    """Bucket number per row and band, shape (rows, bands); -1 where a row is alone in it.

    The banding is datasketch's optimum for the threshold.
    """
    weights = (1 - config.recall_weight, config.recall_weight)
    banding = MinHashLSH(threshold=threshold, num_perm=config.num_perm, weights=weights)
    numbers = np.full((len(found), banding.b), -1, np.int64)
    used = 0
    for band in range(banding.b):
        part = np.ascontiguousarray(found[:, band * banding.r : (band + 1) * banding.r])
        keys = part.view([("", part.dtype)] * banding.r).ravel()
        _, bucket, size = np.unique(keys, return_inverse=True, return_counts=True)
        shared = size[bucket] > 1
        numbers[shared, band] = bucket[shared] + used
        used += len(size)
    return numbers


def neighbours(
    texts: Sequence[str], threshold: float, config: NearDuplicateConfig
) -> Iterator[tuple[int, int, float]]:
    """Every pair (i < j, exact Jaccard) at or above the threshold that shares a bucket."""
    members: dict[int, list[int]] = defaultdict(list)
    shingled = {}
    for j, row in enumerate(buckets(signatures(texts, config), threshold, config)):
        mine = [int(number) for number in row if number >= 0]
        if mine:
            shingled[j] = matching.shingles(texts[j], config.shingle)
        for i in sorted({i for number in mine for i in members[number]}):
            score = matching.jaccard(shingled[i], shingled[j])
            if score >= threshold:
                yield i, j, score
        for number in mine:
            members[number].append(j)


def _mix(values: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    # MurmurHash3's finaliser: code points are far from uniform, and affine maps keep structure.
    values = (values ^ (values >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    values = (values ^ (values >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return values ^ (values >> np.uint32(16))
