"""Pictures that are there twice: the same bytes, or nearly the same to look at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

_SIDE = 8
_BANDS = 8
_MOST_BITS = _BANDS - 1  # two that differ in so many bits have a band in common
_MOST_LEVELS = 12
_NEIGHBOURS = 64  # of one picture that it is compared with, where many have a band in common

Bits = np.ndarray[Any, np.dtype[np.uint8]]


def look(picture: Image.Image) -> Bits:
    """What a picture looks like from afar: [19] uint8, 128 bits and the mean of its red, green and blue.

    The bits say where grey rises to the right, and where downwards, in 8 x 8 places: the difference hash
    (dHash) in either direction. They stay when a picture is resized or compressed.
    """
    grey = picture.convert("L")
    rows = np.asarray(grey.resize((_SIDE + 1, _SIDE), Image.Resampling.BOX)).astype(int)
    columns = np.asarray(grey.resize((_SIDE, _SIDE + 1), Image.Resampling.BOX)).astype(int)
    rises = np.concatenate([np.diff(rows, axis=1).ravel() > 0, np.diff(columns, axis=0).ravel() > 0])
    mean = np.asarray(picture.convert("RGB").resize((1, 1), Image.Resampling.BOX)).ravel()
    return np.concatenate([np.packbits(rises), mean])


def near(looks: Sequence[Bits]) -> list[list[int]]:
    """Groups of pictures that look alike: each is near to another of its group.

    Near are two whose bits differ in at most 7 of 128, and whose mean colours in at most 12 of 255 levels.
    """
    if not looks:
        return []
    table = np.stack(looks)
    parents = list(range(len(table)))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    for one, other in _alike(table):
        parents[root(other)] = root(one)
    groups = defaultdict(list)
    for index in range(len(table)):
        groups[root(index)].append(index)
    return [group for group in groups.values() if len(group) > 1]


def _alike(table: Bits) -> Iterator[tuple[int, int]]:
    """Pairs that are near, among those with a band of bits in common; of many, neighbours by colour alone."""
    width = 16 // _BANDS
    bits, colours = table[:, :16], table[:, 16:].astype(int)
    for band in range(_BANDS):
        first = slice(band * width, (band + 1) * width)
        # lexsort reads its keys from the last on
        order = np.lexsort([*bits.T[::-1], *table[:, 16:].T[::-1], *bits[:, first].T])
        for away in range(1, min(_NEIGHBOURS + 1, len(order))):
            one, other = order[:-away], order[away:]
            near = (bits[one, first] == bits[other, first]).all(axis=1)
            one, other = one[near], other[near]
            near = np.abs(colours[one] - colours[other]).max(axis=1, initial=0) <= _MOST_LEVELS
            one, other = one[near], other[near]
            near = np.unpackbits(bits[one] ^ bits[other], axis=1).sum(axis=1) <= _MOST_BITS
            yield from zip(one[near].tolist(), other[near].tolist(), strict=True)
