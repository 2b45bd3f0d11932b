"""The spread that guidance added, taken back."""

from __future__ import annotations

from copy import copy
from typing import Self

import attrs
import torch
from torch import Tensor

from glidepath.core import Bind, Conditioning, Guidance, Predict, Prediction, Step, Weight
from glidepath.plugins.guidance.configs import RescaleConfig


class Rescale(Guidance):
    """value = phi value std(unguided) / std(value) + (1 - phi) value (Lin et al. 2024, section 3.4).

    Each sample by itself, over all its values, in the form in which the prediction was guided: that of the
    denoiser, which in the paper is the velocity. Where nothing was guided, and at phi 0, nothing changes.
    """

    def __init__(self, config: RescaleConfig) -> None:
        self.config = config
        self._weight: Weight | None = None

    def weighted(self, weight: Weight) -> Self:
        """With weight(step) phi in place of phi."""
        before = self._weight
        changed = copy(self)
        changed._weight = weight if before is None else lambda step: before(step) * weight(step)
        return changed

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
        phi = self.config.phi * (1.0 if self._weight is None else self._weight(prediction.step))
        if prediction.unguided is None or phi == 0:
            return prediction
        before: Tensor = getattr(prediction.unguided, prediction.kind)
        spread = _spread(prediction.value).clamp_min(torch.finfo(before.dtype).tiny)
        factor = phi * _spread(before) / spread + (1 - phi)
        return attrs.evolve(prediction, value=factor * prediction.value)


def _spread(value: Tensor) -> Tensor:
    """The standard deviation of each sample: [B, C, *spatial] -> [B, 1, ...]."""
    return value.std(dim=tuple(range(1, value.ndim)), keepdim=True)
