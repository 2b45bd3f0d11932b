"""Guidance away from a worse prediction of the same x_t."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from copy import copy
from functools import cache
from typing import Self

import attrs
import torch
from torch import Tensor

from glidepath.core.conditioning import Conditioning
from glidepath.core.denoiser import Bind, Predict
from glidepath.core.guidance import Guidance, Weight
from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.prediction import Prediction

Pair = Callable[[Tensor, Step], tuple[Prediction, Prediction]]
"""(x, Step) -> what is wanted, and something worse."""

Move = Callable[[Prediction, Prediction, float], Prediction]
"""(wanted, worse, scale) -> the wanted prediction, moved away from the worse one."""


class Contrast(Guidance):
    """Moves a prediction away from a worse one: worse + scale (wanted - worse), or as `mover` says.

    At scale 1 the result is the wanted prediction itself, and the worse one is not made. Whatever else was
    predicted or added (a learned variance, a gradient) is that of the wanted one, which the result holds as
    `unguided`.

    scale: how far; 0 is the worse prediction, 1 the wanted one.
    """

    def __init__(self, scale: float) -> None:
        self.scale = scale
        self._weight: Weight | None = None
        self._levels: NoiseLevels | None = None

    @abstractmethod
    def pair(self, bind: Bind, conditioning: Conditioning) -> Pair:
        """Bind both predictions to a batch."""

    def mover(self) -> Move:
        """How the wanted prediction is moved; asked for once for each batch, so it may remember its steps."""
        return extrapolate

    def weighted(self, weight: Weight) -> Self:
        """With the scale 1 + weight (scale - 1) at each step; where that is 1, nothing worse is made."""
        before = self._weight
        changed = copy(self)
        changed._weight = weight if before is None else lambda step: before(step) * weight(step)
        return changed

    def along(self, levels: NoiseLevels) -> Self:
        """Knowing its levels, it binds no prediction that no step asks for."""
        changed = copy(self)
        changed._levels = levels
        return changed

    @property
    def levels(self) -> NoiseLevels | None:
        """The levels of the walk, where they were said (`along`)."""
        return self._levels

    def __call__(self, bind: Bind) -> Bind:
        """Wrap `bind`."""

        def bound(conditioning: Conditioning) -> Predict:
            bind_once = cache(bind)  # a pair may hold what is wanted alone
            moves = self._moves()
            alone = None if moves == {True} else bind_once(conditioning)
            if alone is not None and moves == {False}:
                return alone
            pair, move = self.pair(bind_once, conditioning), self.mover()

            def guided(x: Tensor, step: Step) -> Prediction:
                scale = self._scale(step)
                if scale == 1 and alone is not None:
                    return alone(x, step)
                wanted, worse = pair(x, step)
                return attrs.evolve(move(wanted, worse, scale), unguided=wanted)

            return guided

        return bound

    def _moves(self) -> set[bool]:
        """Whether there are steps at which it moves anything, and steps at which it does not."""
        if self._weight is None or self.scale == 1:
            return {self.scale != 1}
        if self._levels is None:
            return {True, False}
        return {self._scale(step) != 1 for step in self._levels.steps("cpu")}

    def _scale(self, step: Step) -> float:
        weight = 1.0 if self._weight is None else self._weight(step)
        # not 1 + 1 (scale - 1), which rounds
        return self.scale if weight == 1 else 1 + weight * (self.scale - 1)


def extrapolate(wanted: Prediction, worse: Prediction, scale: float) -> Prediction:
    """worse + scale (wanted - worse), in the form of the wanted prediction.

    At one x_t, epsilon, x_0 and velocity are affine in each other and the two weights sum to 1, so that each
    form gives the same epsilon; the form in which it was predicted loses no digits to a conversion.
    """
    start: Tensor = getattr(worse, wanted.kind)
    return attrs.evolve(wanted, value=torch.add(start, wanted.value - start, alpha=scale))


def with_and_without_prompt(bind: Bind, conditioning: Conditioning) -> Pair:
    """The predictions under a conditioning and under its null form: one batch of 2B, conditional first."""
    both = bind(Conditioning.cat([conditioning, conditioning.null()]))

    def predict(x: Tensor, step: Step) -> tuple[Prediction, Prediction]:
        prediction = both(torch.cat([x, x]), step)
        value, worse = prediction.value.chunk(2)
        wanted = Prediction(
            value,
            prediction.kind,
            x,
            step,
            variance_fraction=_first_half(prediction.variance_fraction),
            gradient=_first_half(prediction.gradient),
        )
        return wanted, Prediction(worse, prediction.kind, x, step)

    return predict


def _first_half(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.chunk(2)[0]
