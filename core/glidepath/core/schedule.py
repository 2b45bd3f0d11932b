"""The interface of the forward chain: how signal and noise mix at each time."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from glidepath.core.levels import NoiseLevels
from glidepath.core.spacing import Spacing, timesteps


class NoiseSchedule(ABC):
    """A Gaussian process q(x_t | x_0) = N(alpha(t) x_0, sigma(t)^2 I).

    num_steps: how many timesteps it was discretised into for training; t runs from 0 to num_steps - 1.
    """

    num_steps: int

    @abstractmethod
    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma at times t (any shape, integer or float), float64, on t's device."""

    def model_time(self, t: Tensor) -> Tensor:
        """What the denoiser receives for times t, in training as in sampling: t itself, unless overridden."""
        return t

    def levels(self, spacing: Spacing) -> NoiseLevels:
        """The grid of a spacing, noisy to clean, with the clean image (alpha 1, sigma 0) as its end point.

        Raises:
            ValueError: the spacing does not exist for this schedule.
        """
        t = torch.tensor(timesteps(spacing, self.num_steps)[::-1])
        alpha, sigma = self.alpha_sigma(t)
        one = torch.ones(1, dtype=torch.float64)
        return NoiseLevels(self.model_time(t), torch.cat([alpha, one]), torch.cat([sigma, 0 * one]))

    def add_noise(self, x_0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Draw from q(x_t | x_0): alpha(t) x_0 + sigma(t) noise (Ho et al. 2020, equation 4).

        x_0, noise: [B, C, *spatial]; t: [B], on x_0's device or on the host.
        """
        shape = (-1, *[1] * (x_0.ndim - 1))
        alpha, sigma = (value.to(x_0.device, x_0.dtype).reshape(shape) for value in self.alpha_sigma(t))
        return alpha * x_0 + sigma * noise
