"""Files of a home that cannot be read: told by file, cause and mend, in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException)


@contextmanager
def reading(path: Path, what: str, mend: str) -> Iterator[None]:
    """Read a file in this block; raises `dg.Failure` when it is no such file, or damaged."""
    try:
        yield
    except _UNREADABLE as error:
        cause = " ".join(str(error).split())[:200]
        raise dg.Failure(
            f"{what} {path} cannot be read ({type(error).__name__}: {cause}): {mend}"
        ) from None


def read_parquet(path: Path, what: str, mend: str, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file; raises `dg.Failure` when it is none."""
    # Opened here: a path that is no file must not be taken for a data set.
    with reading(path, what, mend), path.open("rb") as file:
        found: Any = pq.read_table(file, columns=columns)
        return found
