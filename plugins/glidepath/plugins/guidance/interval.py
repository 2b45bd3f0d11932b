"""Guidance at some noise levels only."""

from __future__ import annotations

import math

from glidepath.core import Guidance, GuidanceModifier, PartError, Step
from glidepath.plugins.guidance.modifier_configs import IntervalConfig


class Interval(GuidanceModifier):
    """The guidance before it where low < sigma / alpha <= high, and nothing of it elsewhere.

    sigma / alpha is the noise level of Karras et al. 2022, in whose terms Kynkäänniemi et al. 2024 state
    their intervals. Elsewhere nothing is computed for that guidance: no second forward, no gradient.
    """

    def __init__(self, config: IntervalConfig) -> None:
        self.config = config

    def modify(self, guidance: Guidance) -> Guidance:
        """`guidance` within the interval.

        Raises:
            PartError: it cannot be scaled by step.
        """
        if self.config.low == 0 and self.config.high == math.inf:
            return guidance
        return guidance.scaled_by_step(self.weight)

    def weight(self, step: Step) -> float:
        """1 within the interval, 0 outside.

        Raises:
            PartError: the step's noise level is not known.
        """
        if math.isnan(step.sigma_over_alpha):
            raise PartError("interval needs each step's noise level, and this step was made outside a grid")
        return float(self.config.low < step.sigma_over_alpha <= self.config.high)
