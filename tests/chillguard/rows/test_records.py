import pytest

from chillguard.rows import records
from chillguard.tables import lineage

NAMED = {"text": "text", "label": "label", "category": "kind"}


def _source(**columns):
    return records.SourceConfig(name="own", path="data/own.jsonl", **columns)


def _accept(rows, source=None, codes=("A1", "A2")):
    """Good records and rejects of plain dicts, whose lines count from 1."""
    parsed = [
        row if isinstance(row, records.Parsed) else records.Parsed(line, row)
        for line, row in enumerate(rows, 1)
    ]
    rejects = []
    good = list(records.accept(parsed, source or _source(), codes, rejects))
    return good, rejects


GOOD = {"text": "今天适合散步吗？", "label": "safe", "kind": None}


def test_a_good_row_has_its_fields_its_source_and_its_terms():
    source = _source(columns={**NAMED, "id": "nr", "url": "at"}, lang="zh", may_redistribute=True)
    good, rejects = _accept([{**GOOD, "nr": 7, "at": "https://example.org/7"}], source)
    assert rejects == []
    assert good == [
        {
            "text": "今天适合散步吗？",
            "label": "safe",
            "id": "7",
            "url": "https://example.org/7",
            "source": "own",
            "lang": "zh",
            "may_redistribute": True,
            "may_train": True,
        }
    ]


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        ({"label": "safe", "kind": None}, "text", "there is no text"),
        ({**GOOD, "text": None}, "text", "there is no text"),
        ({**GOOD, "text": ["一", "二"]}, "text", "text is list, not a string"),
        ({**GOOD, "text": 12}, "text", "text is int, not a string"),
        ({**GOOD, "text": " \n　"}, "text", "text is empty"),
        ({**GOOD, "text": "半个\ud83d表情"}, "text", "holds a lone surrogate"),
        ({**GOOD, "label": "ok"}, "label", "label 'ok' is not one of ['safe', 'unsafe']"),
        ({**GOOD, "label": "Safe"}, "label", "label 'Safe' is not one of ['safe', 'unsafe']"),
        ({**GOOD, "label": 1}, "label", "label 1 is not one of ['safe', 'unsafe']"),
        ({**GOOD, "kind": "A9"}, "kind", "category 'A9' is not in the taxonomy"),
        ({**GOOD, "label": ["safe"]}, "label", "label ['safe'] is not one value"),
        ({**GOOD, "kind": {"a": 1}}, "kind", "category {'a': 1} is not one value"),
        (
            {**GOOD, "kind": "长" * 40},
            "kind",
            "category (str of 42 characters) is not in the taxonomy",
        ),
        (records.Parsed(2, {}, "not JSON"), "*", "not JSON"),
    ],
)
def test_a_bad_row_is_rejected_with_line_column_and_reason(row, column, reason):
    good, rejects = _accept([GOOD, row, GOOD], _source(columns=NAMED))
    assert len(good) == 2
    assert rejects == [records.Reject("own", 2, column, reason)]


@pytest.mark.parametrize("row", [{**GOOD, "text": 12}, {**GOOD, "text": "隐私\ud83d内容"}])
def test_a_reject_never_quotes_the_text(row):
    _, rejects = _accept([GOOD, row])
    assert "12" not in rejects[0].reason
    assert "隐私" not in rejects[0].reason


def test_one_reject_per_row_names_the_first_configured_column_at_fault():
    _, rejects = _accept([GOOD, {"text": "", "label": "x", "kind": "y"}], _source(columns=NAMED))
    assert [reject.column for reject in rejects] == ["text"]


def test_rejects_make_a_table():
    _, rejects = _accept([GOOD, {"text": ""}, {}])
    table = records.rejected_rows(rejects)
    assert lineage.REJECTED_ROWS.problems(table) == []
    assert table["line"].to_pylist() == [2, 3]
    assert records.rejected_rows([]).num_rows == 0


def test_a_file_without_one_good_row_is_an_error_that_says_what_to_set():
    with pytest.raises(records.RecordError) as caught:
        _accept([{"prompt": "今天", "b": 1}, {"prompt": "明天"}])
    assert str(caught.value) == (
        "source 'own', file data/own.jsonl: no row has a column 'text'. The columns of line 1 are "
        "['b', 'prompt']; set `columns`, `where` or `shape` of the source in the profile."
    )


def test_a_file_of_which_every_row_is_bad_says_what_the_first_fault_is():
    with pytest.raises(records.RecordError) as caught:
        _accept([{"text": 1}, {"text": " "}])
    assert str(caught.value) == (
        "source 'own', file data/own.jsonl: no row can be used; first, line 1, column 'text': "
        "text is int, not a string. The file's columns are ['text']; "
        "set `columns` of the source in the profile."
    )


def test_a_file_without_rows_is_named():
    with pytest.raises(records.RecordError, match=r"'own', file data/own\.jsonl: there is not one"):
        _accept([])


def test_a_key_that_some_rows_lack_is_null_in_them():
    rows = [{"text": f"{n} 行"} for n in range(60)] + [{"text": "末行", "label": "unsafe", "nr": 1}]
    good, rejects = _accept(rows, _source(columns={"text": "text", "label": "label", "id": "nr"}))
    assert (len(good), rejects) == (61, [])
    assert [row.get("label") for row in good] == [None] * 60 + ["unsafe"]


@pytest.mark.parametrize(
    "columns", [{"text": "text", "label": "label"}, {"text": "text", "id": "meta.id"}]
)
def test_a_column_that_no_row_has_stops_the_source(columns):
    with pytest.raises(records.RecordError, match="no row has a column"):
        _accept([{"text": "一行", "meta": {}}, {"text": "二行"}], _source(columns=columns))


def test_the_whole_name_of_a_column_goes_before_the_path():
    row = {"data.text": "整名", "data": {"text": "路径"}}
    good, _ = _accept([row], _source(columns={"text": "data.text"}))
    assert good[0]["text"] == "整名"


def test_a_good_row_late_in_the_file_saves_it():
    good, rejects = _accept([{"text": ""}] * 5 + [GOOD])
    assert len(good) == 1
    assert [reject.line for reject in rejects] == [1, 2, 3, 4, 5]


def test_where_keeps_only_the_wanted_rows_and_rejects_none_of_the_others():
    source = _source(where={"meta.lang": ["zh", "zh-CN"], "kind": ["a"]})
    rows = [
        {"text": "一行", "meta": {"lang": "zh"}, "kind": "a"},
        {"text": "二行", "meta": {"lang": "en"}, "kind": "a"},
        {"text": "三行", "meta": {"lang": "zh-CN"}, "kind": "b"},
        {"text": "四行", "meta": "zh", "kind": "a"},
        {"text": "五行"},
        {"text": "六行", "meta": {"lang": "zh-CN"}, "kind": "a"},
    ]
    good, rejects = _accept(rows, source)
    assert [record["text"] for record in good] == ["一行", "六行"]
    assert rejects == []


def test_where_no_row_is_wanted_the_values_seen_are_told():
    rows = [GOOD, GOOD, {**GOOD, "label": None}, {**GOOD, "label": "长" * 40}]
    with pytest.raises(records.RecordError) as caught:
        _accept(rows, _source(where={"label": ["unsafe"]}))
    assert "`where` keeps none of 4 rows: column 'label' should be one of ['unsafe']" in str(
        caught.value
    )
    assert "holds 'safe' (2), '(null)' (1), (str of 42 characters) (1)" in str(caught.value)


FORMS = {
    "1": [1, 1.0, "1", "1.0"],
    "true": [True, "true", "True", "TRUE"],
    "false": [False, "false", "False"],
    "2.5": [2.5, "2.5"],
}


@pytest.mark.parametrize(("form", "value"), [(f, v) for f, vs in FORMS.items() for v in vs])
@pytest.mark.parametrize("in_profile", [0, 1, 2])
def test_a_value_is_compared_by_one_form_whatever_its_type(form, value, in_profile):
    key = FORMS[form][in_profile % len(FORMS[form])]
    row = {**GOOD, "label": value, "kept": value, "nr": value}
    columns = {"text": "text", "label": "label", "id": "nr"}
    source = _source(columns=columns, labels={key: "unsafe"}, where={"kept": [key]})
    good, rejects = _accept([row], source)
    assert rejects == []
    assert (good[0]["label"], good[0]["id"]) == ("unsafe", form)


@pytest.mark.parametrize(
    ("declared", "code"),
    [("zh-CN", "zh"), ("zh_Hans", "zh"), ("Chinese", "zh"), ("en-US", "en"), ("??", None)],
)
def test_a_declared_language_is_normalised(declared, code):
    rows = [{"text": "一行", "lang": declared}]
    assert _accept(rows, _source(columns={"lang": "lang"}))[0][0]["lang"] == code
    assert _accept(rows, _source(lang=declared))[0][0]["lang"] == code


@pytest.mark.parametrize(("limit", "texts"), [(1, ["一"]), (3, ["一", "三"]), (9, None)])
def test_limit_counts_wanted_rows_good_or_bad(limit, texts):
    rows = [{"text": "一"}, {"text": ""}, {"text": "三"}, {"text": "四"}]
    good, _ = _accept(rows, _source(limit=limit))
    assert [record["text"] for record in good] == (["一", "三", "四"] if texts is None else texts)


def test_limit_skips_unwanted_rows_without_counting_them():
    rows = [{"text": "一", "k": "n"}, {"text": "二", "k": "y"}, {"text": "三", "k": "y"}]
    good, _ = _accept(rows, _source(limit=1, where={"k": ["y"]}))
    assert [record["text"] for record in good] == ["二"]


def test_a_limit_stops_reading_the_file():
    def endless():
        line = 0
        while True:
            line += 1
            yield records.Parsed(line, GOOD)

    assert len(list(records.accept(endless(), _source(limit=2), (), []))) == 2


def test_labels_map_the_files_values():
    source = _source(columns=NAMED, labels={"有害": "unsafe", "无害": "safe"})
    rows = [{**GOOD, "label": "有害"}, {**GOOD, "label": "无害"}, {**GOOD, "label": "safe"}]
    good, rejects = _accept(rows, source)
    assert [record["label"] for record in good] == ["unsafe", "safe"]
    assert [(reject.line, reject.column) for reject in rejects] == [(3, "label")]


@pytest.mark.parametrize("missing", [None, ""])
def test_a_null_or_empty_label_or_category_is_absent_not_a_fault(missing):
    row = {**GOOD, "label": missing, "kind": missing}
    good, rejects = _accept([row], _source(columns=NAMED))
    assert rejects == []
    assert "label" not in good[0]
    assert "category" not in good[0]


def test_a_dotted_path_reaches_into_nested_objects():
    source = _source(columns={"text": "turns.first.content", "label": "meta.label"})
    nested = {"turns": {"first": {"content": "你好吗"}}, "meta": {"label": "unsafe"}}
    good, rejects = _accept([nested, {**nested, "turns": {"first": "你好"}}], source)
    assert [(r["text"], r["label"]) for r in good] == [("你好吗", "unsafe")]
    assert rejects == [records.Reject("own", 2, "turns.first.content", "there is no text")]


@pytest.mark.parametrize(
    "config",
    [
        {"colums": {}},
        {"columns": {"txt": "a"}},
        {"labels": {"a": "b"}},
        {"labels": {1: "safe", "1": "unsafe"}},
        {"limit": 0},
        {"limit": -5},
        {"encoding": "utf-9"},
        {"delimiter": '"'},
        {"delimiter": ";;"},
        {"shape": "chat"},
        {"where": {"a": [None]}},
    ],
)
def test_a_misspelt_source_setting_is_refused(config):
    with pytest.raises(ValueError):
        _source(**config)


def test_a_column_of_where_that_no_row_has_is_told_and_not_passed_over():
    rows = [{"text": "一", "meta": {"lang": "zh"}}]
    with pytest.raises(records.RecordError) as caught:
        _accept(rows, _source(where={"metadata.language": ["zh"]}))
    assert "no row has a column 'metadata.language'" in str(caught.value)
    assert "`where`" in str(caught.value)
