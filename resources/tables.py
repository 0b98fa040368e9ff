"""Tables on disk: one Parquet file per asset, under its schema, written in one move.

`tables/<asset key>/part-00000.parquet`; the schema is that of the key's table.
"""

import hashlib
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import PrivateAttr
from upath import UPath

from chillguard.training import tables as known

_PART = "part-00000.parquet"


class ParquetTables(dg.UPathIOManager):
    """Reads and writes `pyarrow.Table` values; the schema is enforced on the way in."""

    extension = None

    def get_asset_relative_path(self, context: dg.InputContext | dg.OutputContext) -> UPath:
        """Folder and file of an asset."""
        return UPath(*context.asset_key.path, _PART)

    def dump_to_path(self, context: dg.OutputContext, obj: Any, path: UPath) -> None:
        """Write beside the target and move into place: a reader sees the old file or the new."""
        table = known.of(context.asset_key.path).enforce(obj)
        draft = path.with_name(f".{path.name}.{context.run_id}")
        with draft.open("wb") as file:
            pq.write_table(table, file, compression="zstd")
        digest = hashlib.sha256(draft.read_bytes()).hexdigest()
        draft.rename(path)
        context.log.info(f"{context.asset_key.to_user_string()}: {table.num_rows:,} rows")
        context.add_output_metadata(
            {
                "dagster/row_count": table.num_rows,
                "sha256": digest,
            }
        )

    def load_from_path(self, context: dg.InputContext, path: UPath) -> pa.Table:
        """The table; raises `dg.Failure` when it has not been made yet."""
        key = context.asset_key.to_user_string()
        try:
            with path.open("rb") as file:
                return pq.read_table(file)
        except FileNotFoundError:
            raise dg.Failure(
                f"table {key} does not exist at {path}: materialize asset {key} first"
            ) from None
        except (pa.ArrowInvalid, OSError) as error:
            raise dg.Failure(
                f"table {key} at {path} is damaged ({error}): materialize asset {key} again"
            ) from None


class Tables(dg.ConfigurableResource):
    """Tables outside the lineage: as the last run left them."""

    folder: str

    def read(self, *key: str) -> pa.Table | None:
        """The table of an asset key, or None if it has not been made."""
        path = UPath(self.folder, *key, _PART)
        if not path.exists():
            return None
        with path.open("rb") as file:
            return pq.read_table(file)

    def made(self) -> list[tuple[str, ...]]:
        """Keys of all tables that have been made."""
        root = UPath(self.folder)
        found = root.glob(f"**/{_PART}") if root.exists() else ()
        return sorted(tuple(path.parent.relative_to(root).parts) for path in found)

    def write(self, table: pa.Table, *key: str) -> None:
        """Replace the table of an asset key, under its schema."""
        path = UPath(self.folder, *key, _PART)
        draft = path.with_name(f".{path.name}.draft")
        with draft.open("wb") as file:
            pq.write_table(known.of(key).enforce(table), file, compression="zstd")
        draft.rename(path)


class TablesIOManager(dg.ConfigurableIOManagerFactory):
    """The IO manager of every asset; `folder` may be any fsspec URL."""

    folder: str
    _tables: ParquetTables | None = PrivateAttr(default=None)

    def create_io_manager(self, context: dg.InitResourceContext) -> ParquetTables:
        """The manager over `folder`."""
        return ParquetTables(base_path=UPath(self.folder))
