"""Whatever is released in whatever order: sides, families, shares and accounts hold."""

from collections import Counter, defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from chillguard.cleaning import survivors
from chillguard.release import sides, split
from chillguard.tables import lineage
from tests.chillguard import builders

TEXTS = {n: builders.mixed(n, words=8) for n in range(12)}
# One text is a near-copy of another, so leaks and duplicates do happen.
TEXTS[11] = TEXTS[10][:-4] + "甲" + TEXTS[10][-3:]
GATES = st.sampled_from([0.5, 0.7, 0.9]).map(
    lambda dup: survivors.CleaningConfig(duplicate_threshold=dup, leak_threshold=0.5)
)
CONFIGS = st.sampled_from(
    [
        split.SplitConfig(),
        split.SplitConfig(test_share=0.5, max_per_category=3),
        split.SplitConfig(safe_ratio=0.5),
    ]
)


@st.composite
def pools(draw):
    """Rows in any family graph: roots, children of roots, public rows; labels may be missing."""
    rows = []
    for number in range(draw(st.integers(1, 16))):
        root = draw(st.integers(0, 7))
        origin = "public" if root == 7 else draw(st.sampled_from(["real", "rag", "rewrite"]))
        family = f"p{number}" if origin == "public" else f"f{root}"
        row = builders.labeled(
            f"k{number:02}",
            TEXTS[draw(st.integers(0, 11))],
            draw(st.sampled_from([None, "M1a", "M2b"])),
            origin=origin,
            family_id=family,
            may_train=draw(st.sampled_from([True, True, True, False])),
        )
        rows.append(row)
    return rows


@st.composite
def sequences(draw):
    """Up to five releases, each of any part of the pool, some rows undecided, some relabelled."""
    pool = draw(pools())
    found = []
    for _ in range(draw(st.integers(1, 4))):
        rows = [dict(row) for row in pool if draw(st.booleans())]
        for row in rows:
            row["drop_reason"] = draw(st.sampled_from([None, None, None, "unresolved"]))
            if draw(st.integers(0, 9)) == 0:
                row |= {"label": "safe", "micro_category": None, "macro_category": None}
        found.append(rows)
    return found


def _releases(sequence, config, gate):
    """Releases one after another, state carried over as the assets carry it."""
    released, frozen = set(), {}
    for rows in sequence:
        table = lineage.LABELED_PROMPTS.build(rows)
        parts = sides.prepare(table, sides.Earlier(released, frozen), config, gate, {})
        new = sides.new_families(parts, frozen)
        yield rows, dict(frozen), parts
        released |= set(sides.both(parts)["prompt_id"].to_pylist())
        frozen |= {row["family_id"]: row["split"] for row in new.to_pylist()}


def _sides_hold(ever, frozen, parts):
    for row in sides.both(parts).to_pylist():
        ever[row["family_id"]].add(row["split"])
        assert row["origin"] != "public" or row["split"] == "train"
        assert frozen.get(row["family_id"], row["split"]) == row["split"]
    assert all(len(seen) == 1 for seen in ever.values())


def _every_row_ends_once(rows, parts):
    tables = (parts.train, parts.test, parts.drops)
    ends = [key for table in tables for key in table["prompt_id"].to_pylist()]
    wanted = [row["prompt_id"] for row in rows if row["drop_reason"] is None]
    assert Counter(ends) == Counter(wanted)
    for row in parts.drops.to_pylist():
        assert row["drop_reason"] in {"terms", "duplicate", "near_duplicate", "balance", "leak"}
        assert row["drop_evidence"]


def _no_pair_is_near(parts, gate):
    def grams(text):
        plain, size = text.rstrip("？"), gate.shingles.shingle
        return {plain[i : i + size] for i in range(len(plain) - size + 1)}

    for one in parts.train["text"].to_pylist():
        for other in parts.test["text"].to_pylist():
            mine, its = grams(one), grams(other)
            assert len(mine & its) < gate.leak_threshold * len(mine | its)


@settings(max_examples=15, deadline=None)
@given(sequences(), CONFIGS, GATES)
def test_sides_accounts_and_distances_hold_after_every_release(sequence, config, gate):
    ever, released, frozen = defaultdict(set), set(), {}
    for rows, known, parts in _releases(sequence, config, gate):
        _sides_hold(ever, known, parts)
        _every_row_ends_once(rows, parts)
        _no_pair_is_near(parts, gate)
        released |= set(sides.both(parts)["prompt_id"].to_pylist())
        new = sides.new_families(parts, known).to_pylist()
        frozen = known | {row["family_id"]: row["split"] for row in new}
    table, earlier = lineage.LABELED_PROMPTS.build(rows), sides.Earlier(released, frozen)
    again = sides.prepare(table, earlier, config, gate, {})
    version = sides.version(parts.train, parts.test)
    assert sides.version(again.train, again.test) == version
    assert sides.new_families(again, frozen).num_rows == 0


@settings(max_examples=60, deadline=None)
@given(sequences(), st.sampled_from([0.3, 0.5]))
def test_a_stratum_drifts_no_farther_from_the_share_than_freezing_forces_it(sequence, share):
    """New families leave a stratum within one family of the share, or nearer to it than before."""
    config, frozen = split.SplitConfig(test_share=share), {}
    for rows in sequence:
        side_of = split.assign(rows, frozen, config)
        over = defaultdict(float)
        before, largest = defaultdict(float), Counter()
        for key, own in _families(rows).items():
            stratum = _stratum(own)
            step = len(own) * ((side_of[key] == "test") - share)
            over[stratum] += step
            before[stratum] += step * (key in frozen)
            largest[stratum] = max(largest[stratum], len(own))
        for stratum, now in over.items():
            bound = max(largest[stratum], abs(before[stratum]))
            assert abs(now) <= bound + 1e-9
        frozen |= side_of


def _families(rows):
    found = defaultdict(list)
    for row in rows:
        if row["origin"] != "public":
            found[row["family_id"]].append(row)
    return found


def _stratum(rows):
    counts = Counter(split.stratum(row) for row in rows)
    return min(counts, key=lambda name: (-counts[name], name))
