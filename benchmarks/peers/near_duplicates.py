"""Near-duplicate pairs of a list of texts by datasketch, rensa or Daft, as their manuals show.

All get 128 permutations over sets of three characters and the threshold 0.7. Imports and reading
are not timed. None of them verifies what it proposes.
"""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

PERMUTATIONS, SIZE, THRESHOLD = 128, 3, 0.7
# 25 bands of 5, the bands of ours; rensa divides the permutations evenly, so it gets 32 of 4.
BANDS, ROWS = 25, 5
RENSA_BANDS = 32
Pairs = set[tuple[int, int]]


def shingles(text: str) -> set[str]:
    """The runs of three characters of a text."""
    return {text[i : i + SIZE] for i in range(max(1, len(text) - SIZE + 1))}


def datasketch() -> Callable[[list[str]], Pairs]:
    """MinHash.bulk and MinHashLSH with its own banding for the threshold."""
    from datasketch import MinHash, MinHashLSH

    def find(texts: list[str]) -> Pairs:
        encoded = [[gram.encode() for gram in shingles(text)] for text in texts]
        found = MinHash.bulk(encoded, num_perm=PERMUTATIONS)
        index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
        pairs = set()
        for row, minhash in enumerate(found):
            pairs |= {(other, row) for other in index.query(minhash)}
            index.insert(row, minhash)
        return pairs

    return find


def rensa() -> Callable[[list[str]], Pairs]:
    """RMinHash and RMinHashLSH in their calls for many texts."""
    from rensa import RMinHash, RMinHashLSH

    def find(texts: list[str]) -> Pairs:
        sets = [list(shingles(text)) for text in texts]
        found = RMinHash.from_token_sets(sets, num_perm=PERMUTATIONS, seed=1)
        index = RMinHashLSH(THRESHOLD, PERMUTATIONS, RENSA_BANDS)
        index.insert_many(found)
        near = enumerate(index.query_all(found))
        return {(other, row) for row, others in near for other in others if other < row}

    return find


def daft() -> Callable[[list[str]], Pairs]:
    """Daft's minhash over characters with spaces between; the bands are grouped here."""
    import daft
    import numpy
    from daft.functions import minhash

    # Daft starts its threads on first use.
    daft.from_pydict({"a": [1]}).collect()

    def find(texts: list[str]) -> Pairs:
        table = daft.from_pydict({"text": [" ".join(text) for text in texts]})
        column = minhash(daft.col("text"), num_hashes=PERMUTATIONS, ngram_size=SIZE)
        rows = table.select(column.alias("found")).to_arrow()["found"].combine_chunks()
        found = numpy.asarray(rows.flatten()).reshape(len(texts), PERMUTATIONS)
        pairs = set()
        for band in range(BANDS):
            groups = defaultdict(list)
            part = numpy.ascontiguousarray(found[:, band * ROWS : (band + 1) * ROWS])
            for row, key in enumerate(part):
                groups[key.tobytes()].append(row)
            for group in groups.values():
                pairs.update(combinations(group, 2))
        return pairs

    return find


def main() -> None:
    """Arguments: name, file of texts, file for the pairs."""
    name, texts, target = sys.argv[1:]
    find = {"datasketch": datasketch, "rensa": rensa, "daft": daft}[name]()
    rows = json.loads(Path(texts).read_text("utf-8"))
    began, used = time.perf_counter(), time.process_time()
    pairs = find(rows)
    report = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - used}
    Path(target).write_text(json.dumps(sorted(pairs)))
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
