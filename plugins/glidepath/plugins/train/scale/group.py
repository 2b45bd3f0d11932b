"""The processes that train one run together, and what they tell each other.

All of them go through the run step by step, with the same weights, averages and optimizer. Each computes the
loss of its rows of a batch; their gradients are averaged. The first alone writes files and speaks to people.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import chain
from typing import Any

import attrs
import torch
import torch.distributed as dist
from torch import Tensor

from glidepath.core import GlidepathError, PartError

_LONGEST = timedelta(days=1)
"""The others wait while the first checks every image of a dataset; that one is gone they see at once."""


class ProcessLost(GlidepathError):
    """Another process of the run has ended, and with it the run."""


@attrs.frozen
class Group:
    """The place of this process among the `count` that train a run: `rank` counts from 0."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and speaks to people."""
        return self.rank == 0

    def rows(self, size: int) -> slice:
        """The rows of a batch of `size` that are this process's; those of all are the batch.

        Raises:
            PartError: there is not a row for each process.
        """
        if size < self.count:
            raise PartError(f"a batch of {size} cannot be divided among {self.count} processes")
        return slice(size * self.rank // self.count, size * (self.rank + 1) // self.count)

    def any(self, flag: bool) -> bool:
        """Whether it is so for one of the processes at least."""
        if self.count == 1:
            return flag
        flags = torch.tensor(int(flag))
        dist.all_reduce(flags, dist.ReduceOp.MAX)
        return bool(flags)

    def mean(self, value: Tensor) -> Tensor:
        """The mean over the processes."""
        if self.count == 1:
            return value
        total = value.clone()
        dist.all_reduce(total)
        return total / self.count

    def together(self, rows: Tensor, size: int) -> Tensor:
        """The rows of all processes as those of a batch of `size`: [rows, ...] to [size, ...].

        Where every process then computes one loss of them all, each has the gradient of the sum of these
        losses; the mean over the processes, which is taken of gradients, is that of the one loss.
        """
        if self.count == 1:
            return rows
        padding = [0, 0] * (rows.ndim - 1)
        mine = self.rows(size)
        # rows of zeros in the place of the others', so that processes may have unequal numbers of rows
        padded = torch.nn.functional.pad(rows, [*padding, mine.start, size - mine.stop])
        whole: Tensor = _Sum.apply(padded)  # type: ignore[no-untyped-call]
        return whole

    def texts(self, rows: Sequence[str]) -> list[str]:
        """The texts of all processes' rows, in the order of the batch."""
        if self.count == 1:
            return list(rows)
        found: list[list[str]] = [[] for _ in range(self.count)]
        dist.all_gather_object(found, list(rows))
        return list(chain(*found))

    def told(self, value: str | None) -> str | None:
        """What the first process has as `value`."""
        if self.count == 1:
            return value
        said = [value]
        dist.broadcast_object_list(said)
        return said[0]

    @contextmanager
    def in_words(self) -> Iterator[None]:
        """Within it ProcessLost is raised in place of what torch says where another process has gone."""
        try:
            yield
        except RuntimeError as error:
            if self.count == 1 or not is_of_others(error):
                raise
            lost = ProcessLost("another process of the run has ended")
            for note in getattr(error, "__notes__", ()):
                lost.add_note(note)
            raise lost from error


class _Sum(torch.autograd.Function):
    """The sum over the processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(_ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


ALONE = Group()


def count_of_processes() -> int:
    """How many processes this one was started among, by `glidepath train --processes` or by torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1")) if is_started() else 1


def is_started() -> bool:
    """Whether this process is one of those that something started to train a run."""
    return "RANK" in os.environ


def device_of_process(device: torch.device) -> torch.device:
    """The device of this process, where `device` is the run's: on a machine with GPUs one for each.

    Raises:
        PartError: there are not that many, or processes cannot train together on such devices.
    """
    if count_of_processes() == 1 or device.type == "cpu":
        return device
    if device.type != "cuda" or device.index is not None:
        raise PartError(f"several processes train on the devices cpu or cuda, and runtime.device is {device}")
    index, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if index >= there:
        raise PartError(
            f"each process trains on a GPU of its own, and this machine has {there}: train with "
            f"--processes {there}"
        )
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


@contextmanager
def joined(device: torch.device) -> Iterator[Group]:
    """Within it this process is one of those that it was started among; alone, if it was started alone."""
    if count_of_processes() == 1:
        yield ALONE
        return
    if dist.is_initialized():  # by Ray Train
        yield Group(dist.get_rank(), dist.get_world_size())
        return
    # what lies on the host goes by gloo, so that to agree on stopping waits for no GPU
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=_LONGEST)
    yield Group(dist.get_rank(), dist.get_world_size())
    dist.destroy_process_group()


def is_of_others(error: BaseException) -> bool:
    """Whether an error says that another process does not answer."""
    said = str(error)
    return isinstance(error, dist.DistError) or any(
        words in said for words in ("gloo/transport", "Connection closed by peer", "Connection reset by peer")
    )
