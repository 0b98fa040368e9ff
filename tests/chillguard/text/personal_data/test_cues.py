import pytest

from chillguard.text.personal_data import cues


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("订单的电话", "", "phone"),
        ("电话订单", "", "order"),
        ("打到", "这张卡上", "card"),
        ("", "这张卡上", "card"),
        ("我的", "吗", None),
    ],
)
def test_the_nearest_word_before_a_number_decides_then_one_behind_it(before, after, kind):
    assert cues.nearest(before, after) == kind


def test_a_longer_word_is_tried_before_a_shorter_one_within_it():
    assert cues.alternatives(["微信", "微信号"]) == "(?:微信号|微信)"
