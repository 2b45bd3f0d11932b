"""Which example comes when: a function of the seed and the position alone, so that a run keeps no place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from glidepath.plugins.train.data import draws

Rows = np.ndarray[Any, np.dtype[np.int64]]
Weights = np.ndarray[Any, np.dtype[np.float64]]

_KEPT = 4  # epochs, and windows, whose order is remembered: what comes next is mostly near


class Order:
    """Every example once in an epoch, in an order that (seed, epoch) decide.

    Examples that can be read one at a time are one chunk, and any may follow any. Others lie in chunks, a
    shard or a group of rows each: chunks are shuffled, and examples within a window of so many chunks, so
    that no more of them are open at once.

    With weights an epoch has as many positions, and example i has N w_i / sum(w) of them, rounded up or down
    by one draw for all (systematic sampling), so that its share is exact over the epochs.
    """

    def __init__(
        self, counts: Sequence[int], window: int = 1, weights: Sequence[float] | Weights | None = None
    ) -> None:
        """counts: examples of each chunk. weights: of each example, those of the first chunk first."""
        self.counts, self.window = np.asarray(counts, dtype=np.int64), window
        self.length = int(self.counts.sum())
        self._firsts = np.concatenate([[0], np.cumsum(self.counts)])
        self._weights = None
        share = np.asarray([] if weights is None else weights, dtype=np.float64)
        if (share != share[:1]).any():
            self._weights = np.cumsum(share / share.sum() * self.length)
        self._known: dict[tuple[Any, ...], Any] = {}

    def __len__(self) -> int:
        return self.length

    def at(self, seed: int, position: int) -> int:
        """The index of the example at a position: [0, N) of the first epoch, [N, 2 N) of the next."""
        epoch, place = divmod(position, self.length)
        ends, chunks = self._remembered(("epoch", seed, epoch), lambda: self._epoch(seed, epoch))
        window = int(np.searchsorted(ends, place, side="right"))
        first = int(ends[window - 1]) if window else 0
        rows = self._remembered(
            ("window", seed, epoch, window), lambda: self._window(seed, epoch, window, chunks)
        )
        return int(rows[place - first])

    def _epoch(self, seed: int, epoch: int) -> tuple[Rows, Rows]:
        """Where each window ends, and the chunks in their order."""
        chunks = _generator(seed, epoch, draws.ORDER).permutation(len(self.counts))
        counts = self.counts
        if self._weights is not None:
            drawn = self._drawn(seed, epoch)
            counts = np.diff(np.searchsorted(drawn, self._firsts, side="left"))
        ends = np.cumsum(counts[chunks])[self.window - 1 :: self.window]
        if len(chunks) % self.window:
            ends = np.append(ends, self.length)
        return ends, chunks

    def _window(self, seed: int, epoch: int, window: int, chunks: Rows) -> Rows:
        """The examples of a window, in their order."""
        inside = chunks[window * self.window : (window + 1) * self.window]
        spans = [(self._firsts[chunk], self._firsts[chunk + 1]) for chunk in inside]
        if self._weights is None:
            rows = np.concatenate([np.arange(first, end) for first, end in spans])
        else:
            drawn = self._drawn(seed, epoch)
            rows = np.concatenate([drawn[slice(*np.searchsorted(drawn, span))] for span in spans])
        return _generator(seed, epoch, draws.WINDOW, window).permutation(rows)

    def _drawn(self, seed: int, epoch: int) -> Rows:
        """[N] the examples of an epoch in the order of the list, those that come twice twice."""
        upto = self._weights

        def draw() -> Rows:
            assert upto is not None
            points = np.arange(self.length) + _generator(seed, epoch, draws.WEIGHTS).random()
            return np.minimum(np.searchsorted(upto, points, side="right"), _last(upto))

        drawn: Rows = self._remembered(("drawn", seed, epoch), draw)
        return drawn

    def _remembered(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        if key not in self._known:
            while len(self._known) >= 3 * _KEPT:
                del self._known[next(iter(self._known))]
            self._known[key] = make()
        return self._known[key]


def _last(upto: np.ndarray[Any, np.dtype[np.float64]]) -> int:
    """The last example that has a weight: rounding does not reach beyond it."""
    return int(np.searchsorted(upto, upto[-1], side="left"))


def _generator(seed: int, *of: int) -> np.random.Generator:
    return np.random.default_rng((seed, *of))
