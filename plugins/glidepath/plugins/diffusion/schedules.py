"""The two noise schedules of GLIDE and ADM."""

from __future__ import annotations

import math

from glidepath.core.variance_preserving import VariancePreservingSchedule
from glidepath.plugins.diffusion.plugin import CosineConfig, LinearConfig


class LinearSchedule(VariancePreservingSchedule):
    """beta grows linearly from 0.1 / N to 20 / N: 1e-4 to 0.02 for N = 1000 (Ho et al. 2020, section 4)."""

    def __init__(self, config: LinearConfig) -> None:
        count = config.num_steps
        first, last = 1000 / count * 1e-4, 1000 / count * 0.02
        step = (last - first) / (count - 1)
        super().__init__(
            [*(first + index * step for index in range(count - 1)), last], config.rescale_timesteps
        )


class CosineSchedule(VariancePreservingSchedule):
    """alpha_bar(u) falls as a squared cosine, u = t / N (Nichol & Dhariwal 2021, equation 17)."""

    def __init__(self, config: CosineConfig) -> None:
        count = config.num_steps

        def alpha_bar(u: float) -> float:
            return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

        betas = [1 - alpha_bar((index + 1) / count) / alpha_bar(index / count) for index in range(count)]
        super().__init__([min(beta, config.max_beta) for beta in betas], config.rescale_timesteps)
