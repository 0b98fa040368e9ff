"""How much personal data is found, plain and hidden, and how often a clean text is changed.

What is planted stands in `planted_data`, `hidden_data` and `clean_data`.
"""

from collections import Counter
from difflib import SequenceMatcher

from chillguard.text import personal_data
from tests.chillguard.text import clean_data, hidden_data, planted_data


def shares_found(kinds, count):
    """Of each kind, the share of which at most half is left in one piece."""
    tried, found = Counter(), Counter()
    for plant in planted_data.planted(11, count, kinds):
        clean = personal_data.replace(plant.text)
        matcher = SequenceMatcher(None, plant.value, clean, autojunk=False)
        tried[plant.kind] += 1
        found[plant.kind] += (
            clean != plant.text and matcher.find_longest_match().size <= len(plant.value) // 2
        )
    shares = {kind: found[kind] / tried[kind] for kind in tried}
    return found.total() / tried.total(), shares


def test_of_plain_forms_99_in_100_are_found_and_95_of_each_kind():
    pooled, shares = shares_found(planted_data.PLAIN, 2600)
    assert pooled >= 0.99
    assert min(shares.values()) >= 0.95


def test_of_hidden_forms_85_in_100_are_found():
    pooled, _ = shares_found(hidden_data.HIDDEN, 1800)
    assert pooled >= 0.85


def test_of_2000_clean_texts_at_most_one_in_a_hundred_is_changed():
    changed = [text for text in clean_data.texts(11, 2000) if personal_data.replace(text) != text]
    assert len(changed) <= 20
