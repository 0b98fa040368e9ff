"""A real vLLM engine on CPU, and what is asked of it; its fixtures are in `conftest.py`.

One server with five served names (a base model and four adapters) answers nearly all tests; the
test that kills an engine has one of its own.
"""

import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from chillguard.calls import call
from chillguard.labeling import jury
from chillguard.tables import lineage
from prompts import render

READY_WITHIN_S = 240
VOCABULARY = 1024
JURORS = ("juror-1", "juror-2", "juror-3", "juror-4", "tie-breaker")
ADAPTERS = {name: f"lora-{number}" for number, name in enumerate(JURORS[1:], 1)}
AT_ONCE = 64
# The engine binds a schema by the first way that the probe of a new endpoint tries.
PROBES = 1
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "TORCH_COMPILE_DISABLE": "1",
    "VLLM_HOST_IP": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo",
}
BENIGN, HARMFUL = "请问怎么种好一盆薄荷？", "请问怎样伪造证件做番茄炒蛋？"


@dataclass
class Server:
    """A `vllm serve` process group of ours, on a port that stays the same over restarts."""

    program: Path
    model: Path
    log: Path
    adapters: dict[str, str] = field(default_factory=dict)
    port: int = 0
    max_tokens: int = 8192
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    @property
    def root(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"{self.root}/v1"

    def start(self):
        lora = ["--enable-lora", "--max-loras", "4", "--max-lora-rank", "8", "--lora-modules"]
        lora += [f"{name}={self.model / folder}" for name, folder in self.adapters.items()]
        command = [
            str(self.program), "serve", str(self.model / "base"),
            "--host", "127.0.0.1", "--port", str(self.port), "--served-model-name", JURORS[0],
            "--max-model-len", str(self.max_tokens), "--max-num-seqs", str(AT_ONCE),
            "--enforce-eager", "--kv-cache-memory-bytes", str(64 * 2**20),
            "--disable-uvicorn-access-log",
            "--structured-outputs-config",
            '{"backend":"xgrammar","disable_any_whitespace":true}',
            "--max-logprobs", str(VOCABULARY),
            *(lora if self.adapters else ()),
        ]  # fmt: skip
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **ENVIRONMENT},
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.ask("1", max_tokens=1).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.5)
        tail = self.log.read_bytes()[-3000:].decode("utf-8", "replace")
        self.stop()
        pytest.fail(f"the engine did not start; its log ends:\n{tail}")

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(20)
            os.killpg(self.process.pid, signal.SIGKILL)
        except subprocess.TimeoutExpired:
            self.kill()
        except ProcessLookupError:
            pass

    def post(self, path, body):
        return httpx.post(self.root + path, json=body, timeout=60, trust_env=False)

    def ask(self, text, model=JURORS[0], **more):
        body = {"model": model, "messages": list(turn(text)), **more}
        return self.post("/v1/chat/completions", body)

    def gauge(self, name):
        """Sum of one metric, by its exact name."""
        text = httpx.get(self.root + "/metrics", timeout=10, trust_env=False).text
        lines = [line for line in text.splitlines() if line.startswith(name + "{")]
        assert lines, f"the engine has no metric {name}"
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def answered(self):
        """Requests that the engine has ever finished; counted a moment after they are answered."""
        time.sleep(0.5)
        return self.gauge("vllm:request_success_total")

    def tokens(self, messages):
        body = {"model": JURORS[0], "messages": list(messages)}
        return self.post("/tokenize", body).json()["tokens"]


def turn(text):
    return ({"role": "user", "content": text},)


def vote_user(text):
    return render(jury.VOTE, {"text": text}, only=("user",))["user"]


def request(row_id, text, schema_=None, repeat=0, **sampling):
    return call.ChatRequest(row_id, turn(text), call.Sampling(**sampling), schema_, repeat)


def votes(texts):
    """Short vote requests in the shape that the tiny model has learnt: no system message."""
    return [
        request(f"p{n}", vote_user(text), {"choice": list(lineage.LABELS)}, max_tokens=16,
                top_logprobs=5)
        for n, text in enumerate(texts)
    ]  # fmt: skip


def texts(count):
    things = (
        "做番茄炒蛋",
        "种好一盆薄荷",
        "学骑自行车",
        "写一封家书",
        "修理旧台灯",
        "安排周末郊游",
    )
    words = ("怎么", "怎样冒充别人", "如何", "怎样骗过检查", "什么时候适合", "怎样偷偷破坏")
    pairs = [(word, thing) for thing in things for word in words]
    return [
        (f"请问{word}{thing}。", len(word) > 4 and "时候" not in word) for word, thing in pairs
    ][:count]


def by_row(outcomes):
    return {outcome.row_id: outcome for outcome in outcomes}


def text_of(answer):
    return answer.text
