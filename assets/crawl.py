"""The corpus (paper section 3.1): one asset per configured source."""

from collections.abc import Iterator

import dagster as dg
import pyarrow as pa

from assets.metadata import outputs, results
from chillguard import crawl
from chillguard.rows import records


def crawled_posts(source: str) -> dg.AssetsDefinition:
    """The assets `crawled_posts/<source>` and `rejected_rows/crawled_posts/<source>`."""
    posts_key = dg.AssetKey(["crawled_posts", source])
    rejects_key = dg.AssetKey(["rejected_rows", "crawled_posts", source])

    @dg.multi_asset(
        name=f"crawled_posts__{source}",
        group_name="crawl",
        outs=outputs(
            {
                posts_key: "post, personal data replaced",
                rejects_key: "input row that cannot be used",
            }
        ),
        ins={"expanded_keywords": dg.AssetIn("expanded_keywords")},
        can_subset=True,
        required_resource_keys={f"crawler_{source}", "settings", "state"},
    )
    def crawled(
        context: dg.AssetExecutionContext,
        expanded_keywords: pa.Table,
    ) -> Iterator[dg.MaterializeResult[pa.Table]]:
        crawler = getattr(context.resources, f"crawler_{source}")
        taken_down = context.resources.state.taken_down()
        rejects: list[records.Reject] = []
        found = crawler.crawl(expanded_keywords.to_pylist(), rejects, context.log.info, taken_down)
        posts = crawl.posts(
            found,
            source,
            expanded_keywords,
            crawler.config.terms,
            context.resources.settings.crawl,
            taken_down,
        )
        rejected = records.rejected_rows(rejects)
        yield from results(context, {posts_key: posts, rejects_key: rejected})

    return crawled
