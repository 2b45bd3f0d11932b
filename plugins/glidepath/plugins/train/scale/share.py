"""What a process does of a batch: the losses and the random draws of its rows.

Draws are those of the whole batch, of which each process keeps its rows: they do not depend on how many
processes there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import Any, cast

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from glidepath.plugins.train.data import draws
from glidepath.plugins.train.run.stage import TrainingStage
from glidepath.plugins.train.scale.group import Group


@attrs.frozen
class Share:
    """The `rows` of batches of `size` that one of `count` processes computes the loss of."""

    size: int
    rows: slice
    count: int = 1

    @property
    def whole(self) -> bool:
        """Whether they are all."""
        return len(self) == self.size

    def __len__(self) -> int:
        return int(self.rows.stop - self.rows.start)

    def parts(self, count: int) -> list[Share]:
        """Its rows in `count` parts; in fewer, and each process in as many, where one has fewer rows."""
        parts, first = min(count, self.size // self.count), self.rows.start
        ends = [first + len(self) * index // parts for index in range(parts + 1)]
        return [attrs.evolve(self, rows=slice(*both)) for both in pairwise(ends)]

    def generator(self, seed: int, step: int) -> torch.Generator:
        """The stream of a step's draws, for `draws.drawn`."""
        return draws.generator(seed, step) if self.whole else draws.of_rows(seed, step, self.size, self.rows)

    def weighed(self, loss: Tensor) -> Tensor:
        """A mean over the rows, so that the mean of all processes' is that over the batch."""
        weight = 1.0 if self.whole else len(self) * self.count / self.size
        return loss if weight == 1 else loss * weight

    @contextmanager
    def dropout(self) -> Iterator[None]:
        """Within it networks draw their dropout for the whole batch.

        It is put in the place of torch's function: whoever asks for dropout, in whichever thread, gets it.
        """
        if self.whole:
            yield
            return
        _SHARES.append(self)
        F.dropout = _of_the_share()
        try:
            yield
        finally:
            F.dropout = _DROPOUT
            _SHARES.pop()

    def dropped(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        """torch's dropout of these rows, drawn for the whole batch."""
        if not training or not p or not input.ndim or len(input) % len(self):
            return _DROPOUT(input, p, training, inplace)
        times = len(input) // len(self)
        shape = (times * self.size, *input.shape[1:])
        dense = input.stride(0) == input[0].numel()  # then drawn in the order of its memory
        kept = input.new_empty_strided(shape, input.stride()) if dense else input.new_empty(shape)
        kept = _DROPOUT(kept.fill_(1), p)[times * self.rows.start : times * self.rows.stop]
        return input.mul_(kept) if inplace else input * kept


_DROPOUT = F.dropout
_SHARES: list[Share] = []
"""The share that dropout is for, last; none where torch's own is in its place."""


@cache
def _of_the_share() -> Callable[..., Tensor]:
    """Dropout of the share of the moment.

    It is one function, and not compiled: the compiler takes the dropout that it finds first for that of all
    parts of all batches.
    """

    def dropout(*arguments: Any, **named: Any) -> Tensor:
        return _SHARES[-1].dropped(*arguments, **named)

    opaque: Callable[..., Tensor] = torch.compiler.disable(dropout)  # type: ignore[no-untyped-call]
    return opaque


def share_of(stage: TrainingStage, group: Group) -> Share:
    """What a process does of a stage's batches: its rows, or all of a loss that is no mean over rows.

    Raises:
        PartError: there are more processes than rows.
    """
    if group.count == 1 or not stage.divides:
        return Share(stage.batch, slice(0, stage.batch))
    return Share(stage.batch, group.rows(stage.batch), group.count)


def loss_of(stage: TrainingStage, group: Group) -> Callable[..., Tensor]:
    """The stage's loss, after whose `backward` the gradients are the mean of all processes'."""
    if group.count == 1:
        return stage.loss
    # a network may have parameters that a loss does not reach, and they stay without gradients
    whole = DistributedDataParallel(Used(stage.modules, stage.loss), find_unused_parameters=True)
    return cast(Callable[..., Tensor], whole)


class Used(nn.Module):
    """Modules and what is done with them, as a module, which is what torch averages the gradients of."""

    def __init__(self, modules: nn.ModuleDict, use: Callable[..., Any]) -> None:
        super().__init__()
        self.used, self._use = modules, use

    def forward(self, *arguments: Any) -> Any:
        """What `use` gives."""
        return self._use(*arguments)
