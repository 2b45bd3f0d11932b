"""Pictures that keep their proportions: sorted by size, so that each batch has pictures of one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from glidepath.plugins.train.data import draws
from glidepath.plugins.train.data.transform import Size


def bucket_sizes(size: int, step: int, ratio: float) -> list[Size]:
    """(height, width) of at most size * size pixels, sides multiples of `step`, the widest first.

    For each width the largest height; no side is longer than `ratio` times the other.
    """
    found = set()
    for one in range(step, math.ceil(size * math.sqrt(ratio)) + step, step):
        other = size * size // one // step * step
        if other and max(one, other) <= ratio * min(one, other):
            found |= {(one, other), (other, one)}
    found |= {(size // step * step,) * 2} if size >= step else set()
    largest = {
        (height, width)
        for height, width in found
        if not any(h >= height and w >= width and (h, w) != (height, width) for h, w in found)
    }
    return sorted(largest)


def nearest_size(width: int, height: int, sizes: Sequence[Size]) -> int:
    """The index of the size whose proportions are nearest."""
    wanted = math.log(width / height)
    return min(range(len(sizes)), key=lambda it: (abs(math.log(sizes[it][1] / sizes[it][0]) - wanted), it))


class BucketOrder:
    """Which bucket a batch is of, and which of that bucket's batches it is.

    Bucket b is due s_b examples an epoch. After e epochs it has given floor(e s_b / B) batches of B, so that
    each of its examples comes as often as those of other buckets, and none is left out. Within an epoch the
    seed decides the order of the batches.
    """

    def __init__(self, shares: Sequence[float]) -> None:
        """shares: examples of each bucket that are due in an epoch."""
        self.shares = np.asarray(shares, dtype=np.float64)

    def at(self, seed: int, step: int, size: int) -> tuple[int, int]:
        """(bucket, the number of this batch among all of that bucket)."""
        epoch = int(step * size / self.shares.sum())
        while self._given(epoch, size).sum() > step:  # by rounding alone
            epoch -= 1
        while (ends := self._given(epoch + 1, size)).sum() <= step:
            epoch += 1
        begins = self._given(epoch, size)
        batches = [
            (bucket, number)
            for bucket, (begin, end) in enumerate(zip(begins, ends, strict=True))
            for number in range(int(begin), int(end))
        ]
        rng = np.random.default_rng((seed, epoch, draws.BUCKETS))
        return batches[int(rng.permutation(len(batches))[step - int(begins.sum())])]

    def _given(self, epochs: int, size: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        given: np.ndarray[tuple[int], np.dtype[np.int64]] = np.floor(epochs * self.shares / size).astype(
            np.int64
        )
        return given
