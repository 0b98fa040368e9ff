from pathlib import Path

import pytest
import yaml

from pipelines import profile as profiles
from pipelines.profile import FromEnvironment, ProfileError

POSTS = {"name": "mine", "path": "in/posts.jsonl"}


@pytest.fixture
def write(tmp_path):
    """A function that writes a profile that extends `offline` and returns its path."""

    def make(stem="mine", **document):
        path = tmp_path / f"{stem}.yaml"
        path.write_text(yaml.safe_dump({"extends": "offline", **document}), "utf-8")
        return str(path)

    return make


def _sentence(name):
    with pytest.raises(ProfileError) as caught:
        profiles.load(name)
    return str(caught.value)


@pytest.mark.parametrize("name", ["offline", "paper", "cluster"])
def test_every_shipped_profile_loads_under_its_own_name(name):
    profile = profiles.load(name)
    assert profile.name == name
    assert len(profile.jurors) == 4
    assert profile.is_offline is (name == "offline")


def test_there_is_no_shipped_profile_that_is_not_tested():
    shipped = {path.stem for path in profiles.SHIPPED.glob("*.yaml")}
    assert shipped == {"offline", "paper", "cluster"}


def test_the_paper_s_profile_holds_the_paper_s_numbers():
    assert profiles.load("paper").settings == profiles.Settings()


def test_the_cluster_is_the_paper_on_ray_with_servers_and_shared_tables():
    paper, cluster = (profiles.load(name).model_dump() for name in ("paper", "cluster"))
    changed = {key for key in paper if paper[key] != cluster[key]}
    assert changed == {"name", "executor", "ledger", "vector_store", "tables", "translator"}
    assert cluster["executor"] == "ray"
    assert cluster["tables"] == {"env": "CHILLGUARD_TABLES_URL"}
    # On a GPU, which the step then asks Ray for.
    assert {**cluster["translator"], "device": None} == paper["translator"]
    assert cluster["vector_store"]["url"] == {"env": "QDRANT_URL"}
    assert cluster["ledger"] == {"env": "CHILLGUARD_LEDGER_URL"}


def test_files_of_the_offline_profile_ship_with_the_product():
    profile = profiles.load("offline")
    for source in (*profile.posts, *profile.real_prompts, *profile.public_prompts):
        assert source.path.is_absolute()
        assert source.path.is_file()


def test_a_profile_that_extends_changes_only_what_it_says(write):
    base, profile = profiles.load("offline"), profiles.load(write(executor="multiprocess"))
    changed = {k for k, v in base.model_dump().items() if profile.model_dump()[k] != v}
    assert changed == {"name", "executor"}
    assert profile.name == "mine"


def test_mappings_are_merged_key_by_key_and_lists_are_replaced(write):
    path = write(
        settings={"keywords": {"rounds": 1}},
        roles={"expander": {"revision": "r2"}},
        jurors=[{"model": f"m{slot}"} for slot in range(5)],
    )
    profile = profiles.load(path)
    assert (profile.settings.keywords.rounds, profile.settings.keywords.target) == (1, 24)
    assert profile.roles["expander"].model == "offline-expander"
    assert profile.roles["expander"].revision == "r2"
    assert [juror.model for juror in profile.jurors] == [f"m{slot}" for slot in range(5)]


def test_a_value_can_be_set_back_to_nothing(write):
    bounds = {"min_per_category": None}
    found = profiles.load(write(settings={"bounds": bounds})).settings.bounds
    assert found.min_per_category is None


def test_profiles_may_extend_one_another_by_path(tmp_path, write):
    write("base", executor="multiprocess", settings={"keywords": {"rounds": 2}})
    (tmp_path / "deep").mkdir()
    child = tmp_path / "deep" / "child.yaml"
    child.write_text("extends: ../base.yaml\nsettings: {keywords: {target: 30}}\n")
    profile = profiles.load(str(child))
    assert (profile.name, profile.executor) == ("child", "multiprocess")
    assert (profile.settings.keywords.rounds, profile.settings.keywords.target) == (2, 30)


def test_the_name_of_a_parent_is_not_inherited_but_an_own_one_counts(write, tmp_path):
    write("base", name="something")
    child = tmp_path / "child.yaml"
    child.write_text("extends: base.yaml\n")
    assert profiles.load(str(child)).name == "child"
    assert profiles.load(str(tmp_path / "base.yaml")).name == "something"


def test_paths_are_relative_to_the_profile_that_names_them(tmp_path, write, monkeypatch):
    path = write(taxonomy="my/taxonomy.yaml", posts=[POSTS], seed_keywords="/abs/seeds.yaml")
    child = tmp_path / "deep" / "child.yaml"
    child.parent.mkdir()
    child.write_text("extends: ../mine.yaml\n")
    monkeypatch.chdir("/")
    for name in (path, str(child)):
        profile = profiles.load(name)
        assert profile.taxonomy == str(tmp_path / "my" / "taxonomy.yaml")
        assert profile.seed_keywords == "/abs/seeds.yaml"
        assert profile.posts[0].path == tmp_path / "in" / "posts.jsonl"


def test_packaged_files_are_left_as_they_are_named(write):
    assert profiles.load(write()).taxonomy == "packaged:taxonomy.yaml"


def test_a_profile_is_found_relative_to_the_working_folder(write, tmp_path, monkeypatch):
    write()
    monkeypatch.chdir(tmp_path)
    assert profiles.load("mine.yaml").name == "mine"


def test_secrets_are_named_not_held(write, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "sk-quite-secret")
    role = {"model": "m", "url": {"env": "SOME_URL"}, "api_key": {"env": "SOME_KEY"}}
    profile = profiles.load(write(roles={"expander": role}))
    assert profile.roles["expander"].url == FromEnvironment(env="SOME_URL")
    assert profile.roles["expander"].api_key == FromEnvironment(env="SOME_KEY")
    assert "sk-quite-secret" not in profile.model_dump_json()


def test_a_key_that_stands_in_the_profile_itself_is_refused_without_repeating_it(write):
    path = write(roles={"expander": {"model": "m", "api_key": "sk-quite-secret"}})
    sentence = _sentence(path)
    assert "roles.expander.api_key" in sentence
    assert "sk-quite-secret" not in sentence


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"colour": "red"}, "colour"),
        ({"settings": {"split": {"shares": 1}}}, "settings.split.shares"),
        ({"settings": {"cooking": {}}}, "settings.cooking"),
        ({"roles": {"expander": {"modell": "m"}}}, "roles.expander.modell"),
        ({"executor": "slurm"}, "executor"),
        ({"embedder": "word2vec"}, "embedder"),
        ({"jurors": 4}, "jurors"),
        ({"jurors": [{"url": "offline"}]}, "jurors.0.model"),
        ({"posts": [{"name": "a"}]}, "posts.0.files.path"),
        ({"real_prompts": [{**POSTS, "columns": {"txt": "text"}}]}, "real_prompts.0.columns.txt"),
        ({"real_prompts": [{**POSTS, "labels": {"yes": "bad"}}]}, "real_prompts.0.labels.yes"),
    ],
)
def test_an_unknown_key_or_value_is_named_by_its_place_in_one_sentence(write, document, place):
    path = write(**document)
    sentence = _sentence(path)
    assert sentence.startswith(f"profile {path}: {place}")
    assert "\n" not in sentence


def test_too_few_jurors_for_the_quorum_are_refused(write):
    sentence = _sentence(write(jurors=[{"model": "a"}, {"model": "b"}]))
    assert "2 jurors can never give a quorum of 3" in sentence


@pytest.mark.parametrize("count", [3, 4, 5])
def test_three_to_five_jurors_can_give_a_quorum(write, count):
    jurors = [{"model": str(slot)} for slot in range(count)]
    assert len(profiles.load(write(jurors=jurors)).jurors) == count


def test_a_role_without_a_model_is_named(tmp_path):
    document = yaml.safe_load((profiles.SHIPPED / "offline.yaml").read_text("utf-8"))
    del document["samples"], document["roles"]["rewriter"], document["roles"]["expander"]
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(document), "utf-8")
    assert "no model is bound to role expander, rewriter" in _sentence(str(path))


@pytest.mark.parametrize(
    ("names", "named"),
    [
        (["a", "a"], "'a'"),
        (["微博", "微博"], "'微博'"),
        (["a/b"], "'a/b'"),
        ([".."], "'..'"),
        ([" a"], "' a'"),
        (["-"], "'-'"),
        (["a\n"], "'a\\n'"),
        (["长" * 61], "'长"),
    ],
)
def test_source_names_must_be_unique_and_of_letters(write, names, named):
    sentence = _sentence(write(posts=[{"name": name, "path": "p.jsonl"} for name in names]))
    assert "source names must be unique, of at most 60 letters" in sentence
    assert named in sentence


@pytest.mark.parametrize("name", ["a-b", "1a", "微博", "知乎 2025", "Café", "日志_1"])
def test_a_source_may_have_a_name_of_any_script(write, name):
    assert profiles.load(write(posts=[{"name": name, "path": "p.jsonl"}])).posts[0].name == name


@pytest.mark.parametrize("name", ["nothing", "nothing.yaml", ""])
def test_an_unknown_profile_is_named_with_the_known_ones_and_the_mend(name):
    sentence = _sentence(name)
    assert sentence.startswith(f"profile {name!r} is neither a file (")
    assert "one of cluster, offline, paper" in sentence
    assert "set CHILLGUARD_PROFILE to" in sentence


def test_an_unknown_parent_is_named(write):
    assert "profile 'nothing' is neither" in _sentence(write(extends="nothing"))


@pytest.mark.parametrize("content", ["", "- 1\n", "words\n", "extends: mine.yaml\n"])
def test_what_is_no_mapping_or_extends_itself_is_refused(tmp_path, content):
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    assert _sentence(str(path)) == f"profile {path} is not a mapping, or extends itself"


def test_what_is_not_yaml_is_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("roles: [")
    assert _sentence(str(path)).startswith(f"profile {path} is not YAML: ")


@pytest.mark.parametrize(
    "document",
    [
        {"embedder": {"kind": "bge-m3"}},
        {"embedder": {"kind": "bge-m3"}, "translator": {"kind": "opus-mt"}},
        {"roles": {"expander": {"url": "http://127.0.0.1/v1"}}},
    ],
)
def test_a_single_stand_in_makes_a_profile_an_offline_one(write, document):
    assert profiles.load(write(**document)).is_offline


def test_the_environment_names_profile_and_home(write, tmp_path, monkeypatch):
    monkeypatch.setenv("CHILLGUARD_PROFILE", write())
    monkeypatch.setenv("CHILLGUARD_HOME", "some/where")
    monkeypatch.chdir(tmp_path)
    assert profiles.active().name == "mine"
    assert profiles.home() == tmp_path / "some" / "where"


def test_without_an_environment_it_is_the_offline_profile_in_data(tmp_path, monkeypatch):
    monkeypatch.delenv("CHILLGUARD_PROFILE", raising=False)
    monkeypatch.delenv("CHILLGUARD_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert profiles.active().name == "offline"
    assert profiles.home() == Path(tmp_path / "data")


PRICED = {"prompt": 1.0, "completion": 2}


def test_without_a_price_file_nothing_has_a_price(write):
    assert profiles.load(write()).price_list() == {}


def test_prices_are_read_from_a_file_beside_the_profile(write, tmp_path):
    (tmp_path / "prices.yaml").write_text(yaml.safe_dump({"offline-expander": PRICED}))
    profile = profiles.load(write(prices="prices.yaml"))
    assert profile.price_list() == {"offline-expander": {"prompt": 1.0, "completion": 2.0}}


@pytest.mark.parametrize("content", [None, "[", "- 1", "m: 3", "m: {prompt: 1}", "m: {prompt: x}"])
def test_a_price_file_that_cannot_be_used_is_named_with_its_form(write, tmp_path, content):
    path = tmp_path / "prices.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ProfileError, match="per million tokens") as caught:
        profiles.load(write(prices="prices.yaml")).price_list()
    assert str(caught.value).startswith(f"price file {path} cannot be used (")


@pytest.mark.parametrize(("cap", "refused"), [("cost", True), ("calls", False), ("tokens", False)])
def test_a_cap_on_money_needs_a_price_for_every_model(write, cap, refused):
    profile = profiles.load(write(budgets={"run": {cap: 5}}))
    if not refused:
        assert profile.price_list() == {}
        return
    with pytest.raises(ProfileError, match=r"a budget caps cost, but model .* has no price"):
        profile.price_list()


def test_a_ledger_is_in_the_home_unless_the_profile_names_one(write, tmp_path, monkeypatch):
    assert profiles.load(write()).ledger_url(tmp_path) == f"sqlite:///{tmp_path}/ledger.db"
    assert profiles.load(write(ledger="sqlite:///x.db")).ledger_url(tmp_path) == "sqlite:///x.db"
    monkeypatch.setenv("SOME_LEDGER", "sqlite:///y.db")
    named = profiles.load(write(ledger={"env": "SOME_LEDGER"}))
    assert named.ledger_url(tmp_path) == "sqlite:///y.db"


def test_a_role_whose_server_the_stage_starts_is_no_stand_in(write):
    own = {"model": "m", "serve": {"model": "/models/m"}}
    roles = ("expander", "synthesizer", "rewriter", "tie_breaker", "categorizer")
    document = {
        "embedder": {"kind": "bge-m3"},
        "translator": {"kind": "opus-mt"},
        "roles": dict.fromkeys(roles, own),
        "jurors": [own] * 3,
    }
    assert not profiles.load(write(**document)).is_offline


@pytest.mark.parametrize(
    ("document", "anchors"),
    [
        ({}, "packaged:anchors.yaml"),
        ({"anchors": None}, None),
        ({"taxonomy": "mine.yaml"}, None),
        ({"taxonomy": "mine.yaml", "anchors": "packaged:anchors.yaml"}, "packaged:anchors.yaml"),
    ],
)
def test_the_shipped_anchors_are_those_of_the_shipped_taxonomy(write, document, anchors):
    assert profiles.load(write(**document)).anchor_file == anchors


def test_places_of_the_review_are_relative_to_the_profile(write, tmp_path):
    profile = profiles.load(write(review_decisions="decided", anchors="own.yaml"))
    assert profile.review_decisions == str(tmp_path / "decided")
    assert profile.anchor_file == str(tmp_path / "own.yaml")


GENERATOR = {"generator": {"model": "g0", "url": "http://127.0.0.1:1/v1"}}
TRAINING = {
    "loop_size": "small",
    "classifiers": [{"name": "small", "model": "/m/s"}],
    "generator": {"model": "/m/g"},
    "serve": {},
}


def test_training_is_off_unless_the_profile_has_it(write):
    assert profiles.load(write()).training is None
    assert profiles.load(write(roles=GENERATOR, training=TRAINING)).training.loop_size == "small"


@pytest.mark.parametrize(
    ("roles", "change", "words"),
    [
        ({}, {}, "no model is bound to role generator"),
        ({"generator": {"model": "g0"}}, {}, "role generator has no stand-in"),
        (GENERATOR, {"serve": None}, "say under `training.serve`"),
        (GENERATOR, {"loop_size": "big"}, "loop_size 'big' is none of the classifiers"),
        (GENERATOR, {"classifiers": []}, "training.classifiers"),
        (GENERATOR, {"classifiers": [{"name": "1.7b", "model": "m"}]}, "unique ASCII identifiers"),
        (GENERATOR, {"executor": {"kind": "ray"}}, "kind ray needs `address`"),
        (GENERATOR, {"executor": {"kind": "slurm"}}, "training.executor.kind"),
        (GENERATOR, {"generator": {"model": "m", "machine": {"gpus": -1}}}, "machine.gpus"),
    ],
)
def test_a_loop_that_cannot_run_is_refused_when_the_profile_is_read(write, roles, change, words):
    path = write(roles=roles, training={**TRAINING, **change})
    with pytest.raises(ProfileError) as caught:
        profiles.load(path)
    assert words in str(caught.value)


def test_roles_of_the_loop_are_unknown_without_it(write):
    with pytest.raises(ProfileError, match="there is no role 'generator'"):
        profiles.load(write(roles=GENERATOR))


def test_the_approval_file_is_named_relative_to_the_profile(write, tmp_path):
    path = write(roles=GENERATOR, training={**TRAINING, "approval": "ok.yaml"})
    assert profiles.load(path).training.approval == tmp_path / "ok.yaml"


OWN = {"name": "own", "path": "own.jsonl"}


def _read_by(profile):
    kinds = ("posts", "real_prompts", "public_prompts", "benchmarks")
    return {kind: tuple(source.name for source in getattr(profile, kind)) for kind in kinds}


def test_the_bundled_samples_are_read_where_a_profile_names_no_source(write):
    samples = {
        "posts": ("samples_zh", "samples_en"),
        "real_prompts": ("samples",),
        "public_prompts": ("samples",),
        "benchmarks": (),
    }
    assert _read_by(profiles.load("offline")) == samples
    assert _read_by(profiles.load(write(executor="multiprocess"))) == samples


@pytest.mark.parametrize("kind", ["posts", "real_prompts", "public_prompts", "benchmarks"])
def test_a_profile_that_names_a_source_reads_no_bundled_sample(write, tmp_path, kind):
    read = _read_by(profiles.load(write(**{kind: [OWN]})))
    assert read == {**dict.fromkeys(read, ()), kind: ("own",)}
    child = tmp_path / "child.yaml"
    child.write_text("extends: mine.yaml\n")
    assert _read_by(profiles.load(str(child))) == read


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"budgets": {"rewriten_prompts": {"calls": 1}}}, "did you mean 'rewritten_prompts'?"),
        ({"budgets": {"jury_votes/juror_9": {"calls": 1}}}, "did you mean 'jury_votes/juror_"),
        ({"budgets": {"taxonomy": {"calls": 1}}}, "neither `run` nor an asset that asks models"),
        ({"settings": {"split": {"tset_share": 0.5}}}, "did you mean 'test_share'?"),
        ({"settings": {"keyword": {}}}, "did you mean 'keywords'?"),
        ({"roles": {"rewritter": {"model": "m"}}}, "did you mean 'rewriter'?"),
        ({"roles": {"rewriter": {"modell": "m"}}}, "did you mean 'model'?"),
        ({"posts": [{**OWN, "colums": {}}]}, "did you mean 'columns'?"),
        ({"posts": [{"name": "a", "kind": "quora", "max_page": 1}]}, "did you mean 'max_pages'?"),
        ({"settings": {"split": {"test_share": 5.0}}}, "less than or equal to 1, and is 5.0"),
        ({"roles": {"rewriter": {"concurrency": -4}}}, "greater than or equal to 1, and is -4"),
        ({"budgets": {"run": {"cost": -1}}}, "budgets.run.cost: Input should be greater"),
        ({"settings": {"synthesis": {"queries_per_category": -3}}}, "and is -3"),
        ({"real_prompts": [{**OWN, "limit": -5}]}, "and is -5"),
        ({"settings": {"crawl": {"min_chars": 9, "max_chars": 8}}}, "nothing lies between them"),
        ({"settings": {"split": {"test_share": float("nan")}}}, "is no number that a setting"),
        ({"extends": "offlin"}, "did you mean 'offline'?"),
    ],
)
def test_a_wrong_name_or_number_is_told_with_what_is_right(write, document, says):
    assert says in _sentence(write(**document))


def test_faults_are_told_one_a_line_and_ten_at_most(write):
    bad = {f"setting_{n}": n for n in range(30)}
    lines = _sentence(write(**bad)).splitlines()
    assert 2 < len(lines) <= 10
    assert all(line.startswith("profile ") for line in lines)
    assert lines[-1].endswith("and 22 faults more")


def test_words_that_yaml_1_1_takes_for_booleans_are_words(write, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "extends: offline\nreal_prompts:\n"
        "  - {name: own, path: p.jsonl, labels: {yes: unsafe, no: safe}, where: {on: [off]}}\n"
        "  - {name: two, path: p.jsonl, labels: {1: unsafe, true: safe}, where: {on: [true, 2]}}\n"
    )
    one, two = profiles.load(str(path)).real_prompts
    assert one.labels == {"yes": "unsafe", "no": "safe"}
    assert one.where == {"on": ["off"]}
    assert two.labels == {"1": "unsafe", "true": "safe"}
    assert two.where == {"on": ["true", "2"]}


def test_a_key_that_stands_twice_is_told_and_not_passed_over(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("extends: offline\nbudgets: {run: {calls: 1}}\nbudgets: {}\n")
    assert "the key 'budgets' stands twice" in _sentence(str(path))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"offline-expandr": PRICED}, "did you mean 'offline-expander'?"),
        ({"offline-expander": {"prompt": -1, "completion": 2}}, "offline-expander.prompt"),
        ({"offline-expander": {"prompt": float("inf"), "completion": 2}}, "a finite number"),
        ({"offline-expander": {**PRICED, "image": 1}}, "offline-expander.image"),
    ],
)
def test_a_price_that_is_of_no_model_or_no_price_is_told(write, tmp_path, content, says):
    (tmp_path / "prices.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ProfileError) as caught:
        profiles.load(write(prices="prices.yaml")).price_list()
    assert says in str(caught.value)


def test_a_variable_that_is_not_set_is_told_with_its_role_and_its_key(write, monkeypatch):
    monkeypatch.setenv("SET_URL", "http://127.0.0.1:1/v1")
    monkeypatch.delenv("UNSET", raising=False)
    monkeypatch.delenv("CHILLGUARD_WEBHOOK_URL", raising=False)
    jurors = [{"model": "m"}, {"model": "m", "url": {"env": "UNSET"}}, {"model": "m"}]
    rewriter = {"model": "m", "url": [{"env": "SET_URL"}, {"env": "UNSET"}]}
    path = write(jurors=jurors, roles={"rewriter": rewriter}, ledger={"env": "UNSET"})
    assert profiles.unset_variables(profiles.load(path)) == [
        f"profile mine: {owner}: the variable UNSET is not set: export it, or change `{place}` in "
        "the profile"
        for owner, place in (
            ("role rewriter", "roles.rewriter.url.1"),
            ("juror_2", "jurors.1.url"),
            ("ledger", "ledger"),
        )
    ]
