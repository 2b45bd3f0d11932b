"""The interface of the forward chain: how signal and noise mix at each time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from glidepath.core.levels import NoiseLevels
from glidepath.core.spacing import Spacing, fractions, timesteps

_HALVINGS = 60  # of the range of times: to the last digit of float64


class NoiseSchedule(ABC):
    """A Gaussian process q(x_t | x_0) = N(alpha(t) x_0, sigma(t)^2 I).

    num_steps: how many timesteps it was discretised into for training; t runs from 0 to num_steps - 1. A
        continuous schedule has none.
    continuous: whether t is any number from 0, the cleanest, to 1, the noisiest.
    """

    num_steps: int
    continuous: bool = False

    @abstractmethod
    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma at times t (any shape, integer or float), float64, on t's device."""

    def model_time(self, t: Tensor) -> Tensor:
        """What the denoiser receives for times t, in training as in sampling: t itself, unless overridden."""
        return t

    def for_size(self, size: Sequence[int]) -> NoiseSchedule:
        """The schedule for an x of this size [*spatial]: itself, unless its noise depends on it."""
        return self

    @property
    def last_time(self) -> float:
        """The time of the most noise: num_steps - 1, or 1 in continuous time."""
        return 1.0 if self.continuous else self.num_steps - 1

    def times(self, spacing: Spacing) -> Tensor:
        """[N] the times of a spacing, noisy to clean: int64, or float64 in continuous time.

        In continuous time a spacing is a number of steps, which begin at equal distances from 1 (the
        noisiest) down, or a list of times above 0.

        Raises:
            ValueError: the spacing does not exist for this schedule.
        """
        if self.continuous:
            return torch.tensor(fractions(spacing)[::-1], dtype=torch.float64)
        return torch.tensor(timesteps(spacing, self.num_steps)[::-1])

    def levels(self, spacing: Spacing) -> NoiseLevels:
        """The grid of a spacing, noisy to clean, with the clean image (alpha 1, sigma 0) as its end point.

        Raises:
            ValueError: the spacing does not exist for this schedule.
        """
        return self.levels_at(self.times(spacing))

    def levels_at(self, t: Tensor, received: Tensor | None = None) -> NoiseLevels:
        """The grid of times [N], noisy to clean, with the clean image as its end point.

        received: [N] the times whose `model_time` the denoiser receives, where those are others.
        """
        alpha, sigma = self.alpha_sigma(t)
        model_time = self.model_time(t if received is None else received)
        return NoiseLevels(
            model_time, torch.cat([alpha, alpha.new_ones(1)]), torch.cat([sigma, sigma.new_zeros(1)])
        )

    def time_of(self, log_ratio: Tensor) -> Tensor:
        """When log(sigma / alpha) has these values (any shape, float64); beyond an end, that end. float64.

        Between two timesteps it is taken to be linear in t.
        """
        if self.continuous:
            return self._bisected(log_ratio)
        alpha, sigma = self.alpha_sigma(torch.arange(self.num_steps))
        table = (sigma / alpha).log()
        above = torch.searchsorted(table, log_ratio).clamp(1, self.num_steps - 1)
        low, high = table[above - 1], table[above]
        return above - 1 + ((log_ratio - low) / (high - low)).clamp(0, 1)

    def _bisected(self, log_ratio: Tensor) -> Tensor:
        low, high = torch.zeros_like(log_ratio), torch.ones_like(log_ratio)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            alpha, sigma = self.alpha_sigma(middle)
            is_above = sigma.log() - alpha.log() > log_ratio
            low, high = torch.where(is_above, low, middle), torch.where(is_above, middle, high)
        return high

    def add_noise(self, x_0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Draw from q(x_t | x_0): alpha(t) x_0 + sigma(t) noise (Ho et al. 2020, equation 4).

        x_0, noise: [B, C, *spatial]; t: [B], on x_0's device or on the host.
        """
        shape = (-1, *[1] * (x_0.ndim - 1))
        alpha, sigma = (value.to(x_0.device, x_0.dtype).reshape(shape) for value in self.alpha_sigma(t))
        return alpha * x_0 + sigma * noise
