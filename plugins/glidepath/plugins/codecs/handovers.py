"""How a stage takes over what the stage before made: its images, or its latents."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from glidepath.core import Codec, Handover
from glidepath.plugins.codecs.configs import HandoverConfig, UnfinishedConfig


class ImageHandover(Handover):
    """The images of the stage before, in 8 bits, resized and encoded: a second pass at a larger size, say."""

    def __init__(self, config: HandoverConfig) -> None:
        self.strength, self.resize = config.strength, config.resize

    def x_0(
        self, x: Tensor, before: Codec, codec: Codec, size: Sequence[int], noise: Tensor | None
    ) -> Tensor:
        """Decoded, resized and encoded; drawn with the noise where the codec encodes distributions."""
        images = before.decode(x)
        sized = _resized(images.float(), size, self.resize).round().clamp(0, 255).to(torch.uint8)
        return codec.encode(sized, noise)


class LatentHandover(Handover):
    """The x of the stage before, resized: nothing is lost where its size is the same, as for a refiner."""

    def __init__(self, config: HandoverConfig) -> None:
        self.strength, self.resize = config.strength, config.resize

    def x_0(
        self, x: Tensor, before: Codec, codec: Codec, size: Sequence[int], noise: Tensor | None
    ) -> Tensor:
        """Resized to the latents of images of that size; no noise is read."""
        return _resized(x, codec.latent_size(size), self.resize)


class UnfinishedHandover(Handover):
    """The x of the stage before at a level: two experts for one walk (Podell et al. 2023, section 2.5)."""

    strength = 1.0

    def __init__(self, config: UnfinishedConfig) -> None:
        self.level = config.level

    def x_0(
        self, x: Tensor, before: Codec, codec: Codec, size: Sequence[int], noise: Tensor | None
    ) -> Tensor:
        """x itself: noise that is resized is no noise of that level any more."""
        return x


def _resized(x: Tensor, size: Sequence[int], mode: str) -> Tensor:
    if tuple(x.shape[2:]) == tuple(size):
        return x
    smooth = mode != "nearest"
    return F.interpolate(
        x, size=tuple(size), mode=mode, antialias=smooth, align_corners=False if smooth else None
    )
