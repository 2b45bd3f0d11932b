"""What is done with a picture before it is trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from glidepath.plugins.train.data.configs import ColourJitterConfig, CropConfig, FlipConfig, ResizeConfig
from glidepath.plugins.train.data.transform import (
    ColourJitter,
    Crop,
    Flip,
    Resize,
    Transform,
    fitted,
    largest,
)


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8))


def apply(
    transform: Transform, picture: Image.Image, caption: str = "", seed: int = 0, size: Any = (8, 8)
) -> Any:
    return transform.apply(picture, caption, size, np.random.default_rng(seed))


@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 64), st.integers(1, 64))
def test_the_largest_part_is_inside_touches_two_sides_and_has_the_proportions(
    width: int, height: int, down: int, across: int
) -> None:
    wide, high = largest((width, height), (down, across))
    assert 1 <= wide <= width
    assert 1 <= high <= height
    assert wide == width or high == height
    # to the nearest pixel of the side that is cut
    assert (
        abs(wide - high * across / down) <= 0.5
        or abs(high - wide * down / across) <= 0.5
        or 1 in (wide, high)
    )


def test_fitting_keeps_the_middle_of_either_direction() -> None:
    ramp = Image.fromarray(np.tile(np.arange(100, dtype=np.uint8)[None, :, None], (10, 1, 3)))
    middle = np.asarray(fitted(ramp, (5, 10)))
    assert middle.shape == (5, 10, 3)
    assert middle.mean() == pytest.approx(49.5, abs=0.5)
    assert middle[0, 0, 0] >= 39
    assert middle[0, -1, 0] <= 60
    assert np.asarray(fitted(ramp.rotate(90, expand=True), (10, 5))).mean() == pytest.approx(49.5, abs=0.5)


def test_a_crop_is_a_part_of_the_picture_wherever_it_may_lie() -> None:
    picture = noise(40, 12)
    whole, lefts = np.asarray(picture), set()
    for seed in range(60):
        part = np.asarray(apply(Crop(CropConfig()), picture, seed=seed)[0])
        assert part.shape == (12, 12, 3)
        [left] = [it for it in range(29) if np.array_equal(whole[:, it : it + 12], part)]
        lefts.add(left)
    assert min(lefts) <= 2
    assert max(lefts) >= 26


def test_a_crop_is_never_smaller_than_its_least_share() -> None:
    sides = [
        apply(Crop(CropConfig(least=0.5)), noise(40, 20), seed=seed, size=(4, 8))[0].size
        for seed in range(99)
    ]
    assert all(abs(width - 2 * height) <= 1 and 10 <= height <= 20 for width, height in sides)
    assert min(height for _, height in sides) <= 12
    assert max(height for _, height in sides) >= 18


@pytest.mark.parametrize(("side", "wanted"), [(None, (18, 8)), (4, (9, 4)), (40, (90, 40))])
def test_resizing_keeps_the_proportions(side: int | None, wanted: tuple[int, int]) -> None:
    resized = apply(Resize(ResizeConfig(side=side, method="area")), noise(90, 40), size=(8, 8))[0]
    assert resized.size == wanted


def test_resizing_by_the_nearest_pixel_makes_no_new_colours() -> None:
    picture = Image.fromarray(np.kron(np.array([[0, 255], [255, 0]]), np.ones((5, 5))).astype(np.uint8))
    near = np.asarray(apply(Resize(ResizeConfig(method="nearest")), picture.convert("RGB"))[0])
    assert {*near.ravel().tolist()} == {0, 255}


@pytest.mark.parametrize(
    ("caption", "swapped"),
    [
        ("a cat left of a dog", "a cat right of a dog"),
        ("Right: a tree, LEFT: the leftmost house", "Left: a tree, RIGHT: the rightmost house"),
        ("rightwards, left-hand, lefthand", "leftwards, right-hand, righthand"),
        ("a copyright sign on a cleft rock", "a copyright sign on a cleft rock"),
    ],
)
def test_sides_are_exchanged_with_the_picture(caption: str, swapped: str) -> None:
    picture = noise(6, 4)
    mirrored = Image.fromarray(np.ascontiguousarray(np.asarray(picture)[:, ::-1]))
    assert apply(Flip(FlipConfig(share=1, words="swap")), picture, caption) == (mirrored, swapped)
    keeps = caption != swapped
    assert apply(Flip(FlipConfig(share=1)), picture, caption) == (picture if keeps else mirrored, caption)
    assert apply(Flip(FlipConfig(share=0)), picture, caption) == (picture, caption)


def test_jitter_changes_what_it_is_said_to_change() -> None:
    picture = noise(16, 16)
    assert (
        apply(ColourJitter(ColourJitterConfig(brightness=0, contrast=0, saturation=0)), picture)[0] == picture
    )
    dark = Image.new("RGB", (4, 4), (100, 100, 100))
    levels = [
        np.asarray(apply(ColourJitter(ColourJitterConfig(brightness=0.2)), dark, seed=seed)[0])[0, 0, 0]
        for seed in range(50)
    ]
    assert 79 <= min(levels) <= 85
    assert 115 <= max(levels) <= 121
    red = Image.new("RGB", (4, 4), (255, 0, 0))
    only_hue = ColourJitterConfig(brightness=0, contrast=0, saturation=0, hue=0.5)
    hues = {
        apply(ColourJitter(only_hue), red, seed=seed)[0].convert("HSV").getpixel((0, 0))[0] // 64
        for seed in range(60)
    }
    assert hues == {0, 1, 2, 3}
    saturated = ColourJitterConfig(brightness=0, contrast=0, saturation=1)
    spreads = [
        np.ptp(
            np.asarray(apply(ColourJitter(saturated), Image.new("RGB", (1, 1), (150, 120, 90)), seed=seed)[0])
        )
        for seed in range(50)
    ]
    assert min(spreads) < 15
    assert max(spreads) > 100


@pytest.mark.parametrize("transform", [Crop(CropConfig()), ColourJitter(ColourJitterConfig())])
def test_what_is_drawn_without_end_has_no_list_of_outcomes(transform: Transform) -> None:
    assert transform.outcomes(noise(9, 9), "a", (4, 4)) is None
