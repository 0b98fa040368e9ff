"""What runs in containers, held against the Compose schema and the rules of this project.

No Docker runs where the tests run: these read files.
"""

import json
import re
from importlib.resources import files
from pathlib import Path

import dagster as dg
import jsonschema
import pytest
import yaml

from pipelines import definitions
from pipelines import profile as profiles

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
LOCKED = (ROOT / "requirements" / "scale.txt").read_text("utf-8")


def test_the_compose_file_fits_the_compose_schema():
    place = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = json.loads(place.read_text("utf-8"))
    jsonschema.validate(COMPOSE, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"services": {"one": {"image": 3}}}, schema)


def test_what_the_issue_names_is_there():
    names = {"webserver", "daemon", "code", "postgres", "qdrant", "model", "embedder"}
    assert SERVICES.keys() == names


def test_no_password_has_a_default():
    secret = re.compile(r"PASSWORD|QDRANT.*KEY|_KEY$")
    found = {
        (name, key): value
        for name, service in SERVICES.items()
        for key, value in (service.get("environment") or {}).items()
        if secret.search(key)
    }
    assert len(found) > 4
    for (name, key), value in found.items():
        required = re.fullmatch(r"\$\{\w+:\?[^}]+\}", value)
        assert required or (key, value) == ("VLLM_API_KEY", "${VLLM_API_KEY:-}"), (name, key)
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    assert not re.search(r"\$\{\w*(PASSWORD|QDRANT_KEY)\w*(:?-)", text)


def test_only_the_web_server_has_a_port_and_it_is_on_loopback_unless_set():
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {"webserver": ["${BIND:-127.0.0.1}:${PORT:-3000}:3000"]}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_a_health_check_and_a_pinned_image(name):
    service = SERVICES[name]
    assert service["healthcheck"]["test"]
    tag = service["image"].rpartition(":")[2]
    assert re.search(r"\d+\.\d+", tag)
    assert service["restart"] == "unless-stopped"


def test_what_must_survive_is_in_named_volumes():
    named = {
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if not volume.startswith("${")
    }
    assert named == COMPOSE["volumes"].keys() == {"home", "postgres", "qdrant"}
    mounted = [v for s in SERVICES.values() for v in s.get("volumes", []) if v.startswith("${")]
    assert all(volume.endswith(":ro") for volume in mounted)


@pytest.mark.parametrize("name", ["model", "embedder"])
def test_model_servers_start_only_when_asked_for_and_reserve_a_gpu(name):
    service = SERVICES[name]
    assert service["profiles"] == ["gpu"]
    [device] = service["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


@pytest.mark.parametrize("name", ["webserver", "daemon", "code"])
def test_our_own_containers_can_gain_no_rights(name):
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]


def test_the_engine_is_the_one_that_tests_run_on():
    pin = (ROOT / "requirements" / "engine.txt").read_text("utf-8")
    version = re.search(r"vllm[\w-]*==([\d.]+)", pin).group(1)
    assert SERVICES["model"]["image"].endswith(f":v{version}")


def _instructions():
    joined = DOCKERFILE.replace("\\\n", " ")
    lines = (line.split(maxsplit=1) for line in joined.splitlines() if line[:1].isupper())
    return [(word, rest) for word, rest in lines]


def test_the_image_is_slim_pinned_and_not_root():
    found = _instructions()
    [base] = [rest for word, rest in found if word == "FROM"]
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", base)
    assert [rest for word, rest in found if word == "USER"] == ["10001:10001"]
    assert not {"ADD", "ARG"} & {word for word, _ in found}
    order = [word for word, _ in found]
    assert order.index("USER") < order.index("CMD")


def test_the_image_installs_the_locked_requirements_by_hash():
    [install] = [rest for word, rest in _instructions() if "pip install" in rest]
    assert "--require-hashes" in install
    assert "-r requirements/scale.txt" in install
    for package in ("dagster==", "dagster-postgres==", "psycopg2-binary==", "dagster-k8s=="):
        assert re.search(rf"^{package}\d", LOCKED, re.MULTILINE), package
    blocks = re.split(r"\n(?=\S)", LOCKED.strip())
    assert all("--hash=sha256:" in block for block in blocks)


def test_the_lock_agrees_with_the_one_that_tests_run_on():
    def pins(name):
        text = (ROOT / "requirements" / name).read_text("utf-8")
        return dict(re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==([^ ;\\]+)", text, re.MULTILINE))

    scale, dev, core = pins("scale.txt"), pins("dev.txt"), pins("core.txt")
    assert core.items() <= scale.items()
    assert all(dev[name] == scale[name] for name in dev.keys() & scale.keys())


def test_every_folder_that_the_image_copies_reaches_the_build():
    ignore = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    copied = {rest.split()[0] for word, rest in _instructions() if word == "COPY"}
    assert copied == allowed
    assert "*" in ignore
    assert all((ROOT / path).exists() for path in copied)


def test_the_profile_of_the_containers_builds(tmp_path, monkeypatch):
    profile = profiles.load(str(ROOT / "deploy" / "profile.yaml"))
    defs = definitions.build(profile, tmp_path)
    dg.Definitions.validate_loadable(defs)
    named = {"CHILLGUARD_LEDGER_URL", "QDRANT_URL", "QDRANT_KEY"}
    assert named <= SERVICES["code"]["environment"].keys()
    assert profile.ledger.env in named


def test_the_instance_reads_only_variables_that_its_containers_have():
    text = (ROOT / "deploy" / "dagster.yaml").read_text("utf-8")
    needed = set(re.findall(r"\{env: (\w+)\}", text))
    assert len(needed) == 4
    for name in ("webserver", "daemon", "code"):
        assert needed <= SERVICES[name]["environment"].keys()


def test_the_web_server_finds_the_code_server():
    [server] = yaml.safe_load((ROOT / "deploy" / "workspace.yaml").read_text("utf-8"))["load_from"]
    place = server["grpc_server"]
    command = SERVICES["code"]["command"]
    assert place["host"] == "code"
    assert str(place["port"]) in command
    assert "pipelines.definitions" in command


def test_one_home_is_written_by_one_run_at_a_time():
    for place in ("dagster.yaml", "deploy/dagster.yaml"):
        settings = yaml.safe_load((ROOT / place).read_text("utf-8"))
        assert settings["concurrency"]["runs"]["max_concurrent_runs"] == 1
        assert settings["telemetry"]["enabled"] is False
        # By step, one that was killed kept its place: the next run waited for ever, at full load.
        assert settings["concurrency"]["pools"] == {"granularity": "run", "default_limit": 1}
        # Nothing is asked of the user or sent for them.
        assert settings["nux"]["enabled"] is False
    helm = yaml.safe_load((ROOT / "deploy" / "helm-dagster.yaml").read_text("utf-8"))
    queue = helm["dagsterDaemon"]["runCoordinator"]["config"]["queuedRunCoordinator"]
    assert queue == {"maxConcurrentRuns": 1}


def test_kubernetes_gets_no_password_and_the_same_ray():
    for name in ("helm-dagster.yaml", "raycluster.yaml"):
        text = (ROOT / "deploy" / name).read_text("utf-8")
        assert not re.search(r"(password|token|key)\"?:\s*\S", text, re.IGNORECASE)
        document = yaml.safe_load(text)
    assert (
        document["spec"]["rayVersion"] == re.search(r"^ray(?:\[.*\])?==([\d.]+)", LOCKED, re.M)[1]
    )


def test_runs_on_ray_are_launched_there_from_the_same_storage(tmp_path, monkeypatch):
    pytest.importorskip("dagster_ray", reason="needs the group `dev` or `scale`")
    names = ("dagster.yaml", "ray/dagster.yaml")
    texts = [(ROOT / "deploy" / name).read_text("utf-8") for name in names]
    plain, settings = map(yaml.safe_load, texts)
    assert {name: settings[name] for name in plain} == plain
    del settings["storage"], settings["compute_logs"]
    settings["local_artifact_storage"]["config"]["base_dir"] = str(tmp_path)
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(settings), "utf-8")
    monkeypatch.setenv("RAY_ADDRESS", "http://ray:8265")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        launcher = instance.run_launcher
        assert type(launcher).__name__ == "RayRunLauncher"
        assert launcher.address == "http://ray:8265"
        assert (launcher.num_cpus, launcher.num_gpus) == (None, None)
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_max_resume_run_attempts == 1


def test_the_ui_of_make_listens_on_loopback():
    lines = (ROOT / "Makefile").read_text("utf-8").splitlines()
    served = [line for line in lines if "dagster dev" in line or "dagster-webserver" in line]
    assert served
    assert all("-h 127.0.0.1" in line for line in served)
