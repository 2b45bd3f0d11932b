"""How images enter and leave the space that diffusion runs in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glidepath.core.errors import PartError


class Codec(nn.Module, ABC):
    """Encodes images to the x_0 that is diffused, and decodes it. An autoencoder makes diffusion latent.

    Subclasses set what is not as here:
        channels: C of x_0; the denoiser has as many.
        factor: how many pixels along each side one position of x_0 stands for.
        bounded: whether x_0 lies within [-1, 1]. Samplers clip what is predicted only then (`clip: auto`).

    A codec whose sizes are no multiples (one that pads, say) overrides `image_size` and `latent_size` too.
    """

    channels: int = 3
    factor: int = 1
    bounded: bool = False

    @abstractmethod
    def encode(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """[B, 3, H, W] uint8 -> x_0 [B, C, *spatial] float32.

        noise: [B, C, *spatial] standard normal, from which an encoder of distributions draws its x_0 (a
            single image then gives as many rows as the noise has); None: the mode. Others ignore it.
        """

    @abstractmethod
    def decode(self, x: Tensor) -> Tensor:
        """x_0 [B, C, *spatial] float32 -> [B, 3, H, W] uint8."""

    def image_size(self, latent: Sequence[int]) -> tuple[int, ...]:
        """The size in pixels, (H, W), of what an x_0 of a spatial size decodes to."""
        return tuple(self.factor * side for side in latent)

    def latent_size(self, pixels: Sequence[int]) -> tuple[int, ...]:
        """The spatial size of the x_0 of images of a size in pixels, (H, W).

        Raises:
            PartError: there is none.
        """
        if any(side % self.factor for side in pixels):
            raise PartError(f"its codec takes images whose sides are multiples of {self.factor} pixels")
        return tuple(side // self.factor for side in pixels)

    def reduce_mask(self, mask: Tensor) -> Tensor:
        """A mask of pixels [B, 1, H, W] as one of x_0, [B, 1, *spatial]: known where every pixel is (1)."""
        size = self.latent_size(mask.shape[2:])
        return mask if size == tuple(mask.shape[2:]) else 1 - F.adaptive_max_pool2d(1 - mask, size)


class IdentityCodec(Codec):
    """Pixels: 8 bits to [-1, 1] and back, rounded to the nearest level as GLIDE does."""

    bounded = True

    def encode(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """uint8 -> float32 in [-1, 1]."""
        return images.to(torch.float32) / 127.5 - 1

    def decode(self, x: Tensor) -> Tensor:
        """float32 -> uint8; values outside [-1, 1] are clamped."""
        return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
