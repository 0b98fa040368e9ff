"""Files and folders that are there whole or not at all, whenever a process is killed.

What is written goes to a draft beside its place: a hidden name that no other writer shares. The
draft is put on the disk, then moved into place in one step. A reader sees the old content or the
new. A draft that a kill leaves behind is never read.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


@contextmanager
def draft_file(path: Path) -> Iterator[Path]:
    """Where to write a file: it takes the place of `path` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = _beside(path)
    try:
        yield draft
        _on_disk(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def draft_folder(path: Path) -> Iterator[Path]:
    """A new folder to fill: it becomes `path` when the block ends without an error.

    An empty folder at `path` is replaced, one with content is an error. A block that removes the
    draft keeps what is there.
    """
    draft = _beside(path)
    draft.mkdir(parents=True)
    try:
        yield draft
        if draft.exists():
            for file in draft.rglob("*"):
                if file.is_file():
                    _on_disk(file)
            draft.replace(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a file; returns its path."""
    with draft_file(path) as draft:
        draft.write_bytes(content)
    return path


def write_text(path: Path, text: str) -> Path:
    """Write a file in UTF-8; returns its path."""
    return write_bytes(path, text.encode("utf-8"))


def write_parquet(table: pa.Table, path: Path) -> str:
    """Write a Parquet file; returns the digest of its bytes."""
    with draft_file(path) as draft:
        pq.write_table(table, draft, compression="zstd")
        with draft.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
    return digest


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def _on_disk(path: Path) -> None:
    # Without it a machine that loses power may keep the move and lose what was moved.
    with path.open("rb") as file:
        os.fsync(file.fileno())
