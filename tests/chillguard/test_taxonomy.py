import copy

import pytest

from chillguard import taxonomy
from chillguard.tables import lineage
from tests.chillguard import builders


def _changed(change):
    document = copy.deepcopy(builders.document())
    change(document)
    return document


def test_the_packaged_taxonomy_is_the_papers():
    found = taxonomy.parse(taxonomy.packaged("taxonomy.yaml"), "taxonomy.yaml")
    assert len(found.macro) == 5
    assert [len(m.micro) for m in found.macro] == [8, 9, 5, 7, 2]
    assert found.codes[:2] == ("A1", "A2")
    assert all(found.macro_of[code].code == code[0] for code in found.codes)


@pytest.mark.parametrize(("macros", "micros"), [(2, 3), (1, 1), (7, 2)])
def test_any_size_survives_the_way_through_its_table(macros, micros):
    one = taxonomy.parse(builders.document(macros, micros), "own.yaml")
    table = taxonomy.rows(one)
    assert lineage.TAXONOMY.problems(table) == []
    assert table.num_rows == macros + macros * micros
    assert taxonomy.from_rows(table) == one
    assert len(one.codes) == len(one.micro) == len(one.macro_of) == macros * micros


def test_codes_follow_the_file_and_know_their_macro_category():
    assert builders.SMALL.codes == ("M1a", "M1b", "M1c", "M2a", "M2b", "M2c")
    assert builders.SMALL.macro_of["M2b"].code == "M2"
    assert builders.SMALL.micro["M2b"].label_en == "Category M2b"


def test_a_preamble_stands_in_the_rows_of_its_macro_category_only():
    found = builders.by_id(taxonomy.rows(builders.SMALL), "code")
    assert found["M1c"]["preamble_zh"] == found["M1"]["preamble_zh"] == "前言1。"
    assert found["M2a"]["preamble_zh"] is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d.pop("version"), "taxonomy file own.yaml: version: Field required"),
        (lambda d: d["macro"][1].pop("label_zh"), "own.yaml: macro.1.label_zh: Field required"),
        (
            lambda d: d["macro"][0]["micro"][2].update(code=5),
            "own.yaml: macro.0.micro.2.code: Input should be a valid string",
        ),
        (
            lambda d: d["macro"][0]["micro"][2].update(lable="x"),
            "own.yaml: macro.0.micro.2.lable: Extra inputs are not permitted",
        ),
        (
            lambda d: d["macro"][1]["micro"][0].update(code="M1a"),
            "own.yaml: the file: Value error, category code 'M1a' stands more than once",
        ),
        (
            lambda d: d["macro"][1]["micro"][0].update(code="M1"),
            "own.yaml: the file: Value error, category code 'M1' stands more than once",
        ),
        (
            lambda d: [m.update(micro=[]) for m in d["macro"]],
            "own.yaml: the file: Value error, there is no micro category",
        ),
    ],
)
def test_an_unusable_file_is_named_with_entry_and_reason(change, sentence):
    with pytest.raises(taxonomy.TaxonomyError) as caught:
        taxonomy.parse(_changed(change), "own.yaml")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("document", [None, [], "text", {}])
def test_a_file_that_is_no_taxonomy_at_all_is_refused(document):
    with pytest.raises(taxonomy.TaxonomyError, match=r"own\.yaml"):
        taxonomy.parse(document, "own.yaml")
