"""A decoder-only transformer, with a cache of keys and values (Vaswani et al. 2017; GPT-2's order of layers).

Shapes: B samples, L positions, W width, H heads.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Cache:
    """Keys and values of the positions that were read, layer by layer, and which of them are there."""

    def __init__(self, depth: int) -> None:
        self.keys: list[Tensor | None] = [None] * depth
        self.values: list[Tensor | None] = [None] * depth
        self.there: Tensor | None = None

    def joined(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Those of all positions so far, [B, H, L, W / H], with these at the end."""
        before, known = self.keys[layer], self.values[layer]
        if before is not None and known is not None:
            keys, values = torch.cat([before, keys], 2), torch.cat([known, values], 2)
        self.keys[layer], self.values[layer] = keys, values
        return keys, values


class Block(nn.Module):
    """Attention to what stands before, and a feed-forward network, each after a layer norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_feed = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, h: Tensor, mask: Tensor, cache: Cache | None, layer: int) -> Tensor:
        """h: [B, L, W]; mask: [B, 1, L, positions so far] bool, True where one may look."""
        batch, length, width = h.shape
        qkv = self.qkv(self.norm_attention(h)).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        if cache is not None:
            k, v = cache.joined(layer, k, v)
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        h = h + self.out(seen.transpose(1, 2).reshape(batch, length, width))
        made: Tensor = h + self.feed(self.norm_feed(h))
        return made


class CausalTransformer(nn.Module):
    """Each position sees those before it, and itself."""

    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, h: Tensor, there: Tensor, cache: Cache | None = None) -> Tensor:
        """[B, L, W] -> [B, L, W].

        there: [B, L] bool: positions that are False are seen by none.
        cache: of the positions before; it takes these up.
        """
        length = h.shape[1]
        if cache is not None:
            there = there if cache.there is None else torch.cat([cache.there, there], 1)
            cache.there = there
        total = there.shape[1]
        rows = torch.arange(total - length, total, device=h.device)
        columns = torch.arange(total, device=h.device)
        # a position always sees itself: a softmax over nothing has no value
        before, itself = columns < rows[:, None], columns == rows[:, None]
        mask = (before & there[:, None, :] | itself)[:, None]
        for layer, block in enumerate(self.blocks):
            h = block(h, mask, cache, layer)
        out: Tensor = self.norm(h)
        return out


def patched(x: Tensor, patch: int) -> Tensor:
    """Images [B, C, H, W] as rows of patches: [B, N, C * patch^2]."""
    batch, channels, height, width = x.shape
    x = x.reshape(batch, channels, height // patch, patch, width // patch, patch)
    return x.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, channels * patch * patch)


def unpatched(rows: Tensor, patch: int, shape: Sequence[int]) -> Tensor:
    """The reverse of `patched`. shape: (C, H, W)."""
    channels, height, width = shape
    x = rows.reshape(len(rows), height // patch, width // patch, channels, patch, patch)
    return x.permute(0, 3, 1, 4, 2, 5).reshape(len(rows), channels, height, width)
