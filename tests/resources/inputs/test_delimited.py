import pytest

from chillguard.rows import records
from resources.inputs import files

ROWS = [f"第{n}句话,{n}" for n in range(1, 40)]


def _read(path, content, **more):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    source = records.SourceConfig(
        name="mine", path=path, **{"columns": {"text": "text", "id": "id"}, **more}
    )
    rejects = []
    good = [(row["text"], row["id"]) for row in files.accepted(source, (), rejects)]
    return good, [(reject.line, reject.reason) for reject in rejects]


def test_a_quote_that_is_never_closed_costs_its_own_row_only(tmp_path):
    lines = ["text,id", '"' + ROWS[0], *ROWS[1:]]
    good, rejects = _read(tmp_path / "a.csv", "\n".join(lines))
    assert good == [tuple(row.split(",")) for row in ROWS[1:]]
    assert [line for line, _ in rejects] == [2]
    assert "a quote opens here" in rejects[0][1]
    assert "up to line 40" in rejects[0][1]


def test_a_quote_that_another_row_closes_costs_its_own_row_only(tmp_path):
    lines = ["text,id", '"' + ROWS[0], *ROWS[1:20], '"有逗号,的一句",20', *ROWS[20:]]
    good, rejects = _read(tmp_path / "a.csv", "\n".join(lines))
    assert len(good) == 39
    assert ("有逗号,的一句", "20") in good
    assert [line for line, _ in rejects] == [2]


def test_rows_that_one_quoted_field_seems_to_hold_are_told_with_their_lines(tmp_path):
    lines = ["text,id", '"' + ROWS[0], *ROWS[1:37], '最后一句",38', "又一句,39"]
    good, rejects = _read(tmp_path / "a.csv", "\n".join(lines))
    assert good == [("又一句", "39")]
    [(line, reason)] = rejects
    assert line == 39
    assert "from line 2 to line 39" in reason


def test_a_text_of_many_lines_is_one_row(tmp_path):
    text = "\n".join(f"第{n}行，没有别的" for n in range(200))
    assert _read(tmp_path / "a.csv", f'text,id\n"{text}",1\n') == ([(text, "1")], [])


def test_a_field_over_a_thousand_lines_is_told(tmp_path):
    text = "\n".join("行" for _ in range(1100))
    _, rejects = _read(tmp_path / "a.csv", f'text,id\n"{text}",1\n好,2\n')
    assert "from line 2 to line 1101" in rejects[0][1]


def test_the_lines_of_a_field_with_a_bad_quote_are_rejected_and_not_taken_for_rows(tmp_path):
    content = 'text,id\n"一行\n他说"好",1\n三行",2\n好,3\n'
    good, rejects = _read(tmp_path / "a.csv", content)
    assert good == [("好", "3")]
    assert [line for line, _ in rejects] == [2, 3, 4]


def test_one_column_with_an_open_quote_is_not_guessed_at(tmp_path):
    content = 'text\n"一行\n二行\n三行\n'
    path = tmp_path / "a.csv"
    path.write_text(content)
    rejects = []
    source = records.SourceConfig(name="mine", path=path)
    with pytest.raises(Exception, match=r"no row can be used; first, line 2.*a quote opens here"):
        [*files.accepted(source, (), rejects)]
    assert [reject.line for reject in rejects] == [2, 3, 4]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("declared", [False, True])
def test_the_delimiter_is_the_one_with_which_the_header_holds_the_columns(
    tmp_path, delimiter, declared
):
    content = delimiter.join(["id", "text"]) + "\r\n" + delimiter.join(["1", "好，一句"]) + "\r\n"
    more = {"delimiter": delimiter} if declared else {}
    assert _read(tmp_path / "a.csv", content, **more) == ([("好，一句", "1")], [])


def test_a_delimiter_that_nobody_guesses_can_be_declared(tmp_path):
    path = tmp_path / "a.csv"
    assert _read(path, "text^id\n好^1\n", delimiter="^") == ([("好", "1")], [])
    with pytest.raises(Exception, match="there is no column 'text'"):
        _read(path, "text^id\n好^1\n")


def test_two_columns_of_one_name_are_told(tmp_path):
    with pytest.raises(Exception, match="two columns are called 'text'"):
        _read(tmp_path / "a.csv", "text,id,text\n一,1,二\n")


def test_a_whole_name_with_a_dot_is_found(tmp_path):
    columns = {"text": "data.text", "id": "id"}
    assert _read(tmp_path / "a.csv", "data.text,id\n好,1\n", columns=columns)[0] == [("好", "1")]
