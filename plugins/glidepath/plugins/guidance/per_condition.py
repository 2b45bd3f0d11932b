"""Classifier-free guidance with a scale for each of several conditions."""

from __future__ import annotations

from collections.abc import Collection

import attrs
import torch
from torch import Tensor

from glidepath.core import Bind, Conditioning, Guidance, PartError, Predict, Prediction, Step
from glidepath.plugins.guidance.configs import PerConditionConfig


class PerConditionGuidance(Guidance):
    """epsilon = epsilon_n + sum over i of scale_i (epsilon_(i - 1) - epsilon_i).

    epsilon_0 is predicted under all conditions, epsilon_i without the first i of those that have a scale, and
    so epsilon_n without any (Brooks et al. 2023, "InstructPix2Pix", equation 3, for a text and an image).
    All are predicted in one batch of (n + 1) B. A condition without a scale is dropped with the first. A
    weight w by step stands for the scales 1 + w (scale - 1); where all are 1, epsilon_0 alone is predicted.
    """

    scales_by_step = True

    def __init__(self, config: PerConditionConfig) -> None:
        self.scales = config.scales

    def __call__(self, bind: Bind) -> Bind:
        """Wrap `bind`."""

        def bound(conditioning: Conditioning) -> Predict:
            names = tuple(self.scales)
            without = [_without(conditioning, names[: index + 1], names) for index in range(len(names))]
            predict, count = bind(Conditioning.of_one_x([conditioning, *without])), len(names) + 1
            main = bind(conditioning) if self._weights or set(self.scales.values()) == {1} else None

            def guided(x: Tensor, step: Step) -> Prediction:
                weight = self.weight_at(step)
                own = self.scales.values()
                scales = [scale if weight == 1 else 1 + weight * (scale - 1) for scale in own]
                if main is not None and set(scales) == {1}:
                    return main(x, step)
                all_of_them = predict(torch.cat([x] * count), step)
                values = all_of_them.value.chunk(count)
                value = values[-1]
                for scale, more, less in zip(scales, values, values[1:], strict=False):
                    value = torch.add(value, more - less, alpha=scale)
                variance, gradient = (
                    None if tensor is None else tensor.chunk(count)[0]
                    for tensor in (all_of_them.variance_fraction, all_of_them.gradient)
                )
                return Prediction(values[0], all_of_them.kind, x, step, variance, gradient).guided(value)

            return guided

        return bound


def _without(conditioning: Conditioning, dropped: Collection[str], names: Collection[str]) -> Conditioning:
    """What stands for the absence of some conditions, and of those that have no name here."""
    for name in dropped:
        condition = conditioning.conditions.get(name)
        if condition is None or condition.null is None:
            there_is = "there is no such condition" if condition is None else "nothing stands for its absence"
            known = ", ".join(sorted(conditioning.conditions)) or "none"
            raise PartError(f"scales has {name!r}, and {there_is}; conditions are {known}")
    kept = {
        name: condition
        for name, condition in conditioning.conditions.items()
        if name in names and name not in dropped
    }
    return attrs.evolve(conditioning, conditions={**conditioning.null().conditions, **kept})
