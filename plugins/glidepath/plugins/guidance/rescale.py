"""The spread that guidance added, taken back."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from glidepath.core import Bind, Conditioning, Guidance, Predict, Prediction, Step
from glidepath.plugins.guidance.configs import RescaleConfig


class Rescale(Guidance):
    """value = phi value std(unguided) / std(value) + (1 - phi) value (Lin et al. 2024, section 3.4).

    Each sample by itself, over all its values, in the form in which the prediction was guided: that of the
    denoiser, which in the paper is the velocity. Where nothing was guided, and at phi 0, nothing changes.
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
        spread = _spread(prediction.value).clamp_min(torch.finfo(unguided.dtype).tiny)
        factor = phi * _spread(unguided) / spread + (1 - phi)
        return attrs.evolve(prediction, value=factor * prediction.value)


def _spread(value: Tensor) -> Tensor:
    """The standard deviation of each sample: [B, C, *spatial] -> [B, 1, ...]."""
    return value.std(dim=tuple(range(1, value.ndim)), keepdim=True)
