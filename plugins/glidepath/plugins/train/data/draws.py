"""Where the random numbers of training come from: (seed, step) decide each, a run keeps no random state."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

STEP = 0
"""A step's timesteps, noise and dropped captions."""

DROPOUT = 1
"""What the modules themselves draw while they are trained, from torch's global stream."""

ORDER = 2
"""The order of a dataset's examples; the epoch stands for the step."""

SAMPLE = 3
"""What is drawn for one example: its caption, what is done with its picture; the position is the step."""

WINDOW = 4
"""The order of the examples within a window of chunks."""

WEIGHTS = 5
"""How often an example comes in an epoch that may come more often than others, or less."""

BUCKETS = 6
"""The order of the batches of an epoch, where each is of one size; the epoch stands for the step."""

MIXTURE = 7
"""Which dataset of a mixture a sample is of; a round of samples stands for the step."""


def mix(seed: int, step: int, purpose: int = STEP) -> int:
    """A seed for torch.

    On the host torch reads its lower 32 bits, and in them no two of a run's first 2^32 steps are alike.
    """
    mixed = seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + purpose * 0x94D049BB133111EB + 1
    return mixed & ((1 << 63) - 1)


def generator(seed: int, step: int, purpose: int = STEP) -> torch.Generator:
    """A stream of its own, on the host: the draws do not depend on the device that trains."""
    return torch.Generator().manual_seed(mix(seed, step, purpose))


class _RowsGenerator(torch.Generator):
    """A stream of draws for a batch, of which some rows are kept."""

    size: int
    rows: slice


def of_rows(seed: int, step: int, size: int, rows: slice) -> torch.Generator:
    """The stream of a step for a process that trains some rows of a batch of `size`; see `drawn`."""
    stream = _RowsGenerator()
    stream.size, stream.rows = size, rows
    stream.manual_seed(mix(seed, step))
    return stream


def drawn(draw: Callable[..., Tensor], shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """What `draw`, such as torch.randn, gives in a `shape` whose first dimension is that of the batch.

    To a process that trains some rows of a batch it gives those rows of what is drawn for all of it.
    """
    if not isinstance(generator, _RowsGenerator):
        return draw(shape, generator=generator)
    return draw((generator.size, *shape[1:]), generator=generator)[generator.rows]
