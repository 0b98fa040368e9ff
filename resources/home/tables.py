"""Tables on disk or on an object store: a Parquet file per asset, under its schema, in one move.

`tables/<asset key>/part-00000.parquet`; the schema is that of the key's table.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import PrivateAttr
from upath import UPath

from chillguard.tables import table_of
from chillguard.tables.table import Fact, Table
from resources.home.whole import write_parquet

_PART = "part-00000.parquet"


class ParquetTables(dg.UPathIOManager):
    """Reads and writes `pyarrow.Table` values; the schema is enforced on the way in."""

    extension = None

    def get_asset_relative_path(self, context: dg.InputContext | dg.OutputContext) -> UPath:
        """Folder and file of an asset."""
        return UPath(*context.asset_key.path, _PART)

    def make_directory(self, path: UPath) -> None:
        """On disk only: on an object store it would make the bucket that a URL misspells."""
        if _is_local(path):
            super().make_directory(path)

    def dump_to_path(self, context: dg.OutputContext, obj: Any, path: UPath) -> None:
        """Write the table so that a reader sees the old file or the new."""
        kind = table_of(context.asset_key.path)
        table = kind.enforce(obj)
        with _reaching(path, *context.asset_key.path):
            digest = _write(table, path)
        context.log.info(f"{context.asset_key.to_user_string()}: {table.num_rows:,} rows")
        context.add_output_metadata(
            {
                "dagster/row_count": table.num_rows,
                "sha256": digest,
                "dagster/column_schema": column_schema(kind),
            }
        )

    def load_from_path(self, context: dg.InputContext, path: UPath) -> pa.Table:
        """The table; raises `dg.Failure` when it has not been made yet."""
        key = context.asset_key.to_user_string()
        with _reaching(path, *context.asset_key.path):
            try:
                with path.open("rb") as file:
                    return pq.read_table(file)
            except FileNotFoundError:
                raise dg.Failure(
                    f"table {key} does not exist at {path}: materialize asset {key} first"
                ) from None
            except PermissionError as error:
                if not _is_local(path):
                    raise
                raise dg.Failure(
                    f"table {key} at {path} may not be read ({error}): mend the rights of the file"
                ) from None
            except (pa.ArrowInvalid, OSError) as error:
                raise dg.Failure(
                    f"table {key} at {path} is damaged ({error}): materialize asset {key} again"
                ) from None


class Tables(dg.ConfigurableResource):
    """Tables outside the lineage: as the last run left them; `folder` may be any fsspec URL."""

    folder: str

    def read(self, *key: str) -> pa.Table | None:
        """The table of an asset key, or None if it has not been made."""
        path = UPath(self.folder, *key, _PART)
        with _reaching(path, *key):
            if not path.exists():
                return None
            try:
                with path.open("rb") as file:
                    return pq.read_table(file)
            except pa.ArrowInvalid as error:
                name = "/".join(key)
                raise dg.Failure(
                    f"table {name} at {path} is damaged ({error}): materialize asset {name} again"
                ) from None

    def made_at(self, *key: str) -> float | None:
        """When the table of an asset key was written, in seconds; None if it has not been made."""
        path = UPath(self.folder, *key, _PART)
        with _reaching(path, *key):
            return float(path.stat().st_mtime) if path.exists() else None

    def made(self) -> list[tuple[str, ...]]:
        """Keys of all tables that have been made."""
        root = UPath(self.folder)
        with _reaching(root):
            found = root.glob(f"**/{_PART}") if root.exists() else ()
            return sorted(tuple(path.parent.relative_to(root).parts) for path in found)

    def write(self, table: pa.Table, *key: str) -> None:
        """Replace the table of an asset key, under its schema."""
        path = UPath(self.folder, *key, _PART)
        whole = table_of(key).enforce(table)
        with _reaching(path, *key):
            _write(whole, path)


class TablesIOManager(dg.ConfigurableIOManagerFactory):
    """The IO manager of every asset; `folder` may be any fsspec URL."""

    folder: str
    _tables: ParquetTables | None = PrivateAttr(default=None)

    def create_io_manager(self, context: dg.InitResourceContext) -> ParquetTables:
        """The manager over `folder`."""
        return ParquetTables(base_path=UPath(self.folder))


def column_schema(kind: Table) -> dg.TableSchema:
    """The columns as Dagster shows them: types, meanings, what they may hold and what is true."""
    facts = get_args(Fact)
    columns = [
        dg.TableColumn(
            column.name,
            str(column.type),
            column.doc,
            dg.TableColumnConstraints(
                nullable=column.nullable,
                unique=kind.key == (column.name,),
                other=[f"one of {', '.join(column.values)}"] if column.values else [],
            ),
            tags={fact: "" for fact in facts if getattr(column, fact)},
        )
        for column in kind.columns
    ]
    return dg.TableSchema(columns, dg.TableConstraints([f"sorted by {', '.join(kind.key)}"]))


def _write(table: pa.Table, path: UPath) -> str:
    """Replace a file at once; returns the digest of its bytes.

    An object store has no move, and needs none: what is put there is seen when it is complete.
    """
    if not _is_local(path):
        content = pa.BufferOutputStream()
        pq.write_table(table, content, compression="zstd")
        whole = content.getvalue().to_pybytes()
        path.fs.pipe_file(path.path, whole)
        return hashlib.sha256(whole).hexdigest()
    return write_parquet(table, Path(path.path))


@contextmanager
def _reaching(path: UPath, *key: str) -> Iterator[None]:
    """Say what to do when an object store cannot be used; clients fail in errors of their own."""
    try:
        yield
    except Exception as error:
        if _is_local(path) or isinstance(error, (dg.Failure, pa.ArrowInvalid)):
            raise
        mend = (
            f"install the group `scale` (make .venv/scale), or what opens {path.protocol}://"
            if isinstance(error, ImportError)
            else "the bucket must exist, and the environment must hold credentials for it (of s3: "
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL of another store than "
            "Amazon's)"
        )
        name = "/".join(key)
        what, again = f"table {name}", f"; then materialize asset {name} again"
        if not key:
            what, again = "the folder of tables", ""
        raise dg.Failure(f"{what} cannot be reached at {path} ({error}): {mend}{again}") from None


def _is_local(path: UPath) -> bool:
    return path.protocol in ("", "file", "local")
