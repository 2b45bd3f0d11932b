"""Pixels as guided-diffusion writes them."""

from __future__ import annotations

import torch
from torch import Tensor

from glidepath.core import IdentityCodec


class TruncatingCodec(IdentityCodec):
    """8 bits to [-1, 1] and back; on the way back fractions are cut off, where GLIDE rounds.

    The published samples of ADM, and what its upsamplers receive, are such images.
    """

    def encode(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """uint8 -> float32 in [-1, 1], above by what rounding may take: `decode` gives it back."""
        return (super().encode(images) + 2**-22).clamp(max=1)

    def decode(self, x: Tensor) -> Tensor:
        """float32 -> uint8; values outside [-1, 1] are clamped."""
        return ((x + 1) * 127.5).clamp(0, 255).to(torch.uint8)
