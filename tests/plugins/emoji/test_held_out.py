"""What is kept from training."""

from __future__ import annotations

from collections import Counter

import pytest

from glidepath.plugins.emoji.held_out import HeldOut, is_held_colour
from glidepath.plugins.emoji.styles import STYLES, TONES
from glidepath.plugins.emoji.table import HELD

NAMES = [f"thing {number}" for number in range(1000)]
HELD_OUT = HeldOut(NAMES, NAMES[:100])


def reasons(name: str, tone: int = 0) -> list[str]:
    return [HELD[HELD_OUT.why(name, style, tone)] for style in range(len(STYLES))]


def test_two_hundred_things_miss_one_style_and_fifty_miss_two() -> None:
    kinds = Counter(tuple(sorted(reasons(name))) for name in NAMES)
    assert kinds == {
        ("", "", ""): 750,
        ("", "", "style"): 200,
        ("", "style-of-two", "style-of-two"): 50,
    }


def test_thirty_four_things_miss_one_tone_in_every_style() -> None:
    missing = [[tone for tone in range(1, len(TONES)) if all(reasons(name, tone))] for name in NAMES[:100]]
    assert sorted(map(len, missing)) == [0] * 66 + [1] * 34


def test_the_order_of_the_things_decides_nothing() -> None:
    other = HeldOut(NAMES[::-1], NAMES[99::-1])
    for name in NAMES:
        for style in range(len(STYLES)):
            for tone in range(len(TONES)):
                assert other.why(name, style, tone) == HELD_OUT.why(name, style, tone)


@pytest.mark.parametrize("name", ["purple heart", "orange heart", "green circle", "red square"])
def test_colours_of_shapes_are_held_out_in_every_style(name: str) -> None:
    assert is_held_colour(name)
    assert reasons(name) == ["colour"] * 3


@pytest.mark.parametrize("name", ["red heart", "purple circle", "heart", "green heart"])
def test_their_colours_and_shapes_are_trained_on_apart(name: str) -> None:
    assert not is_held_colour(name)
