"""Drill of answers: 30 kinds of faults, broken databases, runs at once and kills; a JSON report.

Good answers are counted per question at the endpoint, so a row that is paid twice is seen there. A
row is lost when a run ends without an outcome for it.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import logging
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from aiohttp import web

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from harness import say

from chillguard.calls import call
from resources.models.budget import Cap
from resources.models.ledger import Ledger
from resources.models.llm import Asker, LanguageModels
from resources.models.progress import Progress
from resources.models.roles import ModelRole
from tests import postgres

_SHARE = 0.25
# So slow that a run of 2,000 rows goes on for ten seconds: what happens meanwhile is in mid-run.
_SLOW_S = 0.3


def _completion(content: Any = "safe", **more: Any) -> dict[str, Any]:
    choice = {"message": {"content": content}, "finish_reason": "stop", **more.pop("choice", {})}
    usage = {"prompt_tokens": 10, "completion_tokens": 2}
    return {"choices": [choice], "usage": usage, **more}


def _error(code: Any, message: str = "m") -> str:
    return json.dumps({"error": {"code": code, "type": "BadRequestError", "message": message}})


FAULTS: tuple[Any, ...] = (
    (429, ""), (429, _error("rate_limit")), (500, "oops"), (502, "<html>"), (503, ""), (529, ""),
    (408, ""), (520, ""), (400, _error(None)), (400, _error("data_inspection_failed")),
    (400, _error("1301")), (403, json.dumps({"error": "Content violates usage guidelines."})),
    (451, _error("censorship_blocked")), (404, ""), (401, ""), (200, "<html>"), (200, ""),
    (200, "[]"), (200, _error("content_filter")), (200, '{"choices": [{"message": {"content"'),
    "reset", _completion(None), _completion("hm"),
    _completion(choice={"logprobs": {"content": [{"token": "safe", "logprob": None}]}}),
    _completion(usage={"prompt_tokens": 10**25}), _completion(system_fingerprint="\ud800\0"),
    _completion(choice={"finish_reason": "content_filter"}),
    _completion(choice={"finish_reason": "\udfff"}), _completion("safe\0\ud800"),
    _completion([{"type": "text", "text": "<think>x</think>safe"}]),
)  # fmt: skip


class Server:
    """A loopback endpoint in a thread; counts what it charged for, good answers by question."""

    def __init__(self, share: float = 0.0, delay_s: float = 0.01, seed: int = 7) -> None:
        self.share, self.delay_s, self.seed = share, delay_s, seed
        self.good: Counter[str] = Counter()
        self.calls = 0
        self.in_flight = 0
        self.out_until = 0.0
        self._nth: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()
        self._ready.wait(20)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        runner = web.AppRunner(app, access_log=None)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/v1"
        self._ready.set()
        self._loop.run_forever()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        text = (await request.json())["messages"][-1]["content"]
        self._nth[text] += 1
        self.calls += 1
        self.in_flight += 1
        try:
            await asyncio.sleep(self.delay_s)
            if time.monotonic() < self.out_until:
                request.transport.abort()
                return web.Response()
            return self._said(request, text)
        finally:
            self.in_flight -= 1

    def _said(self, request: web.Request, text: str) -> web.StreamResponse:
        dice = random.Random(f"{self.seed} {text} {self._nth[text]}")
        fault = dice.choice(FAULTS) if text != "1 + 1 = ?" and dice.random() < self.share else None
        if fault == "reset":
            request.transport.abort()
            return web.Response()
        if isinstance(fault, tuple):
            return web.Response(status=fault[0], text=fault[1])
        if fault is None:
            self.good[text] += 1
        return web.Response(text=json.dumps(fault or _completion()))

    @property
    def paid_twice(self) -> int:
        return sum(count - 1 for text, count in self.good.items() if text != "1 + 1 = ?")


def work(options: argparse.Namespace) -> None:
    """One run in a process of its own: prints what came of its rows."""
    logging.disable()
    role = ModelRole(
        role="juror", model="m", urls=[options.url], structured="prompt", timeout_s=30.0,
        concurrency=options.concurrency, give_up_after_s=options.give_up_s,
    )  # fmt: skip
    budgets = {"run": Cap(calls=options.cap)} if options.cap else {}
    home = options.home or None
    models = LanguageModels(
        roles=[role], ledger=Ledger(url=options.ledger), budgets=budgets, home=home
    )
    if options.full_s:
        threading.Thread(target=_fill, args=(options,), daemon=True).start()
    asker = Asker(models, options.asset, options.run, Progress(options.asset, lambda line: None))
    numbers = range(options.start, options.start + options.rows)
    source = (
        call.ChatRequest(f"r{i}", ({"role": "user", "content": f"q{i}"},), call.Sampling())
        for i in numbers
    )
    outcomes, stopped = Counter(), ""
    try:
        for outcome in asker("juror", source, _parse):
            outcomes["valued" if outcome.value else "dropped"] += 1
    except Exception as error:
        stopped = str(getattr(error, "description", error))[:300]
    report = {**outcomes, "paid": asker.usage.paid, "stopped": stopped}
    sys.stdout.write(json.dumps(report))


def _fill(options: argparse.Namespace) -> None:
    """Let no file grow for a while: what a full disk does to a database."""
    time.sleep(1.0)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    time.sleep(options.full_s)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def _parse(answer: call.Answer) -> str:
    if not answer.text.startswith("safe"):
        raise call.Unreadable("not safe")
    return answer.text


def start(server: Server, ledger: str, home: Path, rows: int, **more: Any) -> subprocess.Popen[str]:
    """Start a run."""
    given = {"url": server.url, "ledger": ledger, "home": home, "rows": rows, **more}
    options = itertools.chain.from_iterable(
        (f"--{name.replace('_', '-')}", str(value)) for name, value in given.items()
    )
    command = [sys.executable, __file__, "--work", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a run told at its end."""
    out, errors = process.communicate(timeout=400)
    return json.loads(out) if out else {"stopped": errors[-400:], "rc": process.returncode}


def _sound(report: dict[str, Any], rows: int) -> bool:
    return not report["stopped"] and report.get("valued", 0) + report.get("dropped", 0) == rows


def faults(ledger: str, home: Path, rows: int) -> dict[str, Any]:
    """All faults mixed."""
    server = Server(_SHARE)
    report = end(start(server, ledger, home, rows))
    again = end(start(server, ledger, home, rows, run="again"))
    ok = _sound(report, rows) and _sound(again, rows) and not server.paid_twice
    return {"run": report, "again": again, "paid_twice": server.paid_twice,
            "ok": ok and again["paid"] == 0}  # fmt: skip


def full(ledger: str, home: Path, rows: int) -> dict[str, Any]:
    """A disk that is full for some seconds."""
    server = Server(delay_s=_SLOW_S)
    report = end(start(server, ledger, home, rows, full_s=5.0))
    return {"run": report, "paid_twice": server.paid_twice, "calls": server.calls,
            "ok": _sound(report, rows) and server.calls == rows}  # fmt: skip


def locked(ledger: str, home: Path, rows: int, lock_s: float) -> dict[str, Any]:
    """The ledger locked in mid-run."""
    server = Server(delay_s=_SLOW_S)
    end(start(server, ledger, home, 1, start=10**6))
    process = start(server, ledger, home, rows)
    _until(lambda: server.calls > rows // 3)
    with _lock(ledger):
        time.sleep(lock_s)
        while_locked = server.calls
    report = end(process)
    return {"run": report, "lock_s": lock_s, "calls_while_locked": while_locked,
            "ok": _sound(report, rows) and server.calls == rows + 1}  # fmt: skip


@contextmanager
def _lock(ledger: str) -> Iterator[None]:
    if ledger.startswith("sqlite"):
        connection = sqlite3.connect(ledger.removeprefix("sqlite:///"), timeout=60)
        connection.execute("begin immediate")
        yield
        connection.rollback()
        connection.close()
        return
    with sa.create_engine(ledger, poolclass=sa.NullPool).begin() as held:
        held.execute(sa.text("LOCK TABLE calls IN ACCESS EXCLUSIVE MODE"))
        yield


def at_once(ledger: str, home: Path, rows: int, two_homes: bool) -> dict[str, Any]:
    """Two runs of the same rows at once, in one home or in two."""
    server = Server()
    homes = [home / "1", home / "2"] if two_homes else [home, home]
    runs = [start(server, ledger, at, rows, run=f"run{n}") for n, at in enumerate(homes)]
    reports = [end(process) for process in runs]
    return {"runs": reports, "paid_twice": server.paid_twice, "calls": server.calls,
            "ok": all(_sound(one, rows) for one in reports) and server.calls == rows}  # fmt: skip


def killed(ledger: str, home: Path, rows: int) -> dict[str, Any]:
    """Kill -9 at three moments; the next run takes over."""
    server, in_flight, concurrency = Server(), 0, 32
    for share in (0.2, 0.4, 0.7):
        process = start(server, ledger, home, rows, run=f"run{share}", concurrency=concurrency)
        _until(lambda share=share: server.calls > rows * share)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        _until(lambda: server.in_flight == 0)
        in_flight += server.calls - in_flight - Ledger(url=ledger).count()
    report = end(start(server, ledger, home, rows, run="last", concurrency=concurrency))
    return {"run": report, "paid_twice": server.paid_twice, "in_flight_at_kills": in_flight,
            "ok": _sound(report, rows) and server.paid_twice <= in_flight}  # fmt: skip


def capped(ledger: str, home: Path, rows: int) -> dict[str, Any]:
    """Two steps of one run under one cap."""
    server, cap = Server(), rows // 2
    runs = [
        start(server, ledger, home, rows, start=n * rows, cap=cap, asset=f"step{n}") for n in (0, 1)
    ]
    reports = [end(process) for process in runs]
    return {"runs": reports, "cap": cap, "calls": server.calls, "ok": server.calls <= cap}


def restarted(pg: "Postgres", home: Path, rows: int) -> dict[str, Any]:
    """PostgreSQL stopped and started in mid-run."""
    server = Server(delay_s=_SLOW_S)
    process = start(server, pg.url, home, rows)
    _until(lambda: server.calls > rows // 3)
    pg.restart()
    report = end(process)
    return {"run": report, "calls": server.calls, "paid_twice": server.paid_twice,
            "ok": _sound(report, rows) and server.calls == rows}  # fmt: skip


def outage(ledger: str, home: Path, rows: int) -> dict[str, Any]:
    """What an outage of one second costs, at 64 at once."""
    took = []
    for number, out_s in enumerate((0.0, 1.0)):
        server = Server(delay_s=0.1)
        process = start(server, ledger, home, rows, start=number * rows, run=f"run{number}")
        _until(lambda server=server: server.calls > rows // 3)
        began = time.monotonic()
        server.out_until = began + out_s
        end(process)
        took.append(time.monotonic() - began)
    cost = took[1] - took[0]
    return {"without_s": took[0], "with_s": took[1], "cost_s": cost, "ok": cost <= 5.0}


class Postgres:
    """A PostgreSQL server of the drill's own, in a temporary folder."""

    def __init__(self, programs: Path, home: Path) -> None:
        self._programs, self._home, self._n = programs, home, itertools.count()
        self._owner = "postgres" if os.getuid() == 0 else None
        os.chmod(home, 0o777)
        self._data = home / "data"
        self._do("initdb", "-D", str(self._data), "-A", "trust", "-N", "-E", "UTF8", "-U", "drill")
        self._control("start")
        self.base = f"postgresql+psycopg2://drill@/postgres?host={home}"
        self.url = ""

    def fresh(self) -> str:
        """The URL of a new database."""
        name = f"drill{next(self._n)}"
        engine = sa.create_engine(self.base, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        self.url = self.base.replace("/postgres?", f"/{name}?")
        return self.url

    def restart(self) -> None:
        """As after a crash: at once, and away for two seconds."""
        self._control("stop")
        time.sleep(2.0)
        self._control("start")

    def stop(self) -> None:
        self._control("stop")

    def _control(self, what: str) -> None:
        options = f"-c listen_addresses= -c unix_socket_directories={self._home}"
        more = ["-o", options, "-l", str(self._home / "log")] if what == "start" else ["-m", "fast"]
        self._do("pg_ctl", "-D", str(self._data), "-w", *more, what)

    def _do(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, *arguments], check=True, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, user=self._owner, cwd=self._home,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )  # fmt: skip


def _until(holds: Any, within_s: float = 120.0) -> None:
    until = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > until:
            raise SystemExit("the drill waited in vain; ask for more rows")
        time.sleep(0.005)


def drill(options: argparse.Namespace) -> dict[str, Any]:
    """All situations over all databases."""
    found: dict[str, Any] = {}
    rows = options.rows
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        pg = None
        if programs := postgres.programs():
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pg")))
            pg = Postgres(programs, place)
            stack.callback(pg.stop)
        homes = (Path(folder) / str(number) for number in itertools.count())

        def do(name: str, database: str, situation: Any, *more: Any) -> None:
            if options.only not in f"{name}, {database}":
                return
            home = next(homes)
            home.mkdir()
            ledger = pg.fresh() if pg and database == "postgresql" else f"sqlite:///{home / 'l.db'}"
            found[f"{name}, {database}"] = report = situation(ledger, home, rows, *more)
            say(f"{name}, {database}: {json.dumps(report)}")

        for database in ("sqlite", "postgresql") if pg else ("sqlite",):
            do("faults", database, faults)
            do("locked", database, locked, options.lock_s)
            do("two runs in a home", database, at_once, False)
            do("two homes", database, at_once, True)
            do("kill -9", database, killed)
            do("cap", database, capped)
        do("disk full", "sqlite", full)
        do("outage", "sqlite", outage)
        if pg:
            do("restarted", "postgresql", lambda _, home, rows: restarted(pg, home, rows))
    return found | {"ok": all(one["ok"] for one in found.values())}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--lock-s", type=float, default=70.0)
    parser.add_argument("--only", default="", help="situations whose name holds this")
    for name, kind, default in (
        ("url", str, ""), ("ledger", str, ""), ("home", str, ""), ("run", str, "run"),
        ("asset", str, "asset"), ("start", int, 0), ("cap", int, 0), ("concurrency", int, 64),
        ("give-up-s", float, 300.0), ("full-s", float, 0.0),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=kind, default=default, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options)
        return 0
    report = drill(options)
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
