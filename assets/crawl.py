"""The corpus (paper section 3.1): one asset per configured source."""

import re
from collections.abc import Iterator

import dagster as dg
import pyarrow as pa

from assets.metadata import outputs, results
from chillguard import crawl, identity
from chillguard.rows import records

_SPELT, _DIGITS = 40, 8
_NO_KEY = re.compile(r"[^A-Za-z0-9_]+")


def key_part(source: str) -> str:
    """The name of a source as a part of asset keys, which Dagster wants in Latin letters.

    A name in Latin letters, digits and `_` is its own; any other is spelt in Latin letters, with a
    digest so that no two are one. Rows keep the name as it is given.
    """
    if source.isascii() and source.isidentifier():
        return source
    from pypinyin import lazy_pinyin

    spelt = _NO_KEY.sub("_", "".join(lazy_pinyin(source))).strip("_").lower()
    return f"{spelt[:_SPELT]}_{identity.digest(source)[:_DIGITS]}".lstrip("_")


def crawled_posts(source: str) -> dg.AssetsDefinition:
    """The assets `crawled_posts/<source>` and `rejected_rows/crawled_posts/<source>`."""
    part = key_part(source)
    posts_key = dg.AssetKey(["crawled_posts", part])
    rejects_key = dg.AssetKey(["rejected_rows", "crawled_posts", part])

    @dg.multi_asset(
        name=f"crawled_posts__{part}",
        group_name="crawl",
        outs=outputs(
            {
                posts_key: "post, personal data replaced",
                rejects_key: "input row that cannot be used",
            }
        ),
        ins={"expanded_keywords": dg.AssetIn("expanded_keywords")},
        can_subset=True,
        required_resource_keys={f"crawler_{part}", "settings", "state"},
    )
    def crawled(
        context: dg.AssetExecutionContext,
        expanded_keywords: pa.Table,
    ) -> Iterator[dg.MaterializeResult[pa.Table]]:
        crawler = getattr(context.resources, f"crawler_{part}")
        taken_down = context.resources.state.taken_down()
        rejects: list[records.Reject] = []
        read = crawler.crawl(expanded_keywords.to_pylist(), rejects, context.log.info, taken_down)
        posts = crawl.posts(
            read,
            source,
            expanded_keywords,
            crawler.config.terms,
            context.resources.settings.crawl,
            taken_down,
        )
        rejected = records.rejected_rows(rejects)
        yield from results(context, {posts_key: posts, rejects_key: rejected})

    return crawled
