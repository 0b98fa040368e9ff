"""Whether a file, or a data set, has the columns that its source names."""

from collections.abc import Iterable

import dagster as dg

from chillguard.rows import records
from chillguard.rows.sources import has


def need_columns(source: records.AnySource, place: str, names: Iterable[str]) -> None:
    """Raise `dg.Failure`, with one sentence, unless all columns that the source names are there."""
    columns = list(names)
    for column in [*source.columns.values(), *source.where]:
        if not has(columns, column):
            raise dg.Failure(
                f"source {source.name!r}: {place}: there is no column {column!r}; the file has "
                f"{sorted(columns)}. Set `columns` in the profile."
            )
        if columns.count(column) > 1:
            raise dg.Failure(
                f"source {source.name!r}: {place}: two columns are called {column!r}; rename one"
            )
