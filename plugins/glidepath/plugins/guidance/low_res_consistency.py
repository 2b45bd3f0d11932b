"""Each predicted x_0 made to average to the small picture that an upsampler enlarges."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from glidepath.core import Bind, Conditioning, Guidance, Predict, Prediction, Step
from glidepath.plugins.guidance.modifier_configs import LowResConsistencyConfig


class LowResConsistency(Guidance):
    """x_0 + strength A+ (y - A x_0) (Wang et al. 2022, DDNM, equation 13, A = the mean of each block).

    y: "low_res", [1 or B, C, *small]. A x_0 is x_0 reduced to its size by averaging; A+ repeats each pixel.
    At strength 1, and where x is a whole number of times as large, each x_0 averages to y: the network adds
    detail, and cannot change colours.
    """

    reads = frozenset({"low_res"})
    scales_by_step = True

    def __init__(self, config: LowResConsistencyConfig) -> None:
        self.config = config

    def __call__(self, bind: Bind) -> Bind:
        """Wrap `bind`."""

        def bound(conditioning: Conditioning) -> Predict:
            predict, low_res = bind(conditioning), conditioning.get("low_res")

            def consistent(x: Tensor, step: Step) -> Prediction:
                prediction = predict(x, step)
                x_0, strength = prediction.sample, self.weight_at(step) * self.config.strength
                if low_res is None or strength == 0:
                    return prediction
                missing = low_res.to(x_0) - F.interpolate(x_0, low_res.shape[2:], mode="area")
                return prediction.with_clipped(x_0 + strength * F.interpolate(missing, x_0.shape[2:]))

            return consistent

        return bound
