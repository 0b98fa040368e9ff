"""How `make run` ends: what was made, where it lies, what was left out; or why the run failed.

The last line of a failed run is the sentence that says why; its traces are in Dagster's log.
"""

import sys
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from pipelines import ending
from pipelines import profile as profiles
from resources.home.releases import SIDES, Releases
from resources.models.chat import without_credentials
from resources.models.ledger import Ledger

# Wide enough for any path: a path that is cut cannot be copied.
_WIDTH = 4000


def main(status: int = 0) -> None:
    """Print the end of the run that just ended with `status`, its exit status; exits with it."""
    with dg.DagsterInstance.get() as instance:
        run = ending.last_run(instance)
        if status:
            _print_causes(instance, run)
            raise SystemExit(status)
        try:
            _print_release()
            if run:
                _print_left_out(instance, run)
        except dg.Failure as failure:
            sys.exit(failure.description)


def _print_causes(instance: dg.DagsterInstance, run: dg.DagsterRun | None) -> None:
    # A profile that cannot be used ends before there is a run, and was told already.
    if run and run.status is not dg.DagsterRunStatus.SUCCESS:
        for cause in reversed(ending.causes(instance, run.run_id)):
            sys.stderr.write(f"{cause}\n")


def _print_release() -> None:
    home = profiles.home()
    releases = Releases(folder=str(home / "release"))
    versions = releases.versions()
    if not versions:
        sys.exit(f"there is no release under {home}: run `make run` first")
    version = versions[-1]
    sides = [releases.path(version, side) for side in SIDES]
    rows = [(str(path), f"{pq.read_metadata(path).num_rows:,} rows") for path in sides]
    names = ("README.md", "report.html", "losses.parquet")
    rows += [(str(sides[0].parent / name), "") for name in names]
    ledger = profiles.active().ledger_url(home)
    rows.append((without_credentials(ledger), f"{Ledger(url=ledger).count():,} calls paid so far"))
    table = Table.grid("", "", padding=(0, 2))
    for row in rows:
        table.add_row(*row)
    console = Console(width=_WIDTH)
    console.print(f"release {version}", table)
    losses = sides[0].parent / "losses.parquet"
    if losses.exists():
        console.print(ending.dropped(_reasons(losses)), highlight=False)


def _reasons(losses: Path) -> list[str]:
    reasons: list[str] = pq.read_table(losses)["drop_reason"].to_pylist()
    return reasons


def _print_left_out(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    from pipelines.definitions import defs

    for line in ending.left_out(instance, run.run_id):
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"{ending.stale(instance, defs)}\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
