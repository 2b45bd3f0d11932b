"""Codecs: images in, x_0 out, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from glidepath.core.codec import Codec
from glidepath.testing.check import Check, NotApplicable, check, require
from glidepath.testing.part import Part
from glidepath.testing.trial import Attempt, Trial, random_rows

SIZE = 64
"""Pixels along each side of the images, about."""


class CodecTrial(Trial):
    """Encodes random images and decodes them."""

    attributes: ClassVar[dict[str, Callable[[Any], object]]] = {
        "codec.channels": lambda built: built.channels,
        "codec.factor": lambda built: built.factor,
        "codec.bounded": lambda built: built.bounded,
    }

    def use(self, built: Codec, rows: Sequence[int], device: str = "cpu") -> list[Tensor]:
        """x_0, and the images of it."""
        x_0 = built.encode(images(rows, _size(built)).to(device))
        return [x_0, built.decode(x_0)]

    def require_shapes(self, built: Codec) -> None:
        """[B, 3, H, W] to [B, C, *spatial] and back, C and the sizes as it says; also where H is not W."""
        height, width = _size(built)
        shown = images((0, 1), (height, 2 * width))
        latent = built.latent_size(shown.shape[2:])
        wanted = [2, built.channels, *latent]
        drawn = random_rows((0, 1), wanted[1:])
        for how, x_0 in (("", built.encode(shown)), (", with noise", built.encode(shown, drawn))):
            require(
                list(x_0.shape) == wanted,
                f"2 images of {list(shown.shape[2:])} are encoded as {list(x_0.shape)}{how}, and by its "
                f"channels and latent_size that is {wanted}",
            )
        back = built.image_size(latent)
        require(
            back == tuple(shown.shape[2:]),
            f"image_size gives {list(back)} for the latent_size of {list(shown.shape[2:])}",
        )
        decoded = built.decode(x_0)
        require(
            decoded.shape == shown.shape,
            f"images of {list(shown.shape)} come back as {list(decoded.shape)}",
        )

    def require_dtypes(self, built: Codec) -> None:
        """float32 x_0, uint8 images."""
        x_0 = built.encode(images((0,), _size(built)))
        require(x_0.dtype == torch.float32, f"x_0 is {x_0.dtype}, and must be float32")
        decoded = built.decode(x_0)
        require(decoded.dtype == torch.uint8, f"images are {decoded.dtype}, and must be uint8")

    def bad_inputs(self, built: Codec) -> Iterator[Attempt]:
        """A size that it cannot encode."""
        if built.factor > 1:
            yield "a size of 1 pixel", partial(built.latent_size, (1, 1)), True


@check("builds", "shapes", "dtypes")
def bounds(part: Part) -> None:
    """Where it says that it is bounded, x_0 lies within [-1, 1]: samplers clip it to that."""
    built = part.build()
    with torch.no_grad():
        most = float(built.encode(images((0, 1), _size(built))).abs().max())
    require(not built.bounded or most <= 1 + 1e-5, f"it says that it is bounded, and x_0 reaches {most:g}")


@check("builds", "shapes")
def masks(part: Part) -> None:
    """A mask of pixels becomes one of x_0: known where every pixel that it stands for is."""
    built = part.build()
    size = _size(built)
    known = torch.ones(2, 1, *size)
    known[1, :, 0, 0] = 0
    reduced = built.reduce_mask(known)
    wanted = [2, 1, *built.latent_size(size)]
    require(list(reduced.shape) == wanted, f"a mask becomes {list(reduced.shape)}, and must be {wanted}")
    require(bool((reduced[0] == 1).all()), "where every pixel is known, its mask says that some are not")
    require(float(reduced[1, 0, 0, 0]) == 0, "a pixel that is not known is known in its mask")


@check("builds", "shapes", "dtypes")
def keeps_images(part: Part) -> None:
    """A codec without weights gives back the image that it was given, to one level of 255."""
    built = part.build()
    if next(built.parameters(), None) is not None:
        raise NotApplicable("it is a network: what it loses depends on its weights")
    shown = images((0, 1), _size(built))
    worst = int((built.decode(built.encode(shown)).int() - shown.int()).abs().max())
    require(worst <= 1, f"an image comes back with values {worst} levels away")


CHECKS: tuple[Check, ...] = (bounds, masks, keeps_images)


def images(rows: Sequence[int], size: Sequence[int]) -> Tensor:
    """[B, 3, *size] uint8, each decided by its row, of all 256 levels."""
    shown = []
    for row in rows:
        generator = torch.Generator().manual_seed(row)
        shown.append(torch.randint(256, (3, *size), generator=generator, dtype=torch.uint8))
    return torch.stack(shown)


def _size(built: Codec) -> tuple[int, int]:
    """(H, W) of images that it can encode, about `SIZE` pixels a side."""
    side = built.factor * max(1, SIZE // built.factor)
    return side, side
