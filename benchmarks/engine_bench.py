"""Benchmarks of the request engine, against bare HTTP clients and peers; one JSON line per figure.

Contestants take turns, each in a process of its own with an empty home; a value is a median over
rounds, and a ratio is ours over theirs. `docs/explanation/benchmarks.md` says what is measured and
how.
"""

import argparse
import pstats
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from harness import (
    BARE,
    OURS,
    RAMPING,
    ROOT,
    Contestant,
    Failed,
    Server,
    figure,
    home,
    peers,
    say,
)
from kill_drill import drills

Reports = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int
    peers: Sequence[Contestant]
    quick: bool

    def size(self, n: int) -> int:
        """How many requests stand for `n`."""
        return max(50, n // 20) if self.quick else n


def latency(plan: Plan) -> None:
    """A few calls that take long: how near to the ideal."""
    n, c, delay_ms = plan.size(1000), 64, 200
    reports = _race([OURS, RAMPING, *BARE, *plan.peers], plan.rounds, n, c, delay_ms)
    _rates(reports, f"{n:,} calls of {delay_ms} ms, {c} at once", n)


def throughput(plan: Plan) -> None:
    """Many short calls: what the client itself costs. A round with the peers takes two minutes."""
    n, c, delay_ms = plan.size(10_000), 256, 50
    reports = _race([OURS, *BARE, *plan.peers], plan.rounds, n, c, delay_ms)
    _rates(reports, f"{n:,} calls of {delay_ms} ms, {c} at once", n)


def cpu(plan: Plan) -> None:
    """Where the CPU of a call goes, by package."""
    n, c = plan.size(10_000), 256
    with home() as folder, Server(50) as server:
        profile = folder / "profile"
        OURS.do(server.url, n, c, folder, "--profile", str(profile))
        shares = _by_package(profile)
    for package, seconds in shares.most_common():
        share = seconds / shares.total()
        figure(f"share of CPU: {package}", 100 * share, "%", "all CPU, profiled", share)


def memory(plan: Plan) -> None:
    """Memory does not grow with the number of requests, asked or known already."""
    few, many, c = plan.size(20_000), plan.size(200_000), 128
    with Server(0) as server, home() as small, home() as large:
        less = OURS.do(server.url, few, c, small)
        cold = OURS.do(server.url, many, c, large, within_s=900)
        warm = OURS.do(server.url, many, c, large, within_s=900)
    for name, report in (("asked", cold), ("from the ledger", warm)):
        what, ratio = f"{many:,} requests, {name}", report["peak_mb"] / less["peak_mb"]
        figure(f"{what}: peak memory", report["peak_mb"], "MB", f"{few:,} requests", ratio)
        grown = report["peak_mb"] - report["idle_mb"]
        figure(f"{what}: memory above that of the imports", grown, "MB")
        figure(f"{what}: rate", many / report["seconds"], "requests/s")
    figure(f"{many:,} requests, from the ledger: calls", warm["paid"], "calls", "ideal 0")


def behaviour(plan: Plan) -> None:
    """What is paid again, and what is lost, when something small changes or one row is bad."""
    n = plan.size(1000)
    for contestant in (OURS, *plan.peers):
        say(f"behaviour: {contestant.name}")
        auto = ["--kind", "auto"] if contestant is OURS else []
        with Server(5, reads=True) as server, home() as folder:
            first = _calls(contestant, server, n, folder, *auto)
            more = _calls(contestant, server, n + 1, folder, *auto)
            new = ["--system", "You say of a text whether it is harmful."]
            other = _calls(contestant, server, n + 1, folder, *auto, *new)
        with Server(5, reads=True) as server, home() as folder:
            bad = ["--poison", str(n // 2)]
            poison = _calls(contestant, server, n, folder, *auto, *bad)
            again = _calls(contestant, server, n, folder, *auto, *bad)
        name = contestant.name
        _row(f"{n:,} rows, {name}: calls", first, "calls", n)
        _row(f"1 row more in {n:,}, {name}: calls", more, "calls", 1)
        _row(f"1 row more in {n:,}, {name}: answers", more, "kept", n + 1)
        _row(f"system prompt changed, {name}: stale answers", other, "stale", 0)
        _row(f"system prompt changed, {name}: calls", other, "calls", n + 1)
        _row(f"1 poison row in {n:,}, {name}: answers kept", poison, "kept", n - 1)
        _row(f"1 poison row in {n:,}, asked again, {name}: calls", again, "calls", 0)
        if contestant is OURS:
            _row(f"1 poison row in {n:,}, {name}: quarantined", poison, "quarantined", 1)


def kills(plan: Plan) -> None:
    """Calls paid twice after a kill, against what was in flight."""
    n = 1000 if plan.quick else 4000
    for name, report in drills(n, 64, 2 if plan.quick else 10, seed=0).items():
        in_flight = sum(report["in_flight_at_kills"])
        what = f"{report['kills']} x kill -9 ({name}) in {n:,} calls, 64 at once"
        twice = report["paid_twice"]
        told = f"{in_flight} in flight"
        figure(f"{what}: calls paid twice", twice, "calls", told, twice / max(1, in_flight))
        most = max(report["in_flight_at_kills"])
        figure(f"{what}: most calls lost by a kill", most, "calls", "64 at once", most / 64)
        same = int(report["same_answers"] and report["ok"])
        figure(f"{what}: same final answers", same, "1 = yes", "no kill", float(same))


FIGURES: dict[str, Callable[[Plan], None]] = {
    figures.__name__: figures for figures in (latency, throughput, cpu, memory, behaviour, kills)
}


def _race(contestants: Sequence[Contestant], rounds: int, n: int, c: int, delay_ms: int) -> Reports:
    reports: Reports = {contestant.name: [] for contestant in contestants}
    left_out: set[str] = set()
    with Server(delay_ms) as server:
        for turn in range(rounds):
            for contestant in contestants if turn % 2 == 0 else reversed(contestants):
                if contestant.name in left_out:
                    continue
                with home() as folder:
                    server.stats()
                    try:
                        report = contestant.do(server.url, n, c, folder)
                    except Failed as error:
                        if contestant is OURS:
                            raise
                        say(f"left out: {error}")
                        left_out.add(contestant.name)
                        continue
                    seen = server.stats()
                say(
                    f"round {turn + 1}: {contestant.name}: {n / report['seconds']:,.0f}/s, "
                    f"{1000 * report['cpu_s'] / n:.2f} ms CPU a call, {seen}"
                )
                if seen["calls"] < n:
                    raise SystemExit(f"{contestant.name} made {seen['calls']} calls of {n}")
                reports[contestant.name].append(report)
    return reports


def _rates(reports: Reports, what: str, n: int) -> None:
    rates = {name: [n / one["seconds"] for one in made] for name, made in reports.items() if made}
    cost = {name: [1000 * one["cpu_s"] / n for one in made] for name, made in reports.items()}
    ours, ours_cpu = median(rates["ours"]), median(cost["ours"])
    figure(f"{what}: rate", ours, "calls/s", rounds=len(rates["ours"]))
    figure(f"{what}: CPU", ours_cpu, "ms/call", rounds=len(rates["ours"]))
    for name in list(rates)[1:]:
        theirs, theirs_cpu, rounds = median(rates[name]), median(cost[name]), len(rates[name])
        figure(f"{what}: rate of {name}", theirs, "calls/s", "ours", ours / theirs, rounds)
        figure(
            f"{what}: CPU of {name}", theirs_cpu, "ms/call", "ours", ours_cpu / theirs_cpu, rounds
        )


def _calls(
    contestant: Contestant, server: Server, n: int, folder: Path, *options: str
) -> dict[str, Any]:
    """The report of a job, with the calls that the endpoint saw; a job that fails keeps none."""
    server.stats()
    try:
        report = contestant.do(server.url, n, 64, folder, *options)
    except Failed as error:
        say(str(error))
        report = {"kept": 0, "stale": None}
    return report | server.stats()


def _row(metric: str, report: dict[str, Any], name: str, ideal: int) -> None:
    value = report[name]
    ratio = value / ideal if ideal and value is not None else None
    figure(metric, value, "answers" if name in ("kept", "stale") else name, f"ideal {ideal}", ratio)


# What a path or a built-in function's name says about whose work it is; the first match counts.
_PACKAGES = (
    ("chillguard/", f"{ROOT}/chillguard/"),
    ("resources/", f"{ROOT}/resources/"),
    ("the benchmark", f"{ROOT}/tests/"),
    ("httpx_aiohttp", "httpx_aiohttp"),
    ("aiohttp", "aiohttp"),
    ("aiohttp", "yarl"),
    ("aiohttp", "multidict"),
    ("aiohttp", "propcache"),
    ("aiohttp", "frozenlist"),
    ("httpx", "httpx"),
    ("sqlalchemy, sqlite", "sqlalchemy"),
    ("sqlalchemy, sqlite", "sqlite3"),
    ("asyncio, uvloop", "asyncio"),
    ("asyncio, uvloop", "uvloop"),
    ("json", "json"),
)


def _by_package(profile: Path) -> Counter[str]:
    """CPU seconds by package; a built-in function's go to whoever called it."""
    shares: Counter[str] = Counter()
    for function, (_, _, own, _, callers) in pstats.Stats(str(profile)).stats.items():
        package = _package(function)
        if package or not callers:
            shares[package or "other"] += own
            continue
        for caller, (_, _, spent, _) in callers.items():
            shares[_package(caller) or "other"] += spent
    return shares


def _package(function: tuple[str, int, str]) -> str | None:
    place = function[2] if function[0] == "~" else function[0]
    return next((package for package, mark in _PACKAGES if mark in place), None)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=FIGURES, action="append")
    parser.add_argument("--without-peers", action="store_true")
    parser.add_argument("--quick", action="store_true", help="one round of few requests")
    given = parser.parse_args()
    names = given.only or list(FIGURES)
    with_peers = not given.without_peers and {"latency", "throughput", "behaviour"} & {*names}
    rounds = 1 if given.quick else given.rounds
    plan = Plan(rounds, peers() if with_peers else [], given.quick)
    for name in names:
        say(f"measuring {name}")
        FIGURES[name](plan)


if __name__ == "__main__":
    main()
