"""Latents as a sequence of patches of 2 x 2, as Flux takes them."""

from __future__ import annotations

import torch
from torch import Tensor

PATCH = 2


def packed(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, H/2 W/2, 4 C]: each square of 2 x 2 as one token."""
    return (
        x.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    )


def unpacked(tokens: Tensor, shape: torch.Size) -> Tensor:
    """What `packed` made, as [B, C, H, W] again."""
    rows, columns = shape[2] // PATCH, shape[3] // PATCH
    squares = tokens.reshape(tokens.shape[0], rows, columns, -1, PATCH, PATCH)
    return squares.permute(0, 3, 1, 4, 2, 5).reshape(tokens.shape[0], -1, shape[2], shape[3])


def positions(rows: int, columns: int) -> Tensor:
    """[rows x columns, 3] float32: 0, the row and the column of each token."""
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([torch.zeros_like(row), row, column], dim=-1).reshape(-1, 3).to(torch.float32)
