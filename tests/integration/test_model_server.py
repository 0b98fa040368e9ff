"""A model server for the time of one block: it answers inside, and nothing of it is left after."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dagster as dg
import httpx
import pytest

from chillguard.calls import call
from chillguard.labeling import jury
from chillguard.tables import lineage
from resources.models.ledger import Ledger
from resources.models.llm import Asker, LanguageModels
from resources.models.model_server import ModelServer
from resources.models.progress import Progress
from resources.models.roles import ModelRole
from tests.integration.real_engine import PROBES

pytestmark = pytest.mark.engine

NAME = "tiny"
ARGUMENTS = [
    "--max-model-len", "2048", "--max-num-seqs", "16", "--enforce-eager",
    "--kv-cache-memory-bytes", str(32 * 2**20), "--disable-uvicorn-access-log",
]  # fmt: skip
ENVIRONMENT = {
    "TORCH_COMPILE_DISABLE": "1",
    "VLLM_HOST_IP": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo",
}
# A server like vllm in what matters here: a child of its own, a start that takes a moment, and an
# answer to a real request. MODEL "stubborn" ignores SIGTERM; "broken" ends; "mute" never answers.
FAKE = r"""#!{python}
import http.server, json, signal, subprocess, sys, time
model, options = sys.argv[2], dict(zip(sys.argv[3::2], sys.argv[4::2]))
print("loading", model, flush=True)
if model == "broken":
    sys.exit("RuntimeError: no weights in this folder")
if model == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen(["sleep", "600"])

class Handler(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_POST(self):
        Handler.asked += 1
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        ready = model != "mute" and Handler.asked > 1 and asked["model"] == "tiny"
        self.send_response(200 if ready else 503)
        self.end_headers()
        self.wfile.write(b"{{}}")

http.server.HTTPServer((options["--host"], int(options["--port"])), Handler).serve_forever()
"""


@pytest.fixture
def logs(tmp_path, monkeypatch):
    """The folder in which servers write their logs."""
    folder = tmp_path / "logs"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def fake(tmp_path, logs):
    program = tmp_path / "fake-vllm"
    program.write_text(FAKE.format(python=sys.executable), "utf-8")
    program.chmod(0o755)

    def make(model="good", **settings):
        return ModelServer(
            role="juror", model=model, served_name=NAME, program=str(program), **settings
        )

    return make


def group_of(url):
    """The process group of the server on the port of a URL."""
    port = httpx.URL(url).port
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(port).encode() in command and b"serve" in command:
            return os.getpgid(int(folder.name))
    return None


def living(group):
    """Process ids of a group that are neither ended nor waiting to be reaped."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, pgid = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(pgid) == group and state not in "ZX":
            found.append(int(folder.name))
    return found


def is_gone(group):
    """Whether nothing of a group is left; the kernel is given a moment after the last signal."""
    deadline = time.monotonic() + 2
    while living(group) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not living(group)


def test_the_url_answers_inside_the_block_and_nothing_is_left_after(fake, logs):
    with fake().running() as url:
        group = group_of(url)
        assert len(living(group)) == 2
        assert group != os.getpgid(0)
        body = {"model": NAME, "messages": []}
        reply = httpx.post(f"{url}/chat/completions", json=body, trust_env=False)
        assert reply.status_code == 200
        assert len(list(logs.iterdir())) == 1
    assert is_gone(group)
    assert list(logs.iterdir()) == []


def test_nothing_is_left_when_the_body_raises(fake, logs):
    def run():
        with fake().running() as url:
            groups.append(group_of(url))
            raise LookupError("a fault of the stage")

    groups: list[int] = []
    with pytest.raises(LookupError, match="a fault of the stage"):
        run()
    assert is_gone(groups[0])
    assert list(logs.iterdir()) == []


def test_a_server_that_ignores_sigterm_is_killed(fake, monkeypatch):
    monkeypatch.setattr("resources.models.model_server._STOP_WITHIN_S", 0.5)
    with fake("stubborn").running() as url:
        group = group_of(url)
    assert is_gone(group)


def test_a_server_that_ends_is_told_with_the_tail_of_its_log(fake, logs):
    with pytest.raises(dg.Failure) as failure, fake("broken").running():
        pass
    told = failure.value.description
    assert told.startswith("role juror: the model server for broken ended with status 1")
    assert told.rstrip().endswith("RuntimeError: no weights in this folder")
    assert list(logs.iterdir()) == []


def test_a_server_that_never_answers_is_given_up(fake, logs):
    before = sleepers()
    with pytest.raises(dg.Failure) as failure, fake("mute", ready_within_s=2.0).running():
        pass
    assert "did not answer within 2 s; its log ends:\nloading mute" in failure.value.description
    assert sleepers() <= before
    assert list(logs.iterdir()) == []


def sleepers():
    """Children that fake servers left behind."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes() == b"sleep\x00600\x00" and living(
                os.getpgid(int(folder.name))
            ):
                found.add(folder.name)
        except OSError:
            continue
    return found


def test_a_program_that_does_not_exist_is_one_sentence(logs):
    server = ModelServer(role="juror", model="m", served_name=NAME, program="/no/such/vllm")
    with pytest.raises(dg.Failure) as failure, server.running():
        pass
    told = failure.value.description
    assert told.startswith("role juror: there is no model server program '/no/such/vllm'")
    assert "\n" not in told


def test_a_program_that_does_not_exist_leaves_no_log(logs):
    server = ModelServer(role="juror", model="m", served_name=NAME, program="/no/such/vllm")
    with pytest.raises(dg.Failure), server.running():
        pass
    assert list(logs.iterdir()) == []


# The real engine


@pytest.fixture(scope="session")
def engine_home():
    home = Path(os.environ.get("CHILLGUARD_ENGINE", "engine environment"))
    if not (home / "ready").exists():
        pytest.fail(f"there is no engine at {home}: run `make engine` (it sets CHILLGUARD_ENGINE)")
    return home


@pytest.fixture
def real(engine_home, logs):
    def make(model):
        return ModelServer(
            role="juror",
            model=str(model),
            served_name=NAME,
            program=str(engine_home / "bin/vllm"),
            arguments=ARGUMENTS,
            environment=ENVIRONMENT,
            ready_within_s=240.0,
        )

    return make


def test_the_engine_with_a_bad_model_path_is_told_with_its_log(real, tmp_path, logs):
    with pytest.raises(dg.Failure) as failure, real(tmp_path / "nowhere").running():
        pass
    told = failure.value.description
    assert told.startswith(f"role juror: the model server for {tmp_path / 'nowhere'} ended with")
    assert "nowhere" in told.split("its log ends:")[1]
    assert list(logs.iterdir()) == []


def test_a_role_starts_its_engine_and_ends_it(real, engine_home, tmp_path, logs):
    folder = tmp_path / "models"
    script = Path(__file__).with_name("tiny_models.py")
    subprocess.run([engine_home / "bin/python", script, folder], check=True, capture_output=True)
    ledger = Ledger(url=f"sqlite:///{tmp_path / 'ledger.db'}")
    role = ModelRole(role="juror", model=NAME, concurrency=8, timeout_s=60.0)
    models = LanguageModels(roles=[role], ledger=ledger, servers=[real(folder / "base")])
    asker = Asker(models, "jury_votes/juror_1", "run-1", Progress("jury_votes/juror_1", print))
    asked = [
        call.ChatRequest(
            f"p{n}",
            ({"role": "user", "content": f"第 {n} 条"},),
            call.Sampling(max_tokens=16, top_logprobs=5),
            {"choice": list(lineage.LABELS)},
        )
        for n in range(12)
    ]
    outcomes = asker("juror", asked, jury.parse_vote)
    first = next(outcomes)
    endpoint = f"http://127.0.0.1:{port_in(logs)}/v1"
    group = group_of(endpoint)
    assert len(living(group)) >= 2
    rest = list(outcomes)
    assert is_gone(group)
    assert {o.value.label for o in [first, *rest]} <= set(lineage.LABELS)
    assert len(rest) == 11
    assert ledger.spent(endpoint=endpoint).calls == 12 + PROBES
    assert list(logs.iterdir()) == []


def port_in(logs):
    """The port of the only server that runs, from its log."""
    (log,) = logs.glob("*.log")
    found = [line for line in log.read_text().splitlines() if "http://127.0.0.1:" in line]
    return int(found[-1].split("http://127.0.0.1:")[1].split()[0].strip("/"))
