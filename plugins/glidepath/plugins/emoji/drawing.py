"""Which pictures a training step sees: each as often as its weight says, give or take one, in every epoch."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

_ORDER = 11
"""Tells this stream of random numbers apart from that of the captions."""


class Draws:
    """Positions of an endless order of rows, which (seed, position) decide."""

    def __init__(self, weights: Tensor) -> None:
        """weights: [rows] float64, of any sum. An epoch is as long as there are rows."""
        self._ends = (weights / weights.sum()).cumsum(0).numpy()
        self._epoch = lru_cache(maxsize=2)(self._order_of_epoch)

    def rows(self, seed: int, first: int, count: int) -> Tensor:
        """The rows at `count` positions from `first` on: [count] int64."""
        length = len(self._ends)
        places = [divmod(position, length) for position in range(first, first + count)]
        return torch.tensor([int(self._epoch(seed, epoch)[index]) for epoch, index in places])

    def _order_of_epoch(self, seed: int, epoch: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Systematic sampling: points at equal distances over the weights laid end to end, shuffled."""
        rng = np.random.default_rng((seed, epoch, _ORDER))
        length = len(self._ends)
        points = (np.arange(length) + rng.random()) / length
        rows = np.searchsorted(self._ends, points, side="right").clip(0, length - 1)
        return rng.permutation(rows)


def name_weights(thing: Tensor, style: Tensor) -> Tensor:
    """For each row 1 / sqrt(how many tones its thing has in its style): [rows] float64.

    With equal weights a hand in six tones would be seen six times as often as an apple.
    """
    names = thing * (int(style.max()) + 1) + style
    counts = torch.bincount(names)
    return counts[names].double().rsqrt()
