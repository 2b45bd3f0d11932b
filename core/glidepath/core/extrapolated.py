"""Guidance that extrapolates from one prediction of x_t through a better one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from copy import copy
from functools import cache
from typing import Self

import torch
from torch import Tensor

from glidepath.core.conditioning import Conditioning
from glidepath.core.denoiser import Bind, Predict
from glidepath.core.guidance import Guidance
from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.prediction import Prediction

Extrapolate = Callable[[Tensor, Step, float], Prediction]
"""(x [B, C, *spatial], Step, scale) -> the guided prediction, which holds the main one as `unguided`."""

PredictPair = Callable[[Tensor, Step], tuple[Prediction, Prediction]]
"""(x [B, C, *spatial], Step) -> the conditional and the unconditional prediction."""


class ExtrapolatedGuidance(Guidance):
    """guide + scale (main - guide), for two predictions of one x_t.

    It leads away from the guide, through the main prediction. At scale 1 the result is the main prediction
    itself, and the guide is not computed. A weight w by step stands for the scale 1 + w (scale - 1).

    scale: 0 gives the guide, 1 the main prediction, more than 1 lies beyond it.
    """

    scales_by_step = True

    def __init__(self, scale: float) -> None:
        self.scale = scale
        self.levels: NoiseLevels | None = None

    @abstractmethod
    def extrapolate(self, bind: Bind, conditioning: Conditioning) -> Extrapolate:
        """Bind both predictions to a batch, and combine them at the scale of each step.

        What is remembered from step to step is local to the result. Learned variance and gradient are those
        of the main prediction (`Prediction.guided`).
        """

    def for_levels(self, levels: NoiseLevels) -> Self:
        """The same guidance for sampling along `levels`: a prediction that no step needs is not prepared."""
        prepared = copy(self)
        prepared.levels = levels
        return prepared

    def __call__(self, bind: Bind) -> Bind:
        """Wrap `bind`."""

        def bound(conditioning: Conditioning) -> Predict:
            bind_once = cache(bind)  # `extrapolate` may bind the main prediction too
            scales = self._scales()
            main = bind_once(conditioning) if 1 in scales else None
            if main is not None and scales == {1}:
                return main
            extrapolate = self.extrapolate(bind_once, conditioning)

            def guided(x: Tensor, step: Step) -> Prediction:
                scale = self._scale_at(step)
                return main(x, step) if main is not None and scale == 1 else extrapolate(x, step, scale)

            return guided

        return bound

    def _scales(self) -> set[float]:
        """The scales that occur; where levels are not known, 1 and `scale` stand for them."""
        if not self._weights:
            return {self.scale}
        if self.levels is None:
            return {1, self.scale}
        return {self._scale_at(step) for step in self.levels.steps("cpu")}

    def _scale_at(self, step: Step) -> float:
        weight = self.weight_at(step)
        # not 1 + 1 (scale - 1), which rounds
        return self.scale if weight == 1 else 1 + weight * (self.scale - 1)


def cond_and_uncond(bind: Bind, conditioning: Conditioning) -> PredictPair:
    """The predictions under a conditioning and under its null form: one batch of 2B, conditional half first.

    Learned variance and gradient are those of the conditional half.
    """
    predict = bind(Conditioning.of_one_x([conditioning, conditioning.null()]))

    def predict_pair(x: Tensor, step: Step) -> tuple[Prediction, Prediction]:
        both = predict(torch.cat([x, x]), step)
        cond, uncond = both.value.chunk(2)
        variance_fraction, gradient = _first_half(both.variance_fraction), _first_half(both.gradient)
        return (
            Prediction(cond, both.kind, x, step, variance_fraction, gradient),
            Prediction(uncond, both.kind, x, step),
        )

    return predict_pair


def _first_half(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.chunk(2)[0]
