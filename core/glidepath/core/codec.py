"""How images enter and leave the space that diffusion runs in."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Codec(nn.Module, ABC):
    """Encodes images to the x_0 that is diffused, and decodes it. An autoencoder makes diffusion latent."""

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] uint8 -> x_0 [B, C, *spatial] float32."""

    @abstractmethod
    def decode(self, x: Tensor) -> Tensor:
        """x_0 [B, C, *spatial] float32 -> [B, 3, H, W] uint8."""


class IdentityCodec(Codec):
    """Pixels: 8 bits to [-1, 1] and back, rounded to the nearest level as GLIDE does."""

    def encode(self, images: Tensor) -> Tensor:
        """uint8 -> float32 in [-1, 1]."""
        return images.to(torch.float32) / 127.5 - 1

    def decode(self, x: Tensor) -> Tensor:
        """float32 -> uint8; values outside [-1, 1] are clamped."""
        return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
