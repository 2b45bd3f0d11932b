"""Square pieces of an image, at random places and sizes (Crowson et al. 2022, "VQGAN-CLIP", section 2)."""

from __future__ import annotations

import random

import attrs
import torch
from torch import Tensor

from glidepath.plugins.clip.interface import resized


@attrs.frozen
class Cutout:
    """A square piece: its side, and its upper left corner, as shares of what there is.

    side: above 0 to 1, of the shorter side of the image.
    top, left: 0 to 1, of the room that the piece leaves.
    """

    side: float
    top: float
    left: float

    def of(self, images: Tensor, size: int) -> Tensor:
        """The piece of each image, resized: [B, 3, H, W] -> [B, 3, size, size]."""
        height, width = images.shape[2:]
        side = max(1, round(self.side * min(height, width)))
        top, left = round(self.top * (height - side)), round(self.left * (width - side))
        return resized(images[:, :, top : top + side, left : left + side], size)


def draw_cutouts(count: int, *, power: float, smallest: float, seed: int, step: int) -> list[Cutout]:
    """The pieces of a step: decided by its index and the seed, not by the batch or by what was drawn before.

    power: the side is smallest + (1 - smallest) u^power for a uniform u.
    """
    draws = random.Random(f"cutouts {seed} {step}")
    return [
        Cutout(smallest + (1 - smallest) * draws.random() ** power, draws.random(), draws.random())
        for _ in range(count)
    ]


def cut(images: Tensor, cutouts: list[Cutout], size: int) -> Tensor:
    """All pieces of all images, piece by piece: [B, 3, H, W] -> [N B, 3, size, size]."""
    return torch.cat([cutout.of(images, size) for cutout in cutouts])
