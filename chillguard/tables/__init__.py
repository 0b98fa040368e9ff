"""Every table: columns, key, and what one row is; `ALL` of them by name.

How a table is stored is `resources.home.tables`; how it is filled is its stage.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from chillguard.tables import lineage, training
from chillguard.tables.table import Fact, Table

ALL: Mapping[str, Table[Any]] = {**lineage.TABLES, **training.TABLES}


def table_of(path: Sequence[str]) -> Table[Any]:
    """The table of an asset key, of the data lineage or of an iteration of co-training."""
    return ALL[path[0]] if path[0] in lineage.TABLES else training.TABLES[path[1]]


def where(fact: Fact) -> frozenset[str]:
    """Names of the columns of which a fact is true; a name means the same in every table."""
    return frozenset(column.name for table in ALL.values() for column in table.where(fact))
