"""Weights, averages and moments divided among the processes of a run, by torch's `fully_shard` (FSDP2).

Each process holds a part of each tensor. They are whole while the loss is computed, gradients are averaged,
and what is left of them is the part again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from glidepath.core import PartError
from glidepath.plugins.train.run.stage import TrainingStage
from glidepath.plugins.train.scale.share import Used
from glidepath.registry import list_names

if TYPE_CHECKING:
    from glidepath.plugins.train.configs import TrainingConfig


class Shards:
    """Divides what a stage trains among the processes."""

    def __init__(self, stage: TrainingStage, device: torch.device, config: TrainingConfig) -> None:
        """Raises PartError where this torch has no `fully_shard`, or the config is not for it."""
        if config.optimizer == "adafactor":
            raise PartError(
                "train.shard: torch's Adafactor takes no divided tensors; set train.optimizer to another"
            )
        try:
            from torch.distributed.fsdp import fully_shard
        except ImportError as error:
            raise PartError("train.shard needs torch 2.6 or newer") from error
        self._stage, self._shard = stage, fully_shard
        self._mesh = dist.device_mesh.init_device_mesh(device.type, (dist.get_world_size(),))
        self._of_loss: Any = None
        self._of_probe: Any = None

    def divide(self, modules: nn.ModuleDict, averaged: nn.ModuleDict) -> None:
        """Divide modules and their averages, in place: their parameters are others from now on.

        Raises:
            PartError: a parameter is a single number, which torch does not divide.
        """
        if numbers := [name for name, parameter in modules.named_parameters() if not parameter.ndim]:
            raise PartError(
                f"train.shard: {list_names(numbers)} are single numbers, which torch's fully_shard does not "
                "divide: train without it, by as many processes"
            )
        for learning in (modules, averaged):
            learning.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self._of_loss = self._shard(Used(modules, self._stage.loss), mesh=self._mesh)
        self._of_probe = self._shard(
            Used(averaged, self._stage.probe), mesh=self._mesh, reshard_after_forward=True
        )

    def loss(self, *arguments: Any) -> Tensor:
        """The stage's loss, after whose `backward` the gradients are the mean of all processes'."""
        loss: Tensor = self._of_loss(*arguments)
        return loss

    def probe(self, averaged: nn.ModuleDict) -> dict[str, float]:
        """The stage's figures of the averages."""
        figures: dict[str, float] = self._of_probe(averaged)
        return figures

    @contextmanager
    def averages(self) -> Iterator[None]:
        """Within it the averages are whole; every process has to enter it."""
        self._of_probe.unshard()
        try:
            yield
        finally:
            self._of_probe.reshard()


def gathered(tensors: Mapping[str, Tensor], *, kept: bool = True) -> dict[str, Tensor]:
    """Whole tensors, one after the other; every process has to ask. kept: false gives none of them."""
    found = {}
    for name, value in tensors.items():
        whole = value.full_tensor().cpu() if hasattr(value, "full_tensor") else value
        if kept:
            found[name] = whole
    return found


def placed(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, divided where `like` is; each process takes its part of what it has."""
    if not hasattr(like, "full_tensor") or hasattr(value, "full_tensor"):
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    there = value.detach().to(like.device)
    return distribute_tensor(there, like.device_mesh, like.placements, src_data_rank=None)


def own(value: Tensor) -> Tensor:
    """The part of a tensor that this process holds; all of one that is not divided."""
    part: Tensor = value.to_local() if hasattr(value, "to_local") else value
    return part
