"""The texts at the roots of families, and which families of Train and Test have the same one.

A root may be in no release itself: the post of a RAG prompt, a real prompt that only seeds
rewrites. Copies of it that nobody found before would bring rows that do not look alike.
"""

from collections.abc import Collection, Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from chillguard.cleaning import survivors
from chillguard.tables.rows import Texted, given
from chillguard.text import matching

Roots = Mapping[str, str]
_READ = ("real", "public")


def texts(candidates: pa.Table, posts: pa.Table) -> Roots:
    """Root text by family of `candidate_prompts`, before translation; `posts` is `post_index`."""
    read = candidates.filter(pc.is_in(candidates["origin"], value_set=pa.array(_READ)))
    original = pc.coalesce(read["translated_from"], read["text"])
    text_of = dict(zip(read["family_id"].to_pylist(), original.to_pylist(), strict=True))
    made = candidates.filter(pc.equal(candidates["origin"], "rag"))
    pairs = zip(made["parent_ids"].to_pylist(), made["family_id"].to_pylist(), strict=True)
    family_of = {post: family for parents, family in pairs for post in parents}
    shown = posts.filter(pc.is_in(posts["post_id"], value_set=pa.array([*family_of], pa.string())))
    for post, text in zip(shown["post_id"].to_pylist(), shown["text"].to_pylist(), strict=True):
        text_of.setdefault(family_of[post], text)
    return text_of


def alike(
    train: Collection[str],
    test: Collection[str],
    roots: Roots,
    config: survivors.CleaningConfig,
) -> Iterator[tuple[str, str, str]]:
    """Each family of Train and one of Test whose roots are near-duplicates or read the same.

    The third value says how alike they are.
    """
    here, there = (_rows(families, roots) for families in (train, test))
    read = {_read(given(row["text"])): row["family_id"] for row in there}
    for row in here:
        twin = read.get(_read(given(row["text"])))
        if twin is not None:
            yield row["family_id"], twin, "read the same"
    for row, other, score in survivors.leaks(here, there, config):
        yield row["family_id"], other["family_id"], f"jaccard={score:.3f}"


class _Root(Texted):
    family_id: str


def _rows(families: Collection[str], roots: Roots) -> list[_Root]:
    with_root = sorted(family for family in families if family in roots)
    return [{"family_id": family, "text": roots[family]} for family in with_root]


def _read(text: str) -> str:
    return matching.reading(matching.match_text(text)) or text
