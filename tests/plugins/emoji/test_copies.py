"""Copies of training pictures are found."""

from __future__ import annotations

import pytest
import torch

from glidepath.core import GlidepathError
from glidepath.plugins.emoji.copies import nearest

from .tiny import tiny_table

TABLE = tiny_table(16)
TRAINED = (TABLE.listing.held == 0).nonzero().flatten()
HELD = (TABLE.listing.held > 0).nonzero().flatten()


def test_a_training_picture_is_its_own_nearest_and_a_copy() -> None:
    found = nearest(TABLE.pictures[TRAINED], TABLE)
    assert torch.equal(found.row, TRAINED)
    assert float(found.distance.max()) < 0.01
    assert found.copied.all()


def test_a_little_noise_hides_no_copy() -> None:
    noise = torch.randint(0, 3, (len(TRAINED), *TABLE.pictures.shape[1:]), dtype=torch.uint8)
    noisy = (TABLE.pictures[TRAINED].clamp(max=250) + noise).to(torch.uint8)
    assert torch.equal(nearest(noisy, TABLE).row, TRAINED)


def test_a_picture_that_was_never_trained_on_is_nobodys_copy() -> None:
    found = nearest(TABLE.pictures[HELD], TABLE)
    assert not set(found.row.tolist()) & set(HELD.tolist())
    assert (found.distance > 1).all()


def test_distances_are_root_mean_squares_of_pixels() -> None:
    other = TABLE.pictures[TRAINED[:1]].clone()
    other[...] = (255 - other.float()).to(torch.uint8)
    found = nearest(other, TABLE)
    by_hand = (TABLE.pictures[found.row].float() - other.float()).square().mean().sqrt()
    torch.testing.assert_close(found.distance[0], by_hand)


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(GlidepathError, match="16 pixels wide, and the images 32"):
        nearest(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), TABLE)
