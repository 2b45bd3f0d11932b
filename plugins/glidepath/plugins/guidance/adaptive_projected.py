"""Classifier-free guidance without what oversaturates."""

from __future__ import annotations

import torch
from torch import Tensor

from glidepath.core import (
    Bind,
    Conditioning,
    Extrapolate,
    ExtrapolatedGuidance,
    Prediction,
    Step,
    cond_and_uncond,
)
from glidepath.plugins.guidance.configs import AdaptiveProjectedConfig


class AdaptiveProjectedGuidance(ExtrapolatedGuidance):
    """x_0 = cond + (scale - 1) (orthogonal + eta parallel) (Sadat et al. 2024, algorithm 1).

    The difference cond - uncond of the two predicted x_0 is added to `momentum` times that of the steps
    before, shortened to `norm_threshold`, and split into what is parallel to cond, which saturates, and what
    is orthogonal to it, which improves. At eta 1, without threshold and momentum, it is classifier-free
    guidance. A step that an interval leaves out has no difference to remember.
    """

    def __init__(self, config: AdaptiveProjectedConfig) -> None:
        super().__init__(config.scale)
        self.config = config

    def extrapolate(self, bind: Bind, conditioning: Conditioning) -> Extrapolate:
        """Bind the prompt and its absence to a batch, with no differences remembered yet."""
        predict_pair = cond_and_uncond(bind, conditioning)
        average: Tensor | None = None

        def guided(x: Tensor, step: Step, scale: float) -> Prediction:
            nonlocal average
            main, null = predict_pair(x, step)
            cond, uncond = main.sample, null.sample
            difference = cond - uncond
            if self.config.momentum and average is not None:
                difference = difference + self.config.momentum * average
            average = difference
            return main.guided(cond + (scale - 1) * self._useful(difference, cond), "sample")

        return guided

    def _useful(self, difference: Tensor, cond: Tensor) -> Tensor:
        """orthogonal + eta parallel, after the difference was shortened."""
        if self.config.norm_threshold is not None:
            length = _length(difference).clamp_min(torch.finfo(difference.dtype).tiny)
            difference = difference * (self.config.norm_threshold / length).clamp_max(1)
        if self.config.eta == 1:
            return difference
        direction = cond / _length(cond).clamp_min(1e-12)
        parallel = (difference * direction).sum(dim=tuple(range(1, cond.ndim)), keepdim=True) * direction
        return difference + (self.config.eta - 1) * parallel


def _length(value: Tensor) -> Tensor:
    """The Euclidean norm of each sample: [B, C, *spatial] -> [B, 1, ...]."""
    return value.square().sum(dim=tuple(range(1, value.ndim)), keepdim=True).sqrt()
