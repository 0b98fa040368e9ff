"""What the benchmarks share: the loopback endpoint, contestants in processes of their own, figures.

Standard library only, so that nothing of the harness is measured with a contestant.
"""

import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = ("datatrove", "curator", "data_designer")
# No peer may report on its use, or fetch anything while it is measured.
_SILENT = {
    "TELEMETRY_ENABLED": "False",
    "CURATOR_DISABLE_RICH_DISPLAY": "1",
    "NEMO_TELEMETRY_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}
_TOKENIZERS = "curator/lib/python3.11/site-packages/litellm/litellm_core_utils/tokenizers"


class Failed(Exception):
    """A contestant did not finish its job."""


def say(text: str) -> None:
    """Tell how far it is."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class Server:
    """A loopback chat endpoint of its own process; `reads` for one that looks at the questions.

    One that does not read says `content` to everything; NUMBER in it is the number of the call.
    """

    def __init__(self, delay_ms: int, reads: bool = False, content: str = "safe") -> None:
        node = shutil.which("node")
        if not node:
            raise SystemExit("the benchmarks need Node.js (`node`) for their loopback endpoint")
        command = [node, str(HERE / "server.mjs"), str(delay_ms), "read" if reads else "", content]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        self._root = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        self.url = f"{self._root}/v1"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def stats(self) -> dict[str, int]:
        """Calls and peak in flight since the last time this was asked."""
        return self._get("/stats")

    def bodies(self) -> dict[str, int]:
        """Requests asked, distinct, rejected and in flight, since the start."""
        return self._get("/bodies")

    def _get(self, path: str) -> dict[str, int]:
        with urllib.request.urlopen(self._root + path, timeout=10) as response:
            return json.load(response)


@dataclass(frozen=True)
class Contestant:
    """Somebody who does jobs: a command, and what it needs in its environment."""

    name: str
    command: Sequence[str]
    options: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def start(
        self, url: str, n: int, c: int, home: Path, *options: str, **streams: Any
    ) -> subprocess.Popen[str]:
        """Start a job in a process group of its own."""
        arguments = [url, str(n), str(c), "--home", str(home), *self.options, *options]
        kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        kept.pop("PYTHONPATH", None)
        return subprocess.Popen(
            [*self.command, *arguments],
            env={**kept, **self.environment},
            start_new_session=True,
            text=True,
            **streams,
        )

    def do(
        self, url: str, n: int, c: int, home: Path, *options: str, within_s: float = 300
    ) -> dict[str, Any]:
        """Do a job and return the report; raises `Failed`."""
        with tempfile.TemporaryFile("w+") as errors:
            process = self.start(url, n, c, home, *options, stdout=subprocess.PIPE, stderr=errors)
            try:
                output = process.communicate(timeout=within_s)[0]
            except subprocess.TimeoutExpired:
                raise Failed(f"{self.name}: not done after {within_s:.0f} s") from None
            finally:
                kill(process)
            errors.seek(0)
            lines = [line for line in output.splitlines() if line.startswith("{")]
            if process.returncode or not lines:
                tail = (errors.read().splitlines() or ["no message"])[-1]
                raise Failed(f"{self.name}: {tail[:300]}")
        return json.loads(lines[-1])


def kill(process: subprocess.Popen[str]) -> None:
    """End a job at once, with every process it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


OURS = Contestant("ours", [sys.executable, str(HERE / "ours.py")])
RAMPING = Contestant("ours, auto_concurrency", OURS.command, ["--kind", "ramp"])
BARE = [
    Contestant(name, [sys.executable, str(HERE / "bare.py")], ["--kind", kind])
    for name, kind in (
        ("bare aiohttp", "aiohttp"),
        ("httpx client, aiohttp transport", "transport"),
        ("httpx clients of 8 connections", "shards"),
    )
]


def peers() -> list[Contestant]:
    """The peers, each in a virtual environment in the cache folder, made when it is missing."""
    pins = sorted((HERE / "peers").glob("*.txt"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in pins)).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "chillguard" / f"peers-{digest}"
    found = []
    for name in PEERS:
        try:
            _install(HERE / "peers" / f"{name}.txt", folder / name)
        except subprocess.CalledProcessError as error:
            say(f"left out: {name} cannot be installed ({error})")
            continue
        command = [str(folder / name / "bin" / "python"), str(HERE / "peers" / f"{name}.py")]
        environment = {**_SILENT, "TIKTOKEN_CACHE_DIR": str(folder / _TOKENIZERS)}
        found.append(Contestant(name, command, environment=environment))
    return found


def environment(pins: Path) -> Path:
    """The Python of a virtual environment in the cache folder with `pins`, made when missing."""
    digest = hashlib.sha256(pins.read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "chillguard" / f"{pins.stem}-{digest}"
    _install(pins, folder)
    return folder / "bin" / "python"


def _install(pins: Path, folder: Path) -> None:
    ready = folder / "ready"
    if ready.exists():
        return
    say(f"installing {pins.stem} in {folder}")
    uv = str(ROOT / ".venv" / "bin" / "uv")
    subprocess.run([uv, "venv", "--quiet", "--clear", "-p", sys.executable, folder], check=True)
    links = os.environ.get("PIP_FIND_LINKS", "").split()
    find = [word for link in links for word in ("--find-links", link)]
    into = ["--quiet", "--compile-bytecode", "--python", str(folder / "bin" / "python"), *find]
    subprocess.run([uv, "pip", "install", *into, "-r", str(pins)], check=True, stdout=sys.stderr)
    ready.touch()


@contextmanager
def home() -> Iterator[Path]:
    """An empty folder for what a contestant remembers."""
    with tempfile.TemporaryDirectory(prefix="chillguard-bench-") as folder:
        yield Path(folder)


def figure(
    metric: str,
    value: float | None,
    unit: str,
    against: str | None = None,
    ratio: float | None = None,
    rounds: int = 1,
    bench: str = "engine",
) -> None:
    """Print one figure."""
    told = {
        "bench": bench,
        "metric": metric,
        "value": None if value is None else round(value, 3),
        "unit": unit,
        "against": against,
        "ratio": None if ratio is None else round(ratio, 3),
        "rounds": rounds,
        "machine": machine(),
    }
    sys.stdout.write(json.dumps(told, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def machine() -> dict[str, Any]:
    """Where, and how busy it is right now."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": [round(load, 2) for load in os.getloadavg()],
    }
