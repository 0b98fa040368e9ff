import struct

import pytest

from chillguard import plots

MANY = {f"A{n}": {"train": n, "test": 1} for n in range(40)}


def _size(png):
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert png.rstrip().endswith(b"IEND\xaeB`\x82")
    return struct.unpack(">II", png[16:24])


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.bars({"a": 3, "b": 0}, "title"),
        lambda: plots.bars({}, "title"),
        lambda: plots.stacked({"a": {"train": 1}, "b": {"test": 2}}, "title"),
        lambda: plots.stacked(MANY, "title"),
        lambda: plots.funnel(["a", "b"], [5, 3], [0, 2]),
        lambda: plots.funnel([], [], []),
    ],
)
def test_a_picture_is_a_png_with_the_same_bytes_each_time(draw):
    width, height = _size(draw())
    assert width >= 300
    assert height >= 200
    assert draw() == draw()


def test_a_picture_shows_the_counts():
    assert plots.bars({"a": 3, "b": 1}, "t") != plots.bars({"a": 3, "b": 2}, "t")
    one, two = ({"a": {"train": t, "test": 4 - t}} for t in (1, 2))
    assert plots.stacked(one, "t") != plots.stacked(two, "t")
    assert plots.funnel(["a"], [3], [1]) != plots.funnel(["a"], [2], [2])


def test_many_names_make_a_wide_picture():
    assert _size(plots.stacked(MANY, "t"))[0] > 2 * _size(plots.bars({"a": 1}, "t"))[0]
