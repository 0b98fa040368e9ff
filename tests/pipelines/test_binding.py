"""From the parts of a profile to the resources that do it."""

import dagster as dg
import pytest
import yaml

from chillguard.tables import lineage
from pipelines import definitions
from pipelines import profile as profiles
from resources.crawlers.crawler import NetworkCrawler
from resources.crawlers.files import FilesCrawler
from resources.home.whole import write_parquet
from resources.vectors.edge_store import EdgeStore
from resources.vectors.embedding import BgeM3Embedder, EndpointEmbedder
from resources.vectors.hashed import HashedEmbedder
from resources.vectors.qdrant_store import QdrantStore
from tests.chillguard import builders


@pytest.fixture
def build(tmp_path):
    """A function from profile settings to the definitions of a profile that extends `offline`."""

    def made(**document):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump({"extends": "offline", **document}), "utf-8")
        return definitions.build(profiles.load(str(path)), tmp_path / "home")

    return made


ENDPOINT = {"kind": "endpoint", "url": "http://127.0.0.1:9/v1", "model": "m"}
SETTINGS = {"path": "/models/m3", "dimension": 64, "sparse": True, "batch_size": 3}


@pytest.mark.parametrize(
    ("part", "kind", "settings"),
    [
        ({}, HashedEmbedder, {"dimension": 256}),
        ({"kind": "bge-m3"}, BgeM3Embedder, {"model": "BAAI/bge-m3", "dimension": 1024}),
        ({"kind": "bge-m3", **SETTINGS}, BgeM3Embedder, SETTINGS),
        (ENDPOINT, EndpointEmbedder, {"model": "m", "dimension": 1024, "api_key": None}),
        ({**ENDPOINT, "dimension": 64}, EndpointEmbedder, {"dimension": 64}),
    ],
)
def test_the_profile_chooses_the_embedder_and_its_settings(build, part, kind, settings):
    embedder = build(embedder=part).resources["retrieval"].embedder
    assert type(embedder) is kind
    assert {name: getattr(embedder, name) for name in settings} == settings


@pytest.mark.parametrize(
    ("part", "kind", "settings"),
    [
        ({}, EdgeStore, {"exact": True, "quantization": "none"}),
        ({"exact": False, "ef": 64}, EdgeStore, {"exact": False, "ef": 64}),
        ({"kind": "edge", "quantization": "int8"}, EdgeStore, {"quantization": "int8"}),
        (
            {"kind": "qdrant", "url": "http://q:6333", "collection": "mine", "m": 8, "grpc": False},
            QdrantStore,
            {"url": "http://q:6333", "collection": "mine", "m": 8, "grpc": False, "exact": False},
        ),
        (
            {"kind": "qdrant", "url": "http://q:6333", "payload_indexes": ["terms"]},
            QdrantStore,
            {"payload_indexes": ["terms"], "quantization": "none"},
        ),
        (
            {"kind": "qdrant", "url": "http://q:6333", "quantization": "int8"},
            QdrantStore,
            {"payload_indexes": ["lang", "sources", "terms"], "quantization": "int8"},
        ),
    ],
)
def test_the_profile_chooses_the_vector_store_and_its_settings(build, part, kind, settings):
    store = build(vector_store=part).resources["retrieval"].vector_store
    assert type(store) is kind
    assert {name: getattr(store, name) for name in settings} == settings


def test_addresses_and_keys_are_references_to_the_environment(build, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "sk-quite-secret")
    named = {"url": {"env": "SOME_URL"}, "api_key": {"env": "SOME_KEY"}}
    resources = build(
        embedder={"kind": "endpoint", "model": "m", **named},
        vector_store={"kind": "qdrant", **named},
    ).resources
    for one in (resources["retrieval"].embedder, resources["retrieval"].vector_store):
        assert isinstance(one.url, dg.EnvVar)
        assert isinstance(one.api_key, dg.EnvVar)
    assert "sk-quite-secret" not in repr(resources)


NET = {"name": "net", "kind": "x", "enabled": True}
FILE = {"name": "mine", "path": "p.jsonl"}


def test_each_source_that_is_on_has_its_crawler_and_its_asset(build):
    off = {"name": "off", "kind": "weibo"}
    defs = build(posts=[FILE, NET, off])
    assert isinstance(defs.resources["crawler_mine"], FilesCrawler)
    assert isinstance(defs.resources["crawler_net"], NetworkCrawler)
    assert "crawler_off" not in defs.resources
    keys = {spec.key.to_user_string() for spec in defs.resolve_all_asset_specs()}
    crawled = {key for key in keys if key.startswith("crawled_posts/")}
    assert crawled == {"crawled_posts/mine", "crawled_posts/net"}


def test_crawled_posts_stand_where_the_ledger_stands(build):
    resources = build(posts=[NET], ledger={"env": "SOME_LEDGER"}).resources
    url = resources["llm"].ledger.url
    assert resources["crawler_net"].store.url == resources["takedown"].crawl_store.url == url


@pytest.mark.parametrize("kind", ["x", "weibo"])
def test_an_enabled_source_without_its_credential_says_so_once_its_asset_is_made(
    build, tmp_path, monkeypatch, kind
):
    monkeypatch.delenv("SOME_TOKEN", raising=False)
    defs = build(posts=[{**NET, "kind": kind, "token_env": "SOME_TOKEN"}])
    dg.Definitions.validate_loadable(defs)
    pool = lineage.EXPANDED_KEYWORDS.build([builders.keyword("A1", "公园散步")])
    path = tmp_path / "home" / "tables" / "expanded_keywords" / "part-00000.parquet"
    write_parquet(pool.cast(lineage.EXPANDED_KEYWORDS.arrow), path)
    job = defs.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        run = job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(["crawled_posts", "net"])],
            raise_on_error=False,
        )
    assert not run.success
    [failure] = run.get_step_failure_events()
    error = failure.event_specific_data.error
    assert (
        "source 'net' needs credentials: set the environment variable SOME_TOKEN, or set "
        "`enabled: false` for it in the profile"
    ) in str(error.cause or error)


def test_a_credential_that_is_set_is_read_when_the_run_starts(build, monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "sk-quite-secret")
    crawler = build(posts=[{**NET, "token_env": "SOME_TOKEN"}]).resources["crawler_net"]
    assert isinstance(crawler.token, dg.EnvVar)
    assert crawler.token.env_var_name == "SOME_TOKEN"
    assert "sk-quite-secret" not in repr(crawler)
