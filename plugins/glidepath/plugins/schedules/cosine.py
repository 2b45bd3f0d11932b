"""The cosine schedule."""

from __future__ import annotations

import math

from glidepath.core import VariancePreservingSchedule
from glidepath.plugins.schedules.configs import CosineConfig


class CosineSchedule(VariancePreservingSchedule):
    """alpha_bar(u) falls as a squared cosine, u = t / N (Nichol & Dhariwal 2021, equation 17)."""

    def __init__(self, config: CosineConfig) -> None:
        count = config.num_steps

        def alpha_bar(u: float) -> float:
            return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

        betas = [1 - alpha_bar((index + 1) / count) / alpha_bar(index / count) for index in range(count)]
        super().__init__(
            [min(beta, config.max_beta) for beta in betas],
            config.rescale_timesteps,
            config.zero_terminal_snr,
            config.time,
        )
