"""The spread that guidance added, taken back."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from glidepath.core import Bind, Conditioning, Guidance, Predict, Prediction, Step
from glidepath.plugins.guidance.modifier_configs import RescaleConfig

_ROUNDING = 1e-6
"""A spread that is no more of the largest value comes from rounding the mean of equal numbers in float32."""


class Rescale(Guidance):
    """value = phi value std(unguided) / std(value) + (1 - phi) value (Lin et al. 2024, section 3.4).

    Each sample by itself, over all its values, in the form in which the prediction was guided: that of the
    denoiser, which in the paper is the velocity. Where nothing was guided, and at phi 0, nothing changes; nor
    does a sample that is the same number everywhere, which has no spread to take back.
    """

    scales_by_step = True

    def __init__(self, config: RescaleConfig) -> None:
        self.config = config

    def __call__(self, bind: Bind) -> Bind:
        """Wrap `bind`."""
        if self.config.phi == 0:
            return bind

        def bound(conditioning: Conditioning) -> Predict:
            predict = bind(conditioning)

            def rescaled(x: Tensor, step: Step) -> Prediction:
                return self._rescale(predict(x, step))

            return rescaled

        return bound

    def _rescale(self, prediction: Prediction) -> Prediction:
        phi = self.weight_at(prediction.step) * self.config.phi
        if prediction.unguided is None or phi == 0:
            return prediction
        unguided = prediction.unguided.as_kind(prediction.kind)
        spread = _spread(prediction.value)
        factor = phi * _spread(unguided) / spread + (1 - phi)
        factor = torch.where(spread > _ROUNDING * _largest(prediction.value), factor, 1)
        return attrs.evolve(prediction, value=factor * prediction.value, unclipped=None)


def _spread(value: Tensor) -> Tensor:
    """The standard deviation of each sample: [B, C, *spatial] -> [B, 1, ...]."""
    return value.std(dim=tuple(range(1, value.ndim)), keepdim=True)


def _largest(value: Tensor) -> Tensor:
    """The largest magnitude of each sample: [B, C, *spatial] -> [B, 1, ...]."""
    return value.abs().amax(dim=tuple(range(1, value.ndim)), keepdim=True)
