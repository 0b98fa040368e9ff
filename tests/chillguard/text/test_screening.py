import pydantic
import pytest

from chillguard.text import screening

RULE = screening.ScreeningRule(
    id="fruit_recipe", description="d", all_of=(("苹果", "apple"), ("做法", "recipe"))
)


@pytest.mark.parametrize(
    ("text", "stopped"),
    [
        ("苹果派的做法", True),
        ("苹果 recipe", True),
        ("applerecipe", True),
        ("苹果和apple", False),
        ("梨的做法", False),
        ("", False),
    ],
)
def test_a_rule_stops_a_text_with_a_term_of_every_group(text, stopped):
    assert screening.Screen([RULE]).first(text) == ("fruit_recipe" if stopped else None)


def test_the_first_rule_that_stops_a_text_is_named_whatever_its_case():
    screen = screening.Screen([RULE, RULE.model_copy(update={"id": "later"})])
    assert screen.first("Apple pie RECIPE") == "fruit_recipe"
    assert screen.first("今天适合散步吗？") is None


def test_the_two_rules_of_the_product_have_two_groups_of_lower_case_terms():
    assert [rule.id for rule in screening.rules()] == ["minors_sexual", "mass_harm_instructions"]
    for rule in screening.rules():
        assert len(rule.all_of) == 2
        for group in rule.all_of:
            assert len(group) > 10
            assert all(term and term == term.lower() for term in group)


@pytest.mark.parametrize("number", [0, 1])
def test_each_shipped_rule_stops_any_pair_of_its_terms_and_no_single_group(number):
    rule = screening.rules()[number]
    one, two = rule.all_of
    for left in one:
        assert screening.screen(left.upper() + "，" + two[0].upper()) == rule.id
    for right in two:
        assert screening.screen(right + "。" + one[0]) == rule.id
    assert screening.screen("，".join(one)) != rule.id
    assert screening.screen("，".join(two)) != rule.id


@pytest.mark.parametrize(
    "text",
    ["小朋友的蛋糕做法", "儿童防溺水知识有哪些？", "化学实验室的安全守则", "红烧肉的制作步骤"],
)
def test_everyday_texts_pass(text):
    assert screening.screen(text) is None


def test_a_rule_with_an_unknown_field_is_refused():
    with pytest.raises(pydantic.ValidationError):
        screening.ScreeningRule(id="a", description="d", all_of=((),), any_of=())
