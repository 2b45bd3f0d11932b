"""Residual convolutions that a vector modulates: the variational and the adversarial family share them."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ModulatedBlock(nn.Module):
    """x + f(x, c), of two convolutions; c scales and shifts what is between them (Perez et al. 2018, "FiLM").

    Shapes: x [B, width, H, W]; c [B, condition].
    """

    def __init__(self, width: int, condition: int, *, small: bool = True) -> None:
        """small: f begins near zero, so that deep stacks begin as the identity."""
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.modulate = nn.Linear(condition, 2 * width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)
        if small:
            nn.init.normal_(self.second.weight, std=1e-3)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """[B, width, H, W]."""
        scale, shift = self.modulate(c)[:, :, None, None].chunk(2, dim=1)
        h = self.first(F.leaky_relu(x, 0.2))
        made: Tensor = x + self.second(F.leaky_relu(h * (1 + scale) + shift, 0.2))
        return made
