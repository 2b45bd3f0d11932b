"""The interface of what a generator learns from."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from glidepath.core import Conditioning, Generator


@runtime_checkable
class Objective(Protocol):
    """A loss that a generator learns from, in a stage of training of its own.

    name: of its stage, for the log and checkpoints; unique within a run.

    It may also have:

    - `steps: int`: how many optimizer steps its stage takes; without it, as many as the trainer says. Of
      several objectives each but the last has it.
    - `only: Sequence[str]`: the names, or patterns, of the generator's parameters that learn; with it the
      others stay, and so does the text encoder unless `text` is True.
    - `attach(generator: Generator)`: called once, before the first step, on the host: an objective that is a
      module with networks of its own (a discriminator, say) makes them here. They learn beside the generator,
      are kept in checkpoints, and are no part of the trained weights.
    - `probe(generator, x_0, conditioning) -> Mapping[str, float]`: figures for the log, of the averaged
      generator on images that are held out where the dataset keeps some. Without gradients.
    """

    name: str

    def loss(
        self, generator: Generator, x_0: Tensor, conditioning: Conditioning, draws: torch.Generator
    ) -> Tensor:
        """The loss of a batch, a scalar on the device of x_0.

        x_0: [B, C, *spatial] float32, as the codec has images. conditioning: of the generator's conditions,
        some dropped for guidance. draws: on the host, decides every draw.
        """
