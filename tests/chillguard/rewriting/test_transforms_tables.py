"""The tables of the transforms in `data/`: parts, variants and emoji."""

import re
import unicodedata
from importlib import resources

import pytest

from chillguard import taxonomy

SPLIT = taxonomy.packaged("split_characters.yaml")
VARIANTS = taxonomy.packaged("variant_characters.yaml")
EMOJI = taxonomy.packaged("emoji.yaml")
PARTS = [(whole, left, right) for left, rights in SPLIT.items() for whole, right in rights.items()]
FORMS = [pair for group in VARIANTS.values() for pair in group.items()]
SIGNS = [pair for group in EMOJI.values() for pair in group.items()]


def _is_han(character):
    return len(character) == 1 and unicodedata.name(character).startswith("CJK UNIFIED")


@pytest.mark.parametrize("name", ["split_characters", "variant_characters", "emoji"])
def test_no_entry_of_a_table_hides_another(name):
    # A mapping in YAML keeps the last of two equal keys without a word.
    raw = resources.files("chillguard").joinpath("data", f"{name}.yaml").read_text("utf-8")
    keys = re.findall(r"[{,] ?([^\s{},:]+): ", raw)
    assert len(keys) == len(set(keys)) == sum(map(len, taxonomy.packaged(f"{name}.yaml").values()))


def test_the_tables_are_large_enough():
    assert len(PARTS) >= 150
    assert len(FORMS) >= 100
    assert len(SIGNS) >= 80


def test_parts_are_han_and_read_back_in_one_way_only():
    assert all(map(_is_han, [character for entry in PARTS for character in entry]))
    assert len({(left, right) for _, left, right in PARTS}) == len(PARTS)
    lefts, rights = set(SPLIT), {right for *_, right in PARTS}
    assert not lefts & rights
    assert not (lefts | rights) & {whole for whole, *_ in PARTS}


def test_a_variant_is_another_han_character():
    assert all(_is_han(a) and _is_han(b) and a != b for a, b in FORMS)


def test_words_are_han_and_emoji_single_code_points_that_stand_once():
    assert all(_is_han(c) for word, _ in SIGNS for c in word)
    assert all(unicodedata.category(sign) == "So" for _, sign in SIGNS)
    assert len({sign for _, sign in SIGNS}) == len(SIGNS)
