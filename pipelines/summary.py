"""What the newest release is and where it lies: printed at the end of `make run`."""

import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from pipelines import profile
from resources.home.releases import SIDES, Releases
from resources.models.chat import without_credentials
from resources.models.ledger import Ledger

# Wide enough for any path: a path that is cut cannot be copied.
_WIDTH = 4000


def main() -> None:
    """Print paths and row counts of the newest release under the active home."""
    home = profile.home()
    releases = Releases(folder=str(home / "release"))
    versions = releases.versions()
    if not versions:
        Console(stderr=True).print(f"there is no release under {home}: run `make run` first")
        raise SystemExit(1)
    version = versions[-1]
    rows = [
        (str(path), f"{pq.read_metadata(path).num_rows:,} rows")
        for path in (releases.path(version, side) for side in SIDES)
    ]
    folder = releases.path(version, "train").parent
    rows += [(str(folder / name), "") for name in ("README.md", "report.html", "losses.parquet")]
    ledger = profile.active().ledger_url(home)
    rows.append((without_credentials(ledger), f"{Ledger(url=ledger).count():,} calls paid so far"))
    table = Table.grid("", "", padding=(0, 2))
    for row in rows:
        table.add_row(*row)
    Console(width=_WIDTH).print(f"release {version}", table)


if __name__ == "__main__":
    main()
