import re

import dagster as dg
import pytest
import yaml

import prompts
from chillguard.rewriting import rewrites
from chillguard.tables import lineage
from pipelines import definitions
from pipelines import profile as profiles
from resources.models.llm import LanguageModels

STAGES = (
    "keywords",
    "crawl",
    "embedding",
    "synthesis",
    "annotation",
    "rewriting",
    "translation",
    "cleaning",
    "labeling",
    "release",
)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    names = ("EXPANDER", "SYNTHESIZER", "REWRITER", "TIE_BREAKER", "CATEGORIZER", "LEDGER")
    jurors = [f"JUROR_{slot}" for slot in range(1, 5)]
    for name in (*names, *jurors):
        for what in ("URL", "KEY"):
            monkeypatch.delenv(f"CHILLGUARD_{name}_{what}", raising=False)


@pytest.fixture
def build(tmp_path):
    def made(name):
        return definitions.build(profiles.load(name), tmp_path / "home")

    return made


@pytest.fixture
def write(tmp_path):
    def made(**document):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump({"extends": "offline", **document}), "utf-8")
        return str(path)

    return made


def _keys(defs):
    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


@pytest.mark.parametrize("name", ["offline", "paper", "cluster"])
def test_every_shipped_profile_builds_without_its_environment(build, name, tmp_path):
    defs = build(name)
    dg.Definitions.validate_loadable(defs)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("name", ["offline", "paper", "cluster"])
def test_jobs_schedule_and_sensor_are_there_in_every_profile(build, name):
    defs = build(name)
    names = {job.name for job in defs.resolve_all_job_defs()}
    assert {"refresh", "real_prompts_refresh", "prompts_refresh", "corpus_refresh"} <= names
    assert defs.resolve_schedule_def("monthly_crawl").job_name == "corpus_refresh"
    assert defs.resolve_schedule_def("quarterly_release").job_name == "refresh"
    sensor = defs.resolve_sensor_def("real_prompt_files_changed")
    assert sensor.job_name == "real_prompts_refresh"


def test_the_code_location_offers_jobs_schedule_and_sensor():
    defs = definitions.defs
    assert defs.resolve_job_def("refresh")
    assert defs.resolve_job_def("real_prompts_refresh")
    assert defs.resolve_schedule_def("quarterly_release")
    assert defs.resolve_sensor_def("real_prompt_files_changed")


def test_every_asset_is_in_the_group_of_its_stage(build):
    groups = {spec.group_name for spec in _keys(build("offline")).values()}
    assert groups == {*STAGES, "plan"}


def test_there_is_an_asset_per_source_and_per_juror(build, write):
    posts = [{"name": name, "path": "p.jsonl"} for name in ("one", "two", "three")]
    jurors = [{"model": f"offline-juror-{slot}"} for slot in (1, 2, 3, 4, 1)]
    keys = _keys(build(write(posts=posts, jurors=jurors)))
    for name in ("one", "two", "three"):
        assert f"crawled_posts/{name}" in keys
        assert f"rejected_rows/crawled_posts/{name}" in keys
        upstream = {dep.asset_key for dep in keys["post_index"].deps}
        assert dg.AssetKey(["crawled_posts", name]) in upstream
    votes = {key for key in keys if key.startswith("jury_votes/")}
    assert votes == {f"jury_votes/juror_{slot}" for slot in range(1, 6)}
    upstream = {dep.asset_key.to_user_string() for dep in keys["labeled_prompts"].deps}
    assert votes <= upstream


def test_a_source_with_a_chinese_name_has_a_key_in_latin_letters_and_its_own_name_in_its_rows(
    build, write, tmp_path
):
    (tmp_path / "p.jsonl").write_text('{"text": "今天天气不错，适合去公园散步"}\n', "utf-8")
    names = ["微博", "微波", "a-b", "a_b"]
    posts = [{"name": name, "path": str(tmp_path / "p.jsonl")} for name in names]
    defs = build(write(posts=posts))
    keys = [key for key in _keys(defs) if key.startswith("crawled_posts/")]
    assert len(keys) == 4
    assert "crawled_posts/a_b" in keys
    for key in keys:
        assert re.fullmatch(r"crawled_posts/[A-Za-z0-9_]+", key)
    weibo = [key for key in keys if key.startswith("crawled_posts/weibo_")]
    assert len(weibo) == 2
    wanted = ["taxonomy", "seed_keywords", "expanded_keywords", *keys, "post_index"]
    job = defs.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        run = job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(key.split("/")) for key in wanted],
        )
    assert run.success
    tables = defs.resources["tables"]
    rows = [tables.read(*key.split("/")).to_pylist()[0] for key in keys]
    assert sorted(row["source"] for row in rows) == sorted(names)


def test_the_card_is_made_from_the_whole_lineage(build):
    keys = _keys(build("offline"))
    upstream = {dep.asset_key.to_user_string() for dep in keys["dataset_card"].deps}
    without = {"dataset_card", "seed_keywords", "expanded_keywords", "refresh_plan"}
    assert upstream == keys.keys() - without


def test_there_is_a_blocking_schema_check_per_table(build):
    defs = build("offline")
    checks = [spec for check in defs.asset_checks for spec in check.check_specs]
    schemas = {spec.asset_key.to_user_string() for spec in checks if spec.name == "schema"}
    assert schemas == _keys(defs).keys() - {"refresh_plan"}
    assert {spec.blocking for spec in checks if spec.name == "schema"} == {True}
    assert [spec.name for spec in checks if not spec.blocking] == ["leak_share"]


def test_a_release_waits_for_every_blocking_check_of_its_sides(build):
    names = {
        spec.name
        for check in build("offline").asset_checks
        for spec in check.check_specs
        if spec.blocking and spec.asset_key == dg.AssetKey("train_set")
    }
    assert names == {
        "schema",
        "funnel_adds_up",
        "no_leak",
        "no_benchmark_row",
        "no_personal_data",
        "frozen_sides",
        "terms_obeyed",
        "coverage",
        "balance",
        "agreement",
    }


@pytest.mark.parametrize(
    ("name", "executor"), [("offline", "in_process"), ("paper", "multiprocess")]
)
def test_the_profile_chooses_the_executor(build, name, executor):
    assert build(name).executor.name == executor


SERVED = {"jurors": [{"model": "m", "serve": {"model": "/models/m"}}] * 4}


@pytest.mark.parametrize(("document", "at_once"), [({}, None), (SERVED, 1)])
def test_where_stages_start_servers_one_step_runs_at_a_time(build, write, document, at_once):
    executor = build(write(executor="multiprocess", **document)).executor
    config = executor.apply_config_mapping({"config": {}}).value["config"]
    assert config["max_concurrent"] == at_once


def test_all_outputs_are_under_the_home(build, tmp_path):
    resources = build("offline").resources
    home = str(tmp_path / "home")
    assert resources["llm"].ledger.url == f"sqlite:///{home}/ledger.db"
    for name, folder in (("state", "state"), ("releases", "release"), ("tables", "tables")):
        assert resources[name].folder == f"{home}/{folder}"
    assert resources["retrieval"].vector_store.folder == f"{home}/index"
    assert resources["takedown"].crawl_store.url == f"sqlite:///{home}/ledger.db"
    assert resources["io_manager"].folder == f"{home}/tables"


def test_every_role_and_juror_slot_has_its_model(build):
    roles = {role.role: role for role in build("paper").resources["llm"].roles}
    assert set(roles) == {
        "expander",
        "synthesizer",
        "rewriter",
        "tie_breaker",
        "categorizer",
        "generator",
        "scorer",
        "juror_1",
        "juror_2",
        "juror_3",
        "juror_4",
    }
    assert roles["juror_4"].model == "Yi-1.5-34B-Chat"


def test_urls_and_keys_are_references_to_the_environment(build, monkeypatch):
    monkeypatch.setenv("CHILLGUARD_EXPANDER_KEY", "sk-quite-secret")
    resources = build("paper").resources
    [role] = [role for role in resources["llm"].roles if role.role == "expander"]
    assert isinstance(role.api_key, dg.EnvVar)
    assert isinstance(role.urls[0], dg.EnvVar)
    assert role.api_key.env_var_name == "CHILLGUARD_EXPANDER_KEY"
    assert "sk-quite-secret" not in repr(resources)


def test_the_ledger_of_the_cluster_is_named_by_the_environment(build, monkeypatch):
    url = build("cluster").resources["llm"].ledger.url
    assert isinstance(url, dg.EnvVar)
    assert url.env_var_name == "CHILLGUARD_LEDGER_URL"


def test_a_run_that_lacks_a_variable_of_its_environment_names_it(build):
    llm = build("paper").resources["llm"]

    @dg.asset
    def asked(llm: LanguageModels) -> None:
        """Needs the models."""

    with pytest.raises(Exception, match="CHILLGUARD_EXPANDER_URL"):
        dg.materialize([asked], resources={"llm": llm})


def test_the_card_says_whether_stand_ins_were_used(build):
    offline, paper = (build(name).resources["provenance"] for name in ("offline", "paper"))
    assert (offline.offline, paper.offline) == (True, False)
    assert offline.profile == "offline"
    assert offline.models["juror_1"] == "offline-juror-1@main"


def test_every_asset_says_what_one_row_is(build):
    for key, spec in _keys(build("offline")).items():
        assert spec.description.startswith("One row per "), key
        assert key.split("/")[0] in {*lineage.TABLES, "refresh_plan"}


@pytest.fixture
def trained(build, write):
    """The lineage with co-training."""
    training = {
        "classifiers": [{"name": "small", "model": "tiny"}],
        "loop_size": "small",
        "generator": {"model": "tiny"},
        "serve": {"program": "vllm"},
    }
    generator = {"model": "tiny", "url": "http://127.0.0.1:1/v1"}
    return build(write(training=training, roles={"generator": generator}))


def test_every_asset_has_group_owner_and_kinds(trained):
    for key, spec in _keys(trained).items():
        assert spec.group_name in {*STAGES, "plan", "training"}, key
        assert spec.owners == ["team:safety-data"], key
        assert ("parquet" in spec.kinds) is (key != "refresh_plan"), key
    kinds = {key: spec.kinds - {"parquet"} for key, spec in _keys(trained).items()}
    assert kinds["synthesized_prompts"] == kinds["refresh_plan"] == {"llm", "qdrant"}
    assert kinds["jury_votes/juror_1"] == {"llm"}
    assert kinds["iteration_0/classifier"] == {"pytorch"}
    assert kinds["clean_prompts"] == set()


def test_what_a_host_has_once_is_a_pool_of_the_assets_that_use_it(trained):
    found = set()
    for asset in trained.assets:
        resources = asset.required_resource_keys
        # A step has one pool: the scarcer of what it uses.
        expected = "models" if "llm" in resources else None
        expected = "vector_store" if "retrieval" in resources else expected
        # Generated prompts need the approval, not the machine that trains.
        generated = asset.op.name.endswith("generated_prompts")
        expected = "training" if "training" in resources and not generated else expected
        assert asset.op.pool == expected, asset.keys
        found.add(asset.op.pool)
    assert found == {None, "models", "vector_store", "training"}


def test_the_failure_of_every_step_is_told(build):
    defs = build("offline")
    for asset in [*defs.assets, *defs.asset_checks]:
        [hook] = asset.hook_defs
        assert hook.required_resource_keys == {"notifier"}
    for name in ("redrive_quarantine", "post_takedown", "publish"):
        assert len(defs.resolve_job_def(name).hook_defs) == 1


@pytest.mark.parametrize("url", [None, "https://hooks.example/T0/quite-secret"])
def test_the_webhook_is_named_by_the_environment(build, monkeypatch, url):
    monkeypatch.delenv("CHILLGUARD_WEBHOOK_URL", raising=False)
    if url:
        monkeypatch.setenv("CHILLGUARD_WEBHOOK_URL", url)
    webhook = build("offline").resources["notifier"].webhook
    assert (webhook is None) is (url is None)
    assert url is None or isinstance(webhook, dg.EnvVar)
    assert "quite-secret" not in repr(webhook)


TEMPLATES = {
    "keywords/expand": {"expanded_keywords"},
    "synthesis/generate": {"synthesized_prompts"},
    "synthesis/twin": {"synthesized_prompts"},
    "labeling/vote": {"anchor_votes", "annotated_prompts", "jury_votes", "labeled_prompts"},
    "labeling/categorize": {"annotated_prompts", "labeled_prompts"},
    "translation/translate": {"candidate_prompts"},
    "release/card": {"dataset_card"},
    "release/report.html": {"dataset_card"},
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_an_edited_template_is_another_code_version_of_what_uses_it(build, template):
    digest = prompts.fingerprint(template)
    found = {
        key.split("/")[0]
        for key, spec in _keys(build("offline")).items()
        if digest in (spec.code_version or "")
    }
    assert found == TEMPLATES[template]


def test_every_template_is_in_the_code_version_of_an_asset():
    folder = prompts.FOLDER
    there = {
        str(path.relative_to(folder)).removesuffix(".jinja") for path in folder.rglob("*.jinja")
    }
    # The version of the rewrites digests its template with the methods; a trained model is of a
    # job that digests the templates of training.
    trained = {name for name in there if name.startswith("training/")}
    assert there - trained == TEMPLATES.keys() | {"rewriting/rewrite"}


def test_the_rewrites_have_another_code_version_once_their_template_is_edited(monkeypatch):
    before = rewrites.version()
    monkeypatch.setattr(rewrites, "fingerprint", lambda name: "edited")
    assert rewrites.version() != before
