"""The data of the rewriting methods; what the product makes of them is in test_rewriting.py."""

import re
from collections import Counter

import pytest

from chillguard import taxonomy
from chillguard.rewriting import transforms

METHODS = taxonomy.packaged("rewriting_methods.yaml")
MACROS = [macro["code"] for macro in taxonomy.packaged("taxonomy.yaml")["macro"]]
EACH = pytest.mark.parametrize("method", METHODS, ids=lambda method: method["id"])
NEEDED = {"id", "name_zh", "name_en", "description_zh", "when_en", "labels"}
OPTIONAL = {"instruction_zh", "macro", "transform", "surface"}
SENTENCE_ENDS = re.compile("[。！？]”?")


def _values(name):
    return [method[name] for method in METHODS if name in method]


@pytest.mark.parametrize("name", ["id", "name_zh", "name_en", "description_zh", "instruction_zh"])
def test_no_two_methods_share(name):
    assert [value for value, times in Counter(_values(name)).items() if times > 1] == []


@EACH
def test_a_method_has_its_fields_and_an_ascii_identifier(method):
    assert set(method) >= NEEDED
    assert set(method) <= NEEDED | OPTIONAL
    assert re.fullmatch("[a-z][a-z_]*", method["id"])


@EACH
def test_labels_and_macro_categories_are_known_and_stand_once(method):
    for name, known in (("labels", ["safe", "unsafe"]), ("macro", MACROS)):
        found = method.get(name, known)
        assert found
        assert found == [one for one in known if one in found]


@EACH
def test_only_unsafe_methods_are_bound_to_a_macro_category(method):
    assert "macro" not in method or method["labels"] == ["unsafe"]


@EACH
def test_a_method_has_either_an_instruction_or_a_transform_which_keeps_its_characters(method):
    assert ("instruction_zh" in method) != ("transform" in method)
    assert method.get("surface", False) is ("transform" in method)


@EACH
def test_a_description_is_one_sentence_and_an_instruction_two_to_four(method):
    assert len(SENTENCE_ENDS.findall(method["description_zh"])) == 1
    assert method["description_zh"].endswith("。")
    if "instruction_zh" in method:
        assert 2 <= len(SENTENCE_ENDS.findall(method["instruction_zh"])) <= 4
        assert method["instruction_zh"].endswith("。")


@EACH
def test_chinese_fields_are_chinese_and_hold_no_number_link_or_variable(method):
    for name in ("name_zh", "description_zh", "instruction_zh"):
        text = method.get(name, "中文")
        assert re.search("[\u4e00-\u9fff]", text)
        assert not re.search("[0-9０-９@{}<>A-Za-z]", text)


@EACH
def test_english_fields_are_ascii(method):
    assert (method["name_en"] + method["when_en"]).isascii()
    assert method["when_en"].endswith(".")


def test_every_transform_is_a_method_for_safe_and_unsafe_prompts_so_that_it_tells_no_label():
    by_transform = {m["transform"]: m["labels"] for m in METHODS if "transform" in m}
    assert set(by_transform) == set(transforms.TRANSFORMS)
    assert all(set(labels) == {"safe", "unsafe"} for labels in by_transform.values())


@pytest.mark.parametrize("macro", MACROS)
def test_every_macro_category_has_methods_of_its_own(macro):
    assert sum(m.get("macro") == [macro] for m in METHODS) >= 3


def test_general_methods_are_there_for_either_label():
    general = [m for m in METHODS if "macro" not in m and "instruction_zh" in m]
    unsafe = {m["id"] for m in general if "unsafe" in m["labels"]}
    assert unsafe >= {
        "homophonic_substitution",
        "cultural_allusion",
        "rhetorical_irony",
        "semantic_nesting",
    }
    assert sum("safe" in m["labels"] for m in general) >= 6
