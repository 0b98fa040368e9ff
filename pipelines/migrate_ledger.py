"""`make migrate-ledger FROM=… TO=…`: copies the ledger and the crawled posts to another database.

The profile then names the new one under `ledger`. The source stays as it is.
"""

import argparse
import sys

import dagster as dg

from resources import migration


def main() -> None:
    """Copy and print the counts of every table; the exit status is 1 when something is amiss."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="SQLAlchemy URL, such as sqlite:////home/me/data/ledger.db")
    parser.add_argument("target", help="SQLAlchemy URL, such as postgresql+psycopg2://me@host/name")
    given = parser.parse_args()
    try:
        moved = migration.copy(given.source, given.target, _tell)
    except dg.Failure as failure:
        sys.exit(f"migrate-ledger: {failure.description}")
    rows, there = sum(one.rows for one in moved), sum(one.there for one in moved)
    sys.stdout.write(f"{rows:,} rows are at both ends, {there:,} of them were there before\n")


def _tell(moved: migration.Moved) -> None:
    new = moved.rows - moved.there
    sys.stdout.write(
        f"{moved.table:<15} {moved.rows:>12,} rows {new:>12,} copied {moved.there:>12,} there\n"
    )


if __name__ == "__main__":
    main()
