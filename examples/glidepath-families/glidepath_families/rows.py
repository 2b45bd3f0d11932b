"""What predicts each entry of a row from those before it and the text: flow and autoregression share it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from glidepath.core import Conditioning
from glidepath_families.text import Prefix
from glidepath_families.transformer import Cache, CausalTransformer


class RowModel(nn.Module):
    """h_i, a function of the text and of entries 1 to i - 1, for each place i of a row of N.

    Shapes: entries [B, N, W], as vectors of the transformer's width.
    """

    def __init__(self, text_width: int | None, width: int, depth: int, heads: int, length: int) -> None:
        super().__init__()
        self.prefix = Prefix(text_width, width)
        self.positions = nn.Parameter(0.02 * torch.randn(length, width))
        self.transformer = CausalTransformer(width, depth, heads)

    def forward(self, entries: Tensor, conditioning: Conditioning) -> Tensor:
        """[B, N, W], all places at once; the last of `entries` is not looked at."""
        prefix, there = self.prefix(conditioning)
        begin, text = prefix[:, :1], prefix[:, 1:]
        length = len(self.positions)
        rows = torch.cat([begin, entries[:, : length - 1]], 1) + self.positions
        seen = torch.cat([there[:, 1:], there.new_ones(len(there), length)], 1)
        h: Tensor = self.transformer(torch.cat([text, rows], 1), seen)[:, -length:]
        return h

    def reading(self, conditioning: Conditioning) -> Reading:
        """The same place by place, with a cache of keys and values."""
        return Reading(self, conditioning)


class Reading:
    """A row that is being made: ask for `h`, then say what the entry came to be."""

    def __init__(self, model: RowModel, conditioning: Conditioning) -> None:
        self._model, self._cache = model, Cache(len(model.transformer.blocks))
        prefix, there = model.prefix(conditioning)
        self._entering, self._there, self._index = prefix[:, :1], there[:, :1], 0
        if prefix.shape[1] > 1:
            model.transformer(prefix[:, 1:], there[:, 1:], self._cache)

    def h(self) -> Tensor:
        """[B, 1, W], of the next place."""
        entering = self._entering + self._model.positions[self._index]
        self._index += 1
        h: Tensor = self._model.transformer(entering, self._there, self._cache)
        return h

    def say(self, entry: Tensor) -> None:
        """entry: [B, 1, W]."""
        self._entering = entry
