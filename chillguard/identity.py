"""Identity and stable draws (docs/explanation/identity.md): who a row is, and who gets drawn.

Ids are 128-bit hex digests of what a row was at birth. They are assigned once and never
recomputed, whatever happens to the text later. What a stage makes of them is its own.

A root has two ids. Its `prompt_id` (`post_id` of a post) is of its text as stored, so that copies
in different spellings are rows of their own and a drop can name its twin. Its `family_id` is of its
compared form (`chillguard.text.matching.family_id`), so that these copies are one family, whatever
their sources, and have one side of the split for ever; what is drawn for a root is drawn by its
family. The name of a source is part of neither.
"""

import hashlib
import heapq
import json
from collections.abc import Callable, Iterable, Sequence

import pyarrow as pa
from pydantic_core import to_json

_ID_DIGITS = 32
_ORDER_BYTES = 16
# Made once: `json.dumps` with options makes an encoder per call.
_form = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_IN_ONE_PIECE = 1 << 30
_ROWS_A_PIECE = 4096


def digest(*parts: object) -> str:
    """Thirty-two hex digits over the JSON form of `parts`; order and types both count."""
    return _digits(_form(parts).encode("utf-8"))


def text_hash(text: str) -> str:
    """Digest of the text alone: equal for two rows that hold the same text."""
    return _digits(to_json(("text", text)))


def post_id(text: str) -> str:
    """Id of a post: the same text from two sources is one post."""
    return digest("post", text)


def prompt_id(origin: str, parents: Sequence[str], method: str, repeat: int, text: str) -> str:
    """Id of a prompt from its birth: origin, parent ids, method, repeat, source text.

    The method of a row that was read from a file is empty.
    """
    # The same bytes as `digest` makes, sooner; of floats, which stand in no id, some would differ.
    return _digits(to_json(("prompt", origin, list(parents), method, repeat, text)))


def draw_id(query_id: str, method: str, post_ids: Iterable[str]) -> str:
    """Id of a query and the posts it drew, in whatever order: the row that asks the model."""
    return digest("draw", query_id, method, sorted(post_ids))


def table_digest(table: pa.Table) -> str:
    """Digest of a table: its schema and rows, however they are cut into chunks.

    Data versions and training jobs are named by it: another form of it makes every asset stale and
    trains every model anew.
    """
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        if table.nbytes < _IN_ONE_PIECE:
            writer.write_table(table.combine_chunks())
        else:
            # A column of text in one piece has room for 2 GiB. Made anew, since what a slice
            # takes over of its table depends on how that was cut.
            for start in range(0, table.num_rows, _ROWS_A_PIECE):
                rows = table.slice(start, _ROWS_A_PIECE).to_pylist()
                writer.write_table(pa.Table.from_pylist(rows, schema=table.schema))
    return hashlib.sha256(stream.getvalue()).hexdigest()


def _digits(form: bytes) -> str:
    return hashlib.sha256(form).hexdigest()[:_ID_DIGITS]


def hash_order(*parts: str) -> bytes:
    """Sort key that is uniform in its parts and independent of every other row."""
    return hashlib.blake2b("\x00".join(parts).encode("utf-8"), digest_size=_ORDER_BYTES).digest()


def ordering(drawer: str) -> Callable[[str], bytes]:
    """`hash_order` of the drawer and one more part; the drawer is hashed once for all of them."""
    begun = hashlib.blake2b(f"{drawer}\x00".encode(), digest_size=_ORDER_BYTES)

    def order(part: str) -> bytes:
        whole = begun.copy()
        whole.update(part.encode())
        return whole.digest()

    return order


def rendezvous(drawer: str, candidates: Iterable[str], k: int) -> list[str]:
    """The k candidates with the smallest hash(drawer, candidate), smallest first.

    A candidate that comes or goes changes only the draws that it wins or loses.
    """
    order = ordering(drawer)
    return heapq.nsmallest(k, set(candidates), key=lambda one: (order(one), one))
