"""Each predicted x_0 brought back to [-1, 1] by what most of its pixels need."""

from __future__ import annotations

import math

from torch import Tensor

from glidepath.core import Bind, Conditioning, Guidance, Predict, Prediction, Step
from glidepath.plugins.guidance.modifier_configs import DynamicThresholdConfig


class DynamicThreshold(Guidance):
    """x_0 = clip(x_0, -s, s) / s, s a percentile of |x_0|, at least 1 (Saharia et al. 2022, section 2.3).

    Each sample has its own s, which `sample_max` bounds. An x_0 that lies within [-1, 1] stays as it is. A
    learned variance, a gradient and what was predicted before guidance stay too; so does the noise that was
    predicted, for a sampler that keeps it (`ddim` with `epsilon: predicted`).
    """

    def __init__(self, config: DynamicThresholdConfig) -> None:
        self.config = config

    def __call__(self, bind: Bind) -> Bind:
        """Wrap `bind`."""

        def bound(conditioning: Conditioning) -> Predict:
            predict = bind(conditioning)

            def thresholded(x: Tensor, step: Step) -> Prediction:
                prediction = predict(x, step)
                return prediction.with_clipped(self._threshold(prediction.sample))

            return thresholded

        return bound

    def _threshold(self, sample: Tensor) -> Tensor:
        bound = percentile(sample.abs().flatten(1), self.config.percentile).clamp(1, self.config.sample_max)
        bound = bound.reshape(-1, *[1] * (sample.ndim - 1))
        return sample.clamp(-bound, bound) / bound


def percentile(values: Tensor, share: float) -> Tensor:
    """The value below which `share` of each row lies, between two values in proportion: [B, N] -> [B].

    torch.quantile has no more than 16 million values, which a batch of large images exceeds.
    """
    position = share * (values.shape[1] - 1)
    below, above = math.floor(position), math.ceil(position)
    largest = values.topk(values.shape[1] - below, dim=1).values
    return largest[:, -1].lerp(largest[:, below - above - 1], position - below)
