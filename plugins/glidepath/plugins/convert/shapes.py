"""The names and shapes of a checkpoint's tensors, and reading hyperparameters off them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

_MOST_LAYERS = 1000
_DIGITS = 6


class Unlike(Exception):
    """These are not the tensors of such a model, or not all of them."""


def shape(shapes: Shapes, name: str, ndim: int | None = None) -> Shape:
    """The shape of a tensor.

    Raises:
        Unlike: there is no such tensor, or it has other dimensions than `ndim`.
    """
    found = shapes.get(name)
    if found is None or (ndim is not None and len(found) != ndim):
        raise Unlike(name)
    return found


def outputs_of(shapes: Shapes, layer: str) -> int:
    """How many outputs a layer has: its bias says so, or its weight, where one of the two is damaged.

    Raises:
        Unlike: there is no such layer.
    """
    for name in (f"{layer}.bias", f"{layer}.weight"):
        if found := shapes.get(name):
            return found[0]
    raise Unlike(layer)


def count(shapes: Shapes, pattern: str) -> int:
    """One more than the largest number that the first group of `pattern` finds at the start of a name.

    Raises:
        Unlike: the number is larger than that of any layer.
    """
    numbers = [int(found[1][:_DIGITS]) for name in shapes if (found := re.match(pattern, name))]
    largest = max(numbers, default=-1)
    if largest >= _MOST_LAYERS:
        raise Unlike(pattern)
    return largest + 1


def linear(name: str, inputs: int, outputs: int) -> Iterator[tuple[str, Shape]]:
    """A linear layer."""
    yield f"{name}.weight", (outputs, inputs)
    yield f"{name}.bias", (outputs,)


def norm(name: str, width: int) -> Iterator[tuple[str, Shape]]:
    """A norm with a gain and a bias."""
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def conv(name: str, inputs: int, outputs: int, kernel: int, dims: int) -> Iterator[tuple[str, Shape]]:
    """A convolution over `dims` dimensions."""
    yield f"{name}.weight", (outputs, inputs, *[kernel] * dims)
    yield f"{name}.bias", (outputs,)
