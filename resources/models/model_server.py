"""A model server for the time of one stage: started, waited for until it answers, and stopped.

So one GPU host can run four large jurors one after another. What is asked of it is not known here.
"""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import httpx

from resources import processes

_POLL_S = 0.5
_STOP_WITHIN_S = 20.0
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}


class ModelServer(dg.Config):
    """`vllm serve` for one role: the command, the model, more arguments.

    `program` is the engine's `vllm`; `environment` is added to the process's own and to settings
    that keep it off the network. The server must answer a request within `ready_within_s` seconds.
    """

    role: str
    model: str
    served_name: str
    program: str = "vllm"
    arguments: list[str] = []
    environment: dict[str, str] = {}
    ready_within_s: float = 1800.0

    @contextmanager
    def running(self) -> Iterator[str]:
        """The base URL of the server while it runs; everything it started ends with the block."""
        if shutil.which(self.program) is None:
            raise dg.Failure(
                f"role {self.role}: there is no model server program {self.program!r}; install it "
                "or set `serve.program` in the profile"
            )
        port = _free_port()
        url = f"http://127.0.0.1:{port}"
        with tempfile.NamedTemporaryFile("w+b", suffix=".log", delete=False) as log:
            process = self._start(port, log.fileno())
        try:
            self._wait(process, url, Path(log.name))
            yield f"{url}/v1"
        finally:
            processes.end_tree(process.pid, _STOP_WITHIN_S)
            process.wait()
            Path(log.name).unlink(missing_ok=True)

    def _start(self, port: int, log: int) -> subprocess.Popen[bytes]:
        extra = {**_ENVIRONMENT, **self.environment}
        command = [
            "/usr/bin/env", *(f"{name}={value}" for name, value in extra.items()),
            self.program, "serve", self.model, "--host", "127.0.0.1", "--port", str(port),
            "--served-model-name", self.served_name, *self.arguments,
        ]  # fmt: skip
        return subprocess.Popen(  # noqa: S603 - the command is the profile's own
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=processes.die_with_parent,
        )

    def _wait(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        """Wait until a real request is answered: health alone says too little."""
        deadline = time.monotonic() + self.ready_within_s
        question = {"role": "user", "content": "1"}
        body = {"model": self.served_name, "messages": [question], "max_tokens": 1}
        with httpx.Client(trust_env=False, timeout=60.0) as http:
            while time.monotonic() < deadline:
                if process.poll() is not None:
                    raise dg.Failure(self._told(f"ended with status {process.returncode}", log))
                try:
                    if http.post(f"{url}/v1/chat/completions", json=body).status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                time.sleep(_POLL_S)
        raise dg.Failure(self._told(f"did not answer within {self.ready_within_s:.0f} s", log))

    def _told(self, what: str, log: Path) -> str:
        tail = log.read_bytes()[-2000:].decode("utf-8", "replace")
        return f"role {self.role}: the model server for {self.model} {what}; its log ends:\n{tail}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
