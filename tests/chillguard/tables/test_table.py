import pytest

from chillguard import identity
from chillguard.tables import lineage, table

ROWS = [
    {"post_id": f"{n * 7 % 50:02d}", "native_id": f"{n}", "source": "s", "text": f"第{n}句" * 20}
    | {"may_redistribute": True, "may_train": n % 2 == 0}
    for n in range(50)
]


def test_a_table_of_much_text_is_built_in_pieces_that_hold_what_one_would(monkeypatch):
    whole = lineage.CRAWLED_POSTS.build(ROWS)
    monkeypatch.setattr(table, "_CHUNK", 1000)
    pieces = lineage.CRAWLED_POSTS.build(ROWS)
    assert whole["text"].num_chunks == 1
    assert pieces["text"].num_chunks > 3
    assert pieces.equals(whole)
    assert lineage.CRAWLED_POSTS.problems(pieces) == []


@pytest.mark.parametrize("rows_a_piece", [7, 1000])
def test_the_digest_of_much_text_is_of_its_rows_and_not_of_its_pieces(monkeypatch, rows_a_piece):
    whole = lineage.CRAWLED_POSTS.build(ROWS)
    before = identity.table_digest(whole)
    monkeypatch.setattr(table, "_CHUNK", 1000)
    pieces = lineage.CRAWLED_POSTS.build(ROWS)
    assert identity.table_digest(pieces) == before
    monkeypatch.setattr(identity, "_IN_ONE_PIECE", 0)
    monkeypatch.setattr(identity, "_ROWS_A_PIECE", rows_a_piece)
    assert identity.table_digest(pieces) == identity.table_digest(whole)
    assert identity.table_digest(pieces) != identity.table_digest(pieces.slice(1))
