"""Classifier-free guidance without what oversaturates."""

from __future__ import annotations

import torch
from torch import Tensor

from glidepath.core import Bind, Conditioning, Contrast, Move, Pair, Prediction, with_and_without_prompt
from glidepath.plugins.guidance.configs import AdaptiveProjectedConfig


class AdaptiveProjectedGuidance(Contrast):
    """x_0 = cond + (scale - 1) (orthogonal + eta parallel) (Sadat et al. 2024, algorithm 1).

    The difference cond - uncond of the two predicted x_0 is added to `momentum` times that of the steps
    before, shortened to `norm_threshold`, and split into what is parallel to cond, which saturates, and what
    is orthogonal to it, which improves. At eta 1, without threshold and momentum, it is classifier-free
    guidance. A step of which it is left out (by an interval) has no difference to remember.
    """

    def __init__(self, config: AdaptiveProjectedConfig) -> None:
        super().__init__(config.scale)
        self.config = config

    def pair(self, bind: Bind, conditioning: Conditioning) -> Pair:
        """The predictions with and without the prompt."""
        return with_and_without_prompt(bind, conditioning)

    def mover(self) -> Move:
        """A new memory of differences, for one batch."""
        average: Tensor | None = None

        def move(wanted: Prediction, worse: Prediction, scale: float) -> Prediction:
            nonlocal average
            sample = wanted.sample
            difference = sample - worse.sample
            if self.config.momentum and average is not None:
                difference = difference + self.config.momentum * average
            average = difference
            return wanted.with_sample(sample + (scale - 1) * self._useful(difference, sample))

        return move

    def _useful(self, difference: Tensor, sample: Tensor) -> Tensor:
        """What is added of a difference."""
        if self.config.norm_threshold is not None:
            length = _length(difference).clamp_min(torch.finfo(difference.dtype).tiny)
            difference = difference * (self.config.norm_threshold / length).clamp_max(1)
        if self.config.eta == 1:
            return difference
        direction = sample / _length(sample).clamp_min(1e-12)
        along = (difference * direction).sum(dim=tuple(range(1, sample.ndim)), keepdim=True) * direction
        return difference + (self.config.eta - 1) * along


def _length(value: Tensor) -> Tensor:
    """The Euclidean norm of each sample: [B, C, *spatial] -> [B, 1, ...]."""
    return value.square().sum(dim=tuple(range(1, value.ndim)), keepdim=True).sqrt()
