"""Codecs: images in, x_0 out, and back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from glidepath.core.codec import Codec
from glidepath.testing.check import Check, NotApplicable, check, require
from glidepath.testing.part import Part
from glidepath.testing.trial import Trial

SIZE = 64
"""Pixels along each side of the images."""


class CodecTrial(Trial):
    """Encodes random images and decodes them."""

    def use(self, built: Codec, rows: Sequence[int], device: str = "cpu") -> list[Tensor]:
        """x_0, and the images of it."""
        x_0 = built.encode(images(rows).to(device))
        return [x_0, built.decode(x_0).float()]

    def require_shapes(self, built: Codec) -> None:
        """[B, 3, H, W] to [B, C, *spatial] and back."""
        shown = images((0, 1))
        x_0 = built.encode(shown)
        require(
            x_0.ndim >= 3 and x_0.shape[0] == 2,
            f"2 images are encoded as {list(x_0.shape)}, and must be [2, C, *spatial]",
        )
        decoded = built.decode(x_0)
        require(
            decoded.shape == shown.shape,
            f"images of {list(shown.shape)} come back as {list(decoded.shape)}",
        )

    def require_dtypes(self, built: Codec) -> None:
        """float32 x_0, uint8 images."""
        x_0 = built.encode(images((0,)))
        require(x_0.dtype == torch.float32, f"x_0 is {x_0.dtype}, and must be float32")
        decoded = built.decode(x_0)
        require(decoded.dtype == torch.uint8, f"images are {decoded.dtype}, and must be uint8")


@check("builds", "shapes", "dtypes")
def keeps_images(part: Part) -> None:
    """A codec without weights gives back the image that it was given, to one level of 255."""
    built = part.build()
    if next(built.parameters(), None) is not None:
        raise NotApplicable("it is a network: what it loses depends on its weights")
    shown = images((0, 1))
    worst = int((built.decode(built.encode(shown)).int() - shown.int()).abs().max())
    require(worst <= 1, f"an image comes back with values {worst} levels away")


CHECKS: tuple[Check, ...] = (keeps_images,)


def images(rows: Sequence[int]) -> Tensor:
    """[B, 3, SIZE, SIZE] uint8, each decided by its row, of all 256 levels."""
    shown = []
    for row in rows:
        generator = torch.Generator().manual_seed(row)
        shown.append(torch.randint(256, (3, SIZE, SIZE), generator=generator, dtype=torch.uint8))
    return torch.stack(shown)
