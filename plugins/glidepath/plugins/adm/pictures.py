"""The pictures that the network sees beside x_t: the known pixels of an image, and a smaller image, enlarged.

Dhariwal & Nichol 2021, "Diffusion Models Beat GANs on Image Synthesis", section 5.2 (upsampling); Nichol et
al. 2021, "GLIDE", section 4.3 (inpainting).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from glidepath.core import Conditioning, PartError
from glidepath.plugins.adm.configs import AdmUNetConfig

_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def picture_channels(
    config: AdmUNetConfig, conditioning: Conditioning, size: Sequence[int], device: torch.device
) -> Tensor | None:
    """What stands after x's own channels, in the order of the published weights; None where nothing does.

    [image * mask, mask] for a network that inpaints, zeros where they are not given; then low_res, enlarged
    linearly to `size`, for one that upsamples. Returns [B, C, *size] float32.
    """
    if not (config.inpaints or config.upsamples):
        return None
    channels = list(_of_size(config, conditioning, size, device))
    return torch.cat([some.expand(conditioning.batch, *some.shape[1:]) for some in channels], dim=1)


def _of_size(
    config: AdmUNetConfig, conditioning: Conditioning, size: Sequence[int], device: torch.device
) -> Iterator[Tensor]:
    if config.inpaints:
        image, mask = conditioning.get("image"), conditioning.get("mask")
        nothing = torch.zeros(1, 1, *size, device=device)
        known = nothing if mask is None else mask.float()
        # a mask without an image says that grey is known, as it does in the reference
        yield (nothing if image is None else image.float()).expand(-1, config.in_channels, *size) * known
        yield known
    if config.upsamples:
        low_res = conditioning.get("low_res")
        assert low_res is not None  # check_pictures saw to it
        yield F.interpolate(low_res.float(), size=tuple(size), mode=_LINEAR[config.dims], align_corners=False)


def picture_size(config: AdmUNetConfig, conditioning: Conditioning) -> tuple[int, ...]:
    """The size that x must have where an image to inpaint says so, else the size that it probably has."""
    given = (conditioning.get("image"), conditioning.get("mask")) if config.inpaints else ()
    sizes = [tuple(picture.shape[2:]) for picture in given if picture is not None]
    return sizes[0] if sizes else (config.image_size,) * config.dims


def check_pictures(config: AdmUNetConfig, conditioning: Conditioning) -> None:
    """Refuse pictures that do not fit.

    Raises:
        PartError: low_res is missing, or a picture has another shape than it must have.
    """
    batch, dims = conditioning.batch, config.dims
    if config.upsamples:
        low_res = conditioning.get("low_res")
        if low_res is None:
            raise PartError("adm-unet upsamples, and was given no low_res, the image to start from")
        _check_picture(low_res, "low_res", batch, config.in_channels, dims)
    if not config.inpaints:
        return
    image, mask = conditioning.get("image"), conditioning.get("mask")
    if image is not None:
        _check_picture(image, "image", batch, config.in_channels, dims)
    if mask is not None:
        _check_picture(mask, "mask", batch, 1, dims)
    if image is not None and mask is not None and image.shape[2:] != mask.shape[2:]:
        raise PartError(
            f"adm-unet was given an image of size {list(image.shape[2:])} and a mask of size "
            f"{list(mask.shape[2:])}; they are the same"
        )


def _check_picture(picture: Tensor, name: str, batch: int, channels: int, dims: int) -> None:
    fits = picture.ndim == 2 + dims and picture.shape[1] == channels and picture.shape[0] in (1, batch)
    if not fits:
        raise PartError(
            f"adm-unet takes {name} of [1 or {batch}, {channels}{', size' * dims}], got {list(picture.shape)}"
        )
