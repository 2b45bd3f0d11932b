"""The interface of a stretch of training: which modules learn, and from what loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn

from glidepath.plugins.train.data.dataset import Batch


class TrainingStage(ABC):
    """A stretch of training. Holds no state but that of its modules.

    name: for the log and for checkpoints; unique within a run.
    steps: how many optimizer steps it takes.
    batch: how many images are in one.
    modules: what learns, by the names that checkpoints give them.
    learning_rate: at its highest; None: the trainer's.
    rates: for some of the modules a factor of the learning rate.
    only: patterns of the parameters that learn (`matching`), while the others stay; None: all learn.
    network: the name of the module that `runtime.compile` compiles; "": none of them.
    divides: several processes take some rows of a batch each, and `loss` draws for them by `draws.drawn`.
        Otherwise each of them takes them all.
    compares: the loss is no mean over rows. Each process computes what costs something of its rows, and
        puts it together with that of the others by `Group.together`: the loss is that of the whole batch.
        Such a batch is not cut into parts (`accumulate`), and weights are not divided (`shard`).
    """

    name: str
    steps: int
    batch: int
    modules: nn.ModuleDict
    learning_rate: float | None = None
    rates: Mapping[str, float] = MappingProxyType({})
    only: Sequence[str] | None = None
    network: str = ""
    divides: bool = False
    compares: bool = False

    @abstractmethod
    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """The loss of a batch, a scalar on the run's device. generator: on the host, decides every draw."""

    def stepped(self) -> None:  # noqa: B027 - most have nothing to do
        """Called after each step, when the weights have changed."""

    def probe(self, averaged: nn.ModuleDict) -> dict[str, float]:
        """Figures for the log that cost more than a step. `averaged` are the moving averages of `modules`."""
        return {}
