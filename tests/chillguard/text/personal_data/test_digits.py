import pytest

from chillguard.text.personal_data import digits


@pytest.mark.parametrize(
    ("plain", "read"),
    [("138-0013 8000", "13800138000"), ("一三八零零1", ""), ("一三八零零幺3OO", "138001300")],
)
def test_a_row_of_digits_is_read_in_every_spelling(plain, read):
    assert "".join(run.digits for run in digits.runs(digits.RUNS[1], plain)) == read


def test_a_row_knows_where_its_groups_end_and_what_is_a_list():
    (run,) = digits.runs(digits.RUNS[0], "a(138) 0013-8000")
    assert run.ends(0) == [3, 2]
    assert run.span("a(138) 0013-8000", 0, 3) == (1, 16)
    assert run.lists() == {}
    (row,) = digits.runs(digits.RUNS[0], " ".join("1" * 30))
    assert row.lists() == {0: 30}
