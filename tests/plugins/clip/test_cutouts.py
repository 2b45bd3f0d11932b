"""Pieces of an image at random places and sizes."""

from __future__ import annotations

import random

import torch
from hypothesis import given
from hypothesis import strategies as st

from glidepath.plugins.clip.cutouts import Cutout, cut, draw_cutouts


def draw(
    count: int = 4, power: float = 1.0, smallest: float = 0.5, seed: int = 0, step: int = 0
) -> list[Cutout]:
    return draw_cutouts(count, power=power, smallest=smallest, seed=seed, step=step)


@given(power=st.floats(0.1, 5), smallest=st.floats(0.01, 1), seed=st.integers(), step=st.integers(0, 1000))
def test_pieces_lie_within_the_image(power: float, smallest: float, seed: int, step: int) -> None:
    for cutout in draw(3, power, smallest, seed, step):
        assert smallest <= cutout.side <= 1
        assert 0 <= cutout.top <= 1
        assert 0 <= cutout.left <= 1
        assert cutout.of(torch.zeros(1, 3, 6, 5), 4).shape == (1, 3, 4, 4)


def test_seed_and_step_decide_the_pieces_and_nobodys_stream_is_moved() -> None:
    before = random.getstate(), torch.random.get_rng_state()
    assert draw(seed=1, step=2) == draw(seed=1, step=2)
    assert draw(seed=1, step=2)[:2] == draw(2, seed=1, step=2)
    assert draw(seed=1, step=2) != draw(seed=2, step=1)
    assert random.getstate() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])


def test_a_higher_power_draws_smaller_pieces() -> None:
    small, even, large = (
        sum(cutout.side for cutout in draw(500, power, 0.2)) / 500 for power in (3.0, 1.0, 0.3)
    )
    # the mean of u^p is 1 / (1 + p)
    assert abs(small - 0.4) < 0.03
    assert abs(even - 0.6) < 0.03
    assert abs(large - (0.2 + 0.8 / 1.3)) < 0.03


def test_a_piece_of_the_size_that_is_wanted_is_the_images_own_pixels() -> None:
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(Cutout(0.5, 1, 0).of(images, 4), images[:, :, 4:, :4])
    assert torch.equal(Cutout(1, 0.3, 0.7).of(images, 8), images)


def test_all_pieces_of_all_images_come_piece_by_piece() -> None:
    images = torch.randn(2, 3, 8, 8)
    first, second = draw(2)
    assert torch.equal(
        cut(images, [first, second], 4), torch.cat([first.of(images, 4), second.of(images, 4)])
    )
