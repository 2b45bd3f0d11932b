"""The pictures that an image starts from, as the denoiser sees them."""

from __future__ import annotations

import torch
from torch import Tensor

from glidepath.core.codec import Codec
from glidepath.core.errors import PartError
from glidepath.core.noise import Noise, PerSampleNoise
from glidepath.core.request import Request


def encoded_pictures(
    codec: Codec, request: Request, shape: tuple[int, ...], noise: Noise, device: torch.device
) -> dict[str, Tensor]:
    """The "low_res", "image" and "mask" of a request whose x is [B, C, *spatial], on the device.

    low_res: in [-1, 1]; an x_0 as it is. image: the codec's x_0, drawn with noise of its own where the codec
    encodes distributions. mask: of x's size.

    Raises:
        PartError: the codec does not make an x_0 of the denoiser's.
    """
    given: dict[str, Tensor] = {}
    if "low_res" in request.inputs:
        low_res = request.inputs["low_res"].to(device)
        given["low_res"] = _rows(low_res if low_res.is_floating_point() else low_res / 127.5 - 1, request)
    if "image" in request.inputs:
        drawn = noise.posterior(shape, device) if isinstance(noise, PerSampleNoise) else None
        x_0 = codec.encode(request.inputs["image"].to(device), drawn)
        if x_0.shape[1:] != shape[1:]:
            of = f"the codec encodes an image as {list(x_0.shape[1:])}"
            raise PartError(f"the denoiser takes an x of {list(shape[1:])}, and {of}")
        given["image"] = _rows(x_0, request)
    if "mask" in request.inputs:
        given["mask"] = _rows(codec.reduce_mask(request.inputs["mask"].to(device)), request)
    return given


def _rows(tensor: Tensor, request: Request) -> Tensor:
    """One row for each sample: a single one stands for all."""
    return tensor.expand(request.batch, *tensor.shape[1:])
