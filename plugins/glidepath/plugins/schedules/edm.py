"""Noise that grows while the image stays as it is, in continuous time."""

from __future__ import annotations

import torch
from torch import Tensor

from glidepath.core import NoiseSchedule, Spacing
from glidepath.plugins.schedules.configs import EdmConfig


class EdmSchedule(NoiseSchedule):
    """alpha = 1, sigma^(1/rho) in a straight line from `sigma_min` at t = 0 to `sigma_max` at t = 1.

    Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models": N steps visit the
    N levels of equation 5. The denoiser receives c_noise = log(sigma) / 4 (table 1).
    """

    continuous = True

    def __init__(self, config: EdmConfig) -> None:
        self.config = config

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma at times t from 0 to 1 (any shape), float64, on t's device."""
        time, power = t.to(torch.float64), 1 / self.config.rho
        low, high = self.config.sigma_min**power, self.config.sigma_max**power
        return torch.ones_like(time), (low + time * (high - low)) ** self.config.rho

    def model_time(self, t: Tensor) -> Tensor:
        """log(sigma) / 4, float64."""
        return self.alpha_sigma(t)[1].log() / 4

    def times(self, spacing: Spacing) -> Tensor:
        """[N] the times of a spacing, float64: for a number of steps, from 1 to 0, both included.

        Raises:
            ValueError: the spacing is neither a number of steps nor a list of times.
        """
        t = super().times(spacing)
        return torch.linspace(1, 0, len(t), dtype=torch.float64) if isinstance(spacing, int | str) else t
