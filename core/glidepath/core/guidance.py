"""The interface of what pulls a sample towards its prompt."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from copy import copy
from typing import Self

import torch
from torch import nn

from glidepath.core.denoiser import Bind
from glidepath.core.errors import PartError
from glidepath.core.levels import NoiseLevels, Step

Weight = Callable[[Step], float]
"""Step -> a Python float: how much of a guidance acts at that step. 1 is all of it, 0 none."""


class Guidance(ABC):
    """Maps a binder to a binder: takes a way to predict under a conditioning, and returns a better one.

    Guidances hold no state between calls, and fold: each wraps the result of those before it.

    differentiates: whether it takes a gradient through the predictor that it wraps, or through a network of
        its own. Sampling then runs under no_grad and not in inference mode, whose tensors autograd refuses.
    reads: the names of the conditions that it reads itself, beside those of the denoiser.
    num_classes: how many class labels it knows, where it reads "labels"; None where it does not.
    scales_by_step: whether it multiplies what it adds to a prediction by `weight_at(step)`.
    """

    differentiates: bool = False
    reads: frozenset[str] = frozenset()
    num_classes: int | None = None
    scales_by_step: bool = False
    _weights: tuple[Weight, ...] = ()

    @abstractmethod
    def __call__(self, bind: Bind) -> Bind:
        """Wrap `bind`. What is computed once for a batch is computed when the result is called."""

    def scaled_by_step(self, weight: Weight) -> Self:
        """The same guidance, of which `weight(step)` acts; weights of weights multiply.

        Where the weight is 0, nothing is computed for it: no second forward, no gradient.

        Raises:
            PartError: this guidance cannot be scaled, because it does not add to a prediction.
        """
        if not self.scales_by_step:
            raise PartError(f"{type(self).__name__} cannot be scaled by step")
        scaled = copy(self)
        object.__setattr__(scaled, "_weights", (*self._weights, weight))  # it may be a frozen class
        return scaled

    def weight_at(self, step: Step) -> float:
        """How much of this guidance acts at a step: the product of its weights, 1 without any."""
        return math.prod((weight(step) for weight in self._weights), start=1.0)

    def networks(self) -> Mapping[str, nn.Module]:
        """The networks of its own, by name ("classifier", "denoiser"); none by default.

        The pipeline moves them to its device, sets them to eval, freezes and counts them. A denoiser among
        them runs in the precision and memory layout of the pipeline's own; any other keeps the precision that
        it was built in, which is float32 unless it says otherwise.
        """
        return {}

    def for_levels(self, levels: NoiseLevels) -> Guidance:
        """The same guidance for sampling along `levels`: itself, unless it prepares for them."""
        return self


class GuidanceModifier(Guidance):
    """Changes the guidance before it in the list, instead of wrapping its result."""

    @abstractmethod
    def modify(self, guidance: Guidance) -> Guidance:
        """The guidance that takes the place of `guidance` and of this modifier.

        Raises:
            PartError: it is not one that this modifier can change.
        """

    def __call__(self, bind: Bind) -> Bind:
        """Not to be called: `fold` asks for `modify`."""
        raise PartError(f"{type(self).__name__} changes the guidance before it, and there is none")


def fold(guidances: Iterable[Guidance], bind: Bind, levels: NoiseLevels | None = None) -> Bind:
    """Apply guidances left to right: the first wraps the denoiser, the next wraps the first.

    levels: those that `bind` is for; a guidance that prepares for them (`for_levels`) needs them.

    Raises:
        PartError: a modifier stands first, or after a guidance that it cannot change.
    """
    for guidance in _modified(guidances):
        bind = (guidance if levels is None else guidance.for_levels(levels))(bind)
    return bind


def networks_of(guidances: Sequence[Guidance]) -> dict[str, nn.Module]:
    """The networks of all, by path: "guidance[0].clip"."""
    return {
        f"guidance[{index}].{name}": network
        for index, guidance in enumerate(guidances)
        for name, network in guidance.networks().items()
    }


def without_gradients(guidances: Iterable[Guidance]) -> AbstractContextManager[None]:
    """Inference mode, or where a guidance takes gradients, which that would refuse, no_grad."""
    differentiates = any(guidance.differentiates for guidance in guidances)
    return torch.no_grad() if differentiates else torch.inference_mode()


def _modified(guidances: Iterable[Guidance]) -> list[Guidance]:
    """The guidances that wrap, each changed by the modifiers that follow it."""
    modified: list[Guidance] = []
    for guidance in guidances:
        if isinstance(guidance, GuidanceModifier) and modified:
            modified[-1] = guidance.modify(modified[-1])
        else:
            modified.append(guidance)
    return modified
