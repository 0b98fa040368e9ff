"""The parts of a profile: sources of posts by kind, embedder, vector store."""

import pytest
import yaml

from pipelines import profile as profiles
from pipelines.profile import ProfileError
from resources.crawlers.source import NetworkSource


@pytest.fixture
def write(tmp_path):
    """A function that writes a profile that extends `offline` and returns its path."""

    def make(**document):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump({"extends": "offline", **document}), "utf-8")
        return str(path)

    return make


@pytest.fixture
def sentence(write):
    """A function that gives the error of a profile, without its path."""

    def said(**document):
        path = write(**document)
        with pytest.raises(ProfileError) as caught:
            profiles.load(path)
        message = str(caught.value)
        assert message.startswith(f"profile {path}: ")
        assert "\n" not in message
        return message.removeprefix(f"profile {path}: ")

    return said


KINDS = [
    {"kind": "bluesky"},
    {"kind": "hub_dataset", "dataset": "someone/texts"},
    {"kind": "mastodon", "url": "https://example.org"},
    {"kind": "quora"},
    {"kind": "searxng", "url": "http://127.0.0.1:8888"},
    {"kind": "weibo"},
    {"kind": "x"},
]


@pytest.mark.parametrize("source", KINDS, ids=lambda source: source["kind"])
def test_a_network_source_is_off_and_its_terms_are_closed_until_somebody_says_else(write, source):
    files = {"name": "mine", "path": "p.jsonl"}
    profile = profiles.load(write(posts=[files, {"name": "net", **source}]))
    _, net = profile.posts
    assert isinstance(net, NetworkSource)
    assert (net.kind, net.enabled) == (source["kind"], False)
    assert net.terms == {"may_redistribute": False, "may_train": False}
    assert [one.name for one in profile.crawled] == ["mine"]


@pytest.mark.parametrize("source", KINDS, ids=lambda source: source["kind"])
def test_an_enabled_network_source_is_crawled(write, source):
    profile = profiles.load(write(posts=[{"name": "net", "enabled": True, **source}]))
    assert [one.name for one in profile.crawled] == ["net"]


@pytest.mark.parametrize("name", sorted(path.stem for path in profiles.SHIPPED.glob("*.yaml")))
def test_every_network_source_of_a_shipped_profile_is_off_and_its_terms_are_closed(name):
    profile = profiles.load(name)
    network = [source for source in profile.posts if isinstance(source, NetworkSource)]
    assert [source.name for source in network if source.enabled] == []
    assert {term for source in network for term in source.terms.values()} <= {False}
    assert [source.kind for source in profile.crawled] == ["files"] * len(profile.crawled)
    assert profile.crawled


def test_a_source_without_a_kind_is_a_file(write):
    profile = profiles.load(write(posts=[{"name": "mine", "path": "p.jsonl"}]))
    assert profile.posts[0].kind == "files"
    assert profile.crawled == profile.posts


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"name": "a", "kind": "telepathy"}, "posts.0: Input tag 'telepathy' found using 'kind'"),
        ({"kind": "quora"}, "posts.0.quora.name: Field required"),
        (
            {"name": "a", "kind": "quora", "path": "p"},
            "posts.0.quora.path: there is no such setting",
        ),
        ({"name": "a", "kind": "files", "enabled": True, "path": "p"}, "posts.0.files.enabled"),
        ({"name": "a", "kind": "quora", "max_pages": 0}, "posts.0.quora.max_pages"),
        ({"name": "a", "kind": "quora", "languages": ["fr"]}, "posts.0.quora.languages.0"),
        ({"name": "a", "kind": "quora", "limits": {"rate": 1}}, "posts.0.quora.limits.rate"),
        ({"name": "a", "kind": "mastodon"}, "posts.0.mastodon.url: Field required"),
        ("forum.jsonl", "posts.0: "),
    ],
)
def test_a_source_that_cannot_be_is_named_by_its_place(sentence, source, says):
    assert sentence(posts=[source]).startswith(says)


@pytest.mark.parametrize("posts", [None, 3, "posts.jsonl", {"name": "a"}])
def test_posts_that_are_no_list_are_named(sentence, posts):
    assert sentence(posts=posts).startswith("posts")


def test_names_of_files_and_network_sources_must_differ(sentence):
    both = [{"name": "one", "path": "p.jsonl"}, {"name": "one", "kind": "quora"}]
    assert "source names must be unique" in sentence(posts=both)


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"kind": None}, "embedder.kind: Input should be"),
        ({"kind": "word2vec"}, "embedder.kind: Input should be"),
        ({"kind": "bge-m3", "colour": "red"}, "embedder.colour: there is no such setting"),
        ({"kind": "endpoint"}, "embedder: kind endpoint needs `url` (ending in /v1)"),
        ({"kind": "endpoint", "url": "http://x/v1"}, "embedder: kind endpoint needs"),
        ({"kind": "endpoint", "model": "m"}, "embedder: kind endpoint needs `url`"),
        (
            {"kind": "endpoint", "model": "m", "url": "http://x/v1", "api_key": "sk-secret"},
            "embedder.api_key: Input should be",
        ),
    ],
)
def test_an_embedder_that_cannot_be_is_told_what_it_lacks(sentence, part, says):
    message = sentence(embedder=part)
    assert message.startswith(says)
    assert "sk-secret" not in message


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"kind": "faiss"}, "vector_store.kind: Input should be"),
        ({"kind": "qdrant"}, "vector_store: kind qdrant needs `url`"),
        ({"kind": "edge", "quantization": "int4"}, "vector_store.quantization: Input should be"),
        ({"kind": "edge", "folder": "x"}, "vector_store.folder: there is no such setting"),
        (
            {"kind": "qdrant", "url": "http://x", "api_key": "sk-secret"},
            "vector_store.api_key: Input should be",
        ),
    ],
)
def test_a_vector_store_that_cannot_be_is_told_what_it_lacks(sentence, part, says):
    message = sentence(vector_store=part)
    assert message.startswith(says)
    assert "sk-secret" not in message


def test_a_query_may_be_kept_to_languages_sources_and_terms(write, sentence):
    posts = {"languages": ["zh"], "sources": ["mine"], "redistributable_only": True}
    found = profiles.load(write(settings={"synthesis": {"posts": posts}})).settings.synthesis.posts
    assert found.model_dump(mode="json") == posts
    with_fault = {"settings": {"synthesis": {"posts": {"lang": "zh"}}}}
    assert sentence(**with_fault).startswith(
        "settings.synthesis.posts.lang: there is no such setting"
    )
