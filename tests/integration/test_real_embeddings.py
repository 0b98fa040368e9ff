"""One checkpoint, two ways to its vectors: served by a real engine, and in process."""

import os
import signal
import socket
import subprocess
import time

import dagster as dg
import httpx
import numpy as np
import pytest

pytest.importorskip("FlagEmbedding", reason="needs the install group `train`: make .venv/train")

from resources.vectors.embedding import BgeM3Embedder, EndpointEmbedder
from tests.integration.real_engine import ENVIRONMENT
from tests.resources import tiny_bge_m3

pytestmark = [pytest.mark.engine, pytest.mark.train]
MODEL, KEY = "tiny-bge-m3", "sk-quite-secret"
READY_WITHIN_S = 240
TEXTS = tiny_bge_m3.texts(50)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_bge_m3.make(tmp_path_factory.mktemp("bge") / "m3")


@pytest.fixture(scope="module")
def url(engine_home, checkpoint, tmp_path_factory):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("engine") / "embeddings.log"
    command = [
        str(engine_home / "bin/vllm"), "serve", str(checkpoint), "--runner", "pooling",
        "--host", "127.0.0.1", "--port", str(port), "--served-model-name", MODEL,
        "--max-model-len", str(tiny_bge_m3.MAX_TOKENS), "--dtype", "float32", "--enforce-eager",
        "--max-num-seqs", "64", "--kv-cache-memory-bytes", str(64 * 2**20),
        "--disable-uvicorn-access-log", "--api-key", KEY,
    ]  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **ENVIRONMENT},
            start_new_session=True,
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}/health", log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        _end(process)


def _wait(process, health, log):
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(health, timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    pytest.fail(f"the engine did not start; its log ends:\n{log.read_text('utf-8')[-3000:]}")


def _end(process):
    for kind in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, kind)
            process.wait(20)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


@pytest.fixture(scope="module")
def in_process(checkpoint):
    embedder = BgeM3Embedder(
        path=str(checkpoint), dimension=tiny_bge_m3.DIMENSION, devices=["cpu"], batch_size=16
    )
    return embedder.embed(TEXTS).dense


def _endpoint(url, **more):
    settings = {"model": MODEL, "dimension": tiny_bge_m3.DIMENSION, "api_key": KEY, "attempts": 2}
    return EndpointEmbedder(url=url, **{**settings, **more})


@pytest.mark.parametrize("batch_size", [7, 64])
def test_the_engine_and_the_library_agree_on_every_text(url, in_process, batch_size):
    served = _endpoint(url, batch_size=batch_size).embed(TEXTS).dense
    cosines = np.sum(served * in_process, axis=1)
    assert cosines.min() >= 0.999
    # Neighbours too: what is found does not depend on where the vectors were made.
    others = in_process @ in_process.T
    assert np.median(others) < 0.9
    assert np.abs(served @ served.T - others).max() < 0.01


def test_texts_of_several_lengths_are_among_them():
    assert min(map(len, TEXTS)) < 20
    assert max(map(len, TEXTS)) > 300


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"api_key": "sk-wrong"}, "HTTP 401"),
        ({"api_key": None}, "HTTP 401"),
        ({"model": "other"}, "HTTP 404"),
        ({"dimension": 128}, "vectors of shape (2, 64), expected (2, 128)"),
    ],
)
def test_what_the_engine_refuses_or_gives_otherwise_is_told(url, settings, reason):
    with pytest.raises(dg.Failure) as caught:
        _endpoint(url, **settings).embed(TEXTS[:2])
    message = caught.value.description
    assert reason in message
    assert "sk-" not in message


def test_a_text_beyond_the_engine_s_limit_is_told_and_not_cut(url):
    with pytest.raises(dg.Failure, match="HTTP 400"):
        _endpoint(url).embed(["".join(TEXTS)])
