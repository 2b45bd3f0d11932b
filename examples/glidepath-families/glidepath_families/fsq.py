"""A discrete autoencoder by finite scalar quantisation (Mentzer et al. 2023, arXiv:2309.15505)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FiniteScalarQuantizer(nn.Module):
    """Rounds each number of a code to one of a few levels; gradients pass as if it did not (section 3.1).

    Shapes: codes [..., d], one number for each of d `levels`; tokens [...] int64, below their product.
    """

    levels: Tensor
    bases: Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        bases = [math.prod(levels[:index]) for index in range(len(levels))]
        self.register_buffer("bases", torch.tensor(bases), persistent=False)
        self.count = math.prod(levels)

    def forward(self, z: Tensor) -> Tensor:
        """Codes in [-1, 1] of any z [..., d]."""
        steps = self._step(z)
        rounded = steps + (steps.round() - steps).detach()
        return rounded / (self.levels - 1) * 2 - 1

    def tokens(self, z: Tensor) -> Tensor:
        """The token of each z [..., d]."""
        return (self._step(z).round().long() * self.bases).sum(-1)

    def codes(self, tokens: Tensor) -> Tensor:
        """The code of each token, in [-1, 1]."""
        steps = tokens[..., None] // self.bases % self.levels
        return steps / (self.levels - 1) * 2 - 1

    def _step(self, z: Tensor) -> Tensor:
        """z bounded to where it is rounded to one of the levels 0 ... L - 1."""
        # a hair more than the ends, so that these are reached before tanh is
        half = (self.levels - 1) / 2
        return (half * (1 + 1e-3) * torch.tanh(z) + half).clamp(min=0).minimum(2 * half)


class DiscreteAutoencoder(nn.Module):
    """Images [B, C, H, W] to tokens [B, (H / factor) (W / factor)] and back."""

    def __init__(self, channels: int, width: int, factor: int, levels: Sequence[int]) -> None:
        super().__init__()
        halvings = factor.bit_length() - 1
        self.quantizer = FiniteScalarQuantizer(levels)
        down: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), Residual(width)]
        for _ in range(halvings):
            down += [nn.Conv2d(width, width, 4, stride=2, padding=1), Residual(width)]
        up: list[nn.Module] = [nn.Conv2d(len(levels), width, 3, padding=1), Residual(width)]
        for _ in range(halvings):
            up += [nn.Upsample(scale_factor=2), nn.Conv2d(width, width, 3, padding=1), Residual(width)]
        self.encoder = nn.Sequential(*down, nn.SiLU(), nn.Conv2d(width, len(levels), 1))
        self.decoder = nn.Sequential(*up, nn.SiLU(), nn.Conv2d(width, channels, 3, padding=1))

    def forward(self, x_0: Tensor) -> Tensor:
        """x_0 through its codes, with gradients."""
        codes = self.quantizer(self.encoder(x_0).movedim(1, -1))
        made: Tensor = self.decoder(codes.movedim(-1, 1))
        return made

    def tokens(self, x_0: Tensor) -> Tensor:
        """[B, h w]."""
        return self.quantizer.tokens(self.encoder(x_0).movedim(1, -1)).flatten(1)

    def decode(self, tokens: Tensor, size: Sequence[int]) -> Tensor:
        """x_0 of tokens [B, h w]. size: (h, w)."""
        codes = self.quantizer.codes(tokens.reshape(-1, *size))
        made: Tensor = self.decoder(codes.movedim(-1, 1))
        return made


class Residual(nn.Module):
    """x + f(x), of two convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, H, W] -> the same."""
        made: Tensor = x + self.second(F.silu(self.first(F.silu(x))))
        return made
