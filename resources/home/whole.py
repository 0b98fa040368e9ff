"""Files and folders that are there whole or not at all, whenever a process is killed.

What is written goes to a draft beside its place: a hidden name that no other writer shares. The
draft is put on the disk, then moved into place in one step. A reader sees the old content or the
new. A draft that a kill leaves behind is never read; the next that is written beside it sweeps it.
"""

import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

_DRAFT = re.compile(r"\..+\.(\d+)-[0-9a-f]{8}")
_SWEPT_AFTER_S = 10.0


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
    _sweep(path.parent)
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")


def _sweep(folder: Path) -> None:
    """Remove drafts of processes that are no more.

    Another machine that shares the folder has processes of its own: what was touched a moment ago
    may be its draft, and is left to the next.
    """
    for draft in folder.glob(".*"):
        process = _DRAFT.fullmatch(draft.name)
        if process and not psutil.pid_exists(int(process[1])) and _idle_s(draft) > _SWEPT_AFTER_S:
            if draft.is_dir():
                shutil.rmtree(draft, ignore_errors=True)
            else:
                draft.unlink(missing_ok=True)


def _idle_s(draft: Path) -> float:
    try:
        touched = max(path.stat().st_mtime for path in (draft, *draft.rglob("*")))
    except OSError:
        return 0.0
    return time.time() - touched


def _on_disk(path: Path) -> None:
    # Without it a machine that loses power may keep the move and lose what was moved.
    with path.open("rb") as file:
        os.fsync(file.fileno())
