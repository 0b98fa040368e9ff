"""Checks of a finished home by other code than the product's: plain sets over the stored files.

Nothing of the project is imported here. Near-duplicates are joined exactly, by a prefix filter over
character trigrams, where the product uses MinHash and banding.
"""

import json
import math
import unicodedata
from collections import Counter, defaultdict

import opencc
import pyarrow.parquet as pq
import pypinyin

THRESHOLD = 0.7
_SIMPLIFY = opencc.OpenCC("t2s")
TRADITIONAL = opencc.OpenCC("s2t")


def rows(home, key):
    """Rows of a table of the last run."""
    return pq.read_table(home / "tables" / key / "part-00000.parquet").to_pylist()


def newest(home):
    """Folder of the newest release."""
    folders = [path.parent for path in home.glob("release/*/release.json")]
    return max(folders, key=lambda f: json.loads((f / "release.json").read_text())["number"])


def sides(folder):
    """Rows of Train and of Test of a release, by prompt id."""
    return [
        {row["prompt_id"]: row for row in pq.read_table(folder / f"{name}.parquet").to_pylist()}
        for name in ("train", "test")
    ]


def funnel(home, lines):
    """Sentences about rows that vanish or appear between `lines` of the file and the release."""
    kept = {}
    for key in ("real", "annotated", "rewritten", "public", "synthesized", "candidate", "clean"):
        table = rows(home, f"{key}_prompts")
        kept[key] = Counter(r["prompt_id"] for r in table if r["drop_reason"] is None)
        kept[f"all {key}"] = Counter(r["prompt_id"] for r in table)
    labeled = rows(home, "labeled_prompts")
    ends = [
        r["prompt_id"] for k in ("train_set", "test_set", "release_drops") for r in rows(home, k)
    ]
    born = kept["annotated"] + kept["rewritten"] + kept["public"] + kept["synthesized"]
    rejected = len(rows(home, "rejected_rows/real_prompts"))
    pairs = {
        "file": (lines, kept["all real"].total() + rejected),
        "annotated": (kept["real"], kept["all annotated"]),
        "candidate": (born, kept["all candidate"]),
        "clean": (kept["candidate"], kept["all clean"]),
        "labeled": (kept["clean"], Counter(r["prompt_id"] for r in labeled)),
        "release": (
            Counter(r["prompt_id"] for r in labeled if r["drop_reason"] is None),
            Counter(ends),
        ),
    }
    return [name for name, (before, after) in pairs.items() if before != after]


def losses(home):
    """Sentences where the loss ledger of the newest release and the tables name other rows."""
    ledger = pq.read_table(newest(home) / "losses.parquet").to_pylist()
    named = Counter((row["asset"], row["row_id"]) for row in ledger)
    found = Counter()
    for path in home.glob("tables/**/*.parquet"):
        asset = str(path.parent.relative_to(home / "tables"))
        table = pq.read_table(path)
        if "drop_reason" in table.column_names:
            key = "prompt_id" if "prompt_id" in table.column_names else "post_id"
            found.update((asset, r[key]) for r in table.to_pylist() if r["drop_reason"])
    return [pair for pair in found if named[pair] != found[pair]]


def leaks(train, test):
    """Pairs of Train and Test that share a family, a parent or a text, or are near-duplicates."""
    found = []
    for what, values in (
        ("family", lambda row: [row["family_id"]]),
        ("parent", lambda row: [*row["parent_ids"], row["prompt_id"]]),
        ("text", lambda row: [plain(row["text"])]),
    ):
        there = {value: key for key, row in test.items() for value in values(row)}
        found += [
            (what, key, there[value])
            for key, row in train.items()
            for value in values(row)
            if value in there
        ]
    return found + [("near", *pair) for pair in _near(train, test)]


def plain(text):
    folded = unicodedata.normalize("NFKC", text).lower()
    return _SIMPLIFY.convert("".join(c for c in folded if c.isalnum()))


def _grams(text):
    folded = plain(text)
    return {folded[i : i + 3] for i in range(max(1, len(folded) - 2))}


def _near(train, test):
    """Every pair at or above the threshold: an exact join with a prefix filter."""
    grams = {key: _grams(row["text"]) for side in (train, test) for key, row in side.items()}
    frequency = Counter(gram for own in grams.values() for gram in own)

    def prefix(key):
        rare_first = sorted(grams[key], key=lambda gram: (frequency[gram], gram))
        return rare_first[: len(rare_first) - math.ceil(THRESHOLD * len(rare_first)) + 1]

    index = defaultdict(list)
    for key in test:
        for gram in prefix(key):
            index[gram].append(key)
    for key in train:
        for other in {other for gram in prefix(key) for other in index.get(gram, ())}:
            mine, its = grams[key], grams[other]
            if len(mine & its) >= THRESHOLD * len(mine | its):
                yield key, other


def difference(before, after):
    """What changed between two releases (rows by id, both sides): sets of ids by kind."""
    both = before.keys() & after.keys()
    return {
        "added": after.keys() - before.keys(),
        "removed": before.keys() - after.keys(),
        "verdict": {
            k for k in both if any(before[k][c] != after[k][c] for c in ("label", "micro_category"))
        },
        "moved": {k for k in both if before[k]["split"] != after[k]["split"]},
        "any": {k for k in both if before[k] != after[k]},
    }


def told(folder):
    """What `changes.parquet` of a release says, in the kinds of `difference`."""
    found = defaultdict(set)
    for row in pq.read_table(folder / "changes.parquet").to_pylist():
        found[row["change"]].add(row["prompt_id"])
    verdict = found["label_flip"] | found["relabeled"]
    return {
        "added": found["added"],
        "removed": found["removed"],
        "verdict": verdict,
        "any": verdict | found["edited"] | found["other"],
    }


def root_sides(home, folder=None):
    """Sides by root text, in its plain form and as it is read, of the rows of a release.

    A root is found over the parents of a row in the tables of the last run.
    """
    texts, parents = {}, {}
    for path in home.glob("tables/**/*.parquet"):
        table = pq.read_table(path)
        names = set(table.column_names)
        if {"post_id", "text"} <= names:
            texts |= {row["post_id"]: row["text"] for row in table.to_pylist()}
        if {"prompt_id", "parent_ids", "text"} <= names:
            for row in table.to_pylist():
                parents[row["prompt_id"]] = row["parent_ids"]
                text = row.get("translated_from") or row["text"]
                texts.setdefault(row["prompt_id"], text)
    found = {"plain": defaultdict(set), "read": defaultdict(set)}
    for side, of_side in zip(("train", "test"), sides(folder or newest(home)), strict=True):
        for key in of_side:
            for root in _roots(key, parents):
                if texts[root]:
                    found["plain"][plain(texts[root])].add(side)
                    found["read"][_read(texts[root])].add(side)
    return found


def _roots(key, parents):
    return (
        [root for parent in parents[key] for root in _roots(parent, parents)]
        if parents.get(key)
        else [key]
    )


def _read(text):
    return "".join(reading for reading in pypinyin.lazy_pinyin(plain(text)))


def both(found):
    """Root texts that stand on both sides, by form."""
    return {form: [text for text, at in of.items() if len(at) > 1] for form, of in found.items()}


def changed(before, now):
    """Root texts of which the side is another one than before (both of `root_sides`), by form."""
    return {
        form: [text for text, at in of.items() if before[form].get(text, at) != at]
        for form, of in now.items()
    }
