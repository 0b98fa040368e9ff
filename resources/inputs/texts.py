"""Files of text, opened in their own encoding: plain or gzip, with bounds in bytes.

Only UTF-8, and what a byte order mark names, is read unasked; any other encoding is named.
"""

import codecs
import gzip
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

import dagster as dg
from charset_normalizer import from_bytes

from chillguard.rows import records

MAX_FIELD = 1 << 24
# JSON lines of prompts pack to a tenth; gzip packs zeros to a thousandth.
_MAX_RATIO = 200
_SAMPLE = 1 << 16
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# In the order in which a tie is decided: Chinese is the default.
_LIKELY = ["gb18030", "big5", "big5hkscs", "shift_jis", "euc_jp", "euc_kr"]
Tell = Callable[[str], None]
LOST = "\udcff"
"""Stands for bytes that are none in the file's encoding."""

codecs.register_error("chillguard.lost", lambda error: (LOST, cast(UnicodeDecodeError, error).end))


@contextmanager
def opened(path: Path, source: records.SourceConfig, newline: str = "\n") -> Iterator[TextIO]:
    """The text of a file; bytes that are none in its encoding are read as `LOST`.

    Raises `dg.Failure` for a file in an encoding that the source does not name, and, as it is read,
    `OSError` for one that unpacks to far more than texts do.
    """
    encoding = _encoding(path, source)
    with _bytes(path) as file:
        counted = io.BufferedReader(_Counted(file, path.stat().st_size))
        with io.TextIOWrapper(counted, encoding, "chillguard.lost", newline) as text:
            yield text


def lines(file: TextIO) -> Iterator[str | None]:
    """Lines, None for one that is too long, of which no more than a part is held."""
    cut = False
    while part := file.readline(MAX_FIELD):
        ends = part.endswith("\n") or len(part) < MAX_FIELD
        if ends:
            yield None if cut else part
        cut = not ends
    if cut:
        yield None


def bound(unpacked: int, packed: int) -> None:
    """Raise `OSError` where a file of `packed` bytes gives more than texts of that size do."""
    if unpacked > max(MAX_FIELD << 2, packed * _MAX_RATIO):
        raise OSError(f"it unpacks to more than {_MAX_RATIO} times its size, as no text does")


class _Counted(io.RawIOBase):
    """The bytes of a file, of which there may not be many more than it packs."""

    def __init__(self, file: BinaryIO, packed: int) -> None:
        super().__init__()
        self._file, self._packed, self._unpacked = file, packed, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._file.read(len(buffer))
        self._unpacked += len(part)
        bound(self._unpacked, self._packed)
        buffer[: len(part)] = part
        return len(part)


def _bytes(path: Path) -> BinaryIO:
    packed = path.name.lower().endswith(".gz")
    return cast(BinaryIO, gzip.open(path) if packed else path.open("rb"))


def _encoding(path: Path, source: records.SourceConfig) -> str:
    with _bytes(path) as file:
        sample = file.read(_SAMPLE)
    marked = next((name for mark, name in _MARKS if sample.startswith(mark)), None)
    if source.encoding:
        return marked if marked and marked.startswith(source.encoding) else source.encoding
    guess = None if marked else _other_than_utf_8(sample)
    if guess:
        raise dg.Failure(
            f"source {source.name!r}: file {path} is not UTF-8, and looks like {guess}: save it as "
            f"UTF-8, or say `encoding: {guess}` in the source"
        )
    return marked or "utf-8"


def _other_than_utf_8(sample: bytes) -> str | None:
    """What a text seems to be in if it is not UTF-8; a few bad lines do not make it another."""
    wide = _utf_16_without_mark(sample)
    if wide:
        return wide
    foreign = [line for line in sample.splitlines() if not line.isascii()]
    if len(sample) == _SAMPLE:
        foreign = foreign[:-1]
    bad = sum(not _is_utf_8(line) for line in foreign)
    if bad * 2 <= len(foreign):
        return None
    fitting = from_bytes(b"\n".join(foreign), cp_isolation=_LIKELY, threshold=0.5)
    ranked = sorted(
        (match.chaos, -match.coherence, _LIKELY.index(match.encoding))
        for match in fitting
        if match.encoding in _LIKELY
    )
    return _LIKELY[ranked[0][2]] if ranked else None


def _utf_16_without_mark(sample: bytes) -> str | None:
    """ASCII signs such as quotes and line ends leave zeros at every other place."""
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if max(even, odd) * 20 < len(sample) or min(even, odd) * 3 > max(even, odd):
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _is_utf_8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
