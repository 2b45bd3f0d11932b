"""A weight for each step."""

from __future__ import annotations

import math
from collections.abc import Callable

from glidepath.core import Guidance, GuidanceModifier, PartError, Step
from glidepath.plugins.guidance.modifier_configs import ScaleScheduleConfig

SHAPES: dict[str, Callable[[float, float], float]] = {
    "constant": lambda _u, _power: 1.0,
    "linear": lambda u, _power: u,
    "inverse-linear": lambda u, _power: 1 - u,
    "cosine": lambda u, _power: (1 - math.cos(math.pi * u)) / 2,
    "power-cosine": lambda u, power: (1 - math.cos(math.pi * u**power)) / 2,
}
"""(u, power) -> weight, u from 0 (noise) to 1 (image): Wang et al. 2024, with u for their 1 - t / T."""


class ScaleSchedule(GuidanceModifier):
    """The guidance before it, scaled by step: classifier-free guidance of scale s has 1 + weight (s - 1).

    u = (index + 1) / steps is 1 - t / T of the papers, for the index from the noisy end.
    """

    def __init__(self, config: ScaleScheduleConfig) -> None:
        self.config = config

    def modify(self, guidance: Guidance) -> Guidance:
        """`guidance` with this schedule.

        Raises:
            PartError: it cannot be scaled by step.
        """
        if self.config.shape == "constant" and self.config.floor <= 1 and self.config.values is None:
            return guidance
        return guidance.scaled_by_step(self.weight)

    def weight(self, step: Step) -> float:
        """The weight of a step.

        Raises:
            PartError: there are more weights than steps.
        """
        config = self.config
        if config.values is not None:
            return _spread(config.values, step)
        return max(config.floor, SHAPES[config.shape]((step.index + 1) / step.num_steps, config.power))


def _spread(weights: tuple[float, ...], step: Step) -> float:
    if len(weights) > step.num_steps:
        raise PartError(
            f"scale-schedule has {len(weights)} weights, and the sampler takes {step.num_steps} steps"
        )
    return weights[step.index * len(weights) // step.num_steps]
