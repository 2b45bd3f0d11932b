"""The pictures that an image starts from: checked, and as the denoiser sees them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from glidepath.core.codec import Codec
from glidepath.core.errors import PartError
from glidepath.core.noise import Noise, PerSampleNoise
from glidepath.core.size import sides


def encoded_pictures(
    codec: Codec,
    shape: tuple[int, ...],
    noise: Noise,
    device: torch.device,
    *,
    low_res: Tensor | None = None,
    image: Tensor | None = None,
    mask: Tensor | None = None,
) -> dict[str, Tensor]:
    """What is given of a batch whose x is [B, C, *spatial], by name, each [B, ...] on the device.

    low_res: [1 or B, 3, h, w] uint8, as [-1, 1]. image: [1 or B, 3, H, W] uint8, as the codec's x_0, drawn
    with noise of its own where the codec encodes distributions. mask: [1 or B, 1, H, W], of x's size.

    Raises:
        PartError: one has another shape or other values than that.
    """
    batch, pixels = shape[0], codec.image_size(shape[2:])
    given: dict[str, Tensor] = {}
    if low_res is not None:
        small = _picture(low_res, "low_res").to(device) / 127.5 - 1
        given["low_res"] = _rows(small, batch, "low_res")
    if image is not None:
        if tuple(_picture(image, "image").shape[2:]) != pixels:
            of = f"image is {sides(image.shape[2:])} pixels"
            raise PartError(f"{of}, and this pipeline makes images of {sides(pixels)}")
        _rows(image, batch, "image")
        drawn = noise.posterior(shape, device) if isinstance(noise, PerSampleNoise) else None
        x_0 = codec.encode(image.to(device), drawn)
        if x_0.shape[1:] != shape[1:]:
            of = f"the codec encodes an image as {list(x_0.shape[1:])}"
            raise PartError(f"the denoiser takes an x of {list(shape[1:])}, and {of}")
        given["image"] = _rows(x_0, batch, "image")
    if mask is not None:
        known = codec.reduce_mask(_checked_mask(mask, pixels).to(device))
        given["mask"] = _rows(known, batch, "mask")
    return given


def _picture(picture: Tensor, name: str) -> Tensor:
    if picture.ndim != 4 or picture.shape[1] != 3 or picture.dtype != torch.uint8:
        raise PartError(
            f"{name} is [B, 3, H, W] uint8 (8 bits a colour), not {list(picture.shape)} {picture.dtype}"
        )
    return picture


def _checked_mask(mask: Tensor, pixels: Sequence[int]) -> Tensor:
    wanted = (1, *pixels)
    if tuple(mask.shape[1:]) != wanted:
        raise PartError(
            f"mask is {list(mask.shape)}, and must be [1 or B, {', '.join(map(str, wanted))}]: one value "
            "for each pixel of the image, 1 where it is known"
        )
    known = mask.to(torch.float32)
    if not bool(((known == 0) | (known == 1)).all()):
        raise PartError("mask holds values other than 0 (to be made) and 1 (known)")
    return known


def _rows(tensor: Tensor, batch: int, name: str) -> Tensor:
    """One row for each sample: a single one stands for all."""
    if tensor.shape[0] not in (1, batch):
        raise PartError(f"{tensor.shape[0]} rows of {name} were given for {batch} prompts")
    return tensor.expand(batch, *tensor.shape[1:])
