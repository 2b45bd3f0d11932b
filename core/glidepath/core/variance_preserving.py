"""Schedules given by a list of betas, whose alpha^2 + sigma^2 is 1 at every step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from glidepath.core.levels import NoiseLevels
from glidepath.core.schedule import NoiseSchedule
from glidepath.core.spacing import Spacing, timesteps


class VariancePreservingSchedule(NoiseSchedule):
    """A discrete chain q(x_t | x_{t-1}) = N(sqrt(1 - beta_t) x_{t-1}, beta_t I) (Ho et al. 2020, equation 2).

    alpha_bar_t is the product of 1 - beta_s for s <= t; alpha = sqrt(alpha_bar), sigma = sqrt(1 - alpha_bar)
    (equation 4). All in float64.

    beta: [N] the forward variances.
    alpha_bar: [N] what is left of x_0's variance.
    """

    def __init__(
        self,
        betas: Sequence[float] | Tensor,
        rescale_timesteps: bool = False,
        zero_terminal_snr: bool = False,
        time: Literal["t", "log-ratio"] = "t",
    ) -> None:
        """Take N betas, each between 0 and 1 (both excluded, but that the last may be 1: noise alone).

        rescale_timesteps: the denoiser receives t * 1000 / N as a float, and not t.
        zero_terminal_snr: alpha is shifted and scaled, so that the last timestep is noise alone and the
            first stays as it is (Lin et al. 2024, "Common Diffusion Noise Schedules and Sample Steps are
            Flawed", algorithm 1); the last beta is then 1.
        time: "log-ratio": the denoiser receives log(sigma / alpha) / 4, and not t (Karras et al. 2022,
            "Elucidating the Design Space of Diffusion-Based Generative Models", table 1, c_noise).

        Raises:
            ValueError: a beta outside of that range, or none at all.
        """
        self.beta = torch.as_tensor(betas, dtype=torch.float64, device="cpu")
        if self.beta.ndim != 1 or self.beta.numel() == 0:
            raise ValueError(
                f"a schedule needs a list of betas, got a tensor of shape {tuple(self.beta.shape)}"
            )
        most = torch.ones_like(self.beta)
        most[:-1] = math.nextafter(1, 0)
        outside = torch.nonzero(~((self.beta > 0) & (self.beta <= most)))
        if outside.numel():
            index = int(outside[0])
            beta = float(self.beta[index])
            raise ValueError(
                f"every beta must lie between 0 and 1, beta[{index}] is {beta}{_what_helps(beta)}"
            )
        self.num_steps = self.beta.shape[0]
        self.rescale_timesteps = rescale_timesteps
        self.time = time
        self.alpha_bar = self.beta.neg().add(1).cumprod(0)
        if zero_terminal_snr:
            self.alpha_bar = _without_terminal_signal(self.alpha_bar)
            before = torch.cat([self.alpha_bar.new_ones(1), self.alpha_bar[:-1]])
            self.beta = 1 - self.alpha_bar / before
        # the interpolation takes no infinity; at -200 alpha is 4e-44
        self._log_snr = (self.alpha_bar.log() - self.alpha_bar.neg().log1p()).clamp(min=-200)

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma at times t from 0 to N - 1 (any shape), float64, on t's device.

        Between two timesteps the log signal-to-noise ratio is interpolated linearly.

        Raises:
            ValueError: a time is out of range. Only looked at where t is on the host: on a device the reading
                would stall its stream, and there the table lookup itself fails.
        """
        if t.device.type == "cpu":
            self._check_range(t)
        if not t.is_floating_point():
            alpha_bar = _gather(self.alpha_bar, t)
            return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        time = t.to(torch.float64)
        below = time.floor().to(torch.int64)
        above = time.ceil().to(torch.int64)
        log_snr = torch.lerp(_gather(self._log_snr, below), _gather(self._log_snr, above), time - below)
        return log_snr.sigmoid().sqrt(), log_snr.neg().sigmoid().sqrt()

    def model_time(self, t: Tensor) -> Tensor:
        """t; t * 1000 / N where timesteps are rescaled; or log(sigma / alpha) / 4, as `time` says."""
        if self.time == "log-ratio":
            alpha, sigma = self.alpha_sigma(t)
            return (sigma / alpha).log() / 4
        return t * (1000.0 / self.num_steps) if self.rescale_timesteps else t

    def levels(self, spacing: Spacing) -> NoiseLevels:
        """The grid of a spacing, noisy to clean.

        Between neighbouring timesteps beta is the schedule's own, over a gap 1 - alpha_bar_t / alpha_bar_s;
        alpha_bar is built from these betas again, as the reference implementations do, to the last digit.

        Raises:
            ValueError: the spacing does not exist for this schedule.
        """
        t = torch.tensor(timesteps(spacing, self.num_steps))
        one = torch.ones(1, dtype=torch.float64)
        own = self.alpha_bar[t]
        previous = torch.cat([torch.tensor([-1]), t[:-1]])
        beta = torch.where(t - previous == 1, self.beta[t], 1 - own / torch.cat([one, own[:-1]]))
        alpha_bar = torch.cat([one, (1 - beta).cumprod(0)]).flip(0)
        return NoiseLevels(self.model_time(t.flip(0)), alpha_bar.sqrt(), (1 - alpha_bar).sqrt(), beta.flip(0))

    def _check_range(self, t: Tensor) -> None:
        if t.numel() and not bool(((t >= 0) & (t <= self.num_steps - 1)).all()):
            low, high = float(t.min()), float(t.max())
            raise ValueError(f"times run from 0 to {self.num_steps - 1}, got {low:g} to {high:g}")


def _what_helps(beta: float) -> str:
    """What a beta that is out of range makes of alpha_bar, from which it may be derived, and what to do."""
    if beta >= 1:
        return ": alpha_bar falls to 0; cap beta, as the cosine schedule does at 0.999"
    if beta <= 0:
        return ": alpha_bar does not fall; let it fall at every timestep, from below 1 at the first"
    return ": where it is derived from alpha_bar, that must be a number above 0 at every timestep"


def _without_terminal_signal(alpha_bar: Tensor) -> Tensor:
    alpha = alpha_bar.sqrt()
    alpha = (alpha - alpha[-1]) * (alpha[0] / (alpha[0] - alpha[-1]))
    return alpha**2


def _gather(table: Tensor, index: Tensor) -> Tensor:
    # torch.gather, unlike indexing, refuses negative indices on every device
    return (
        table.to(index.device, non_blocking=True)
        .gather(0, index.to(torch.int64).flatten())
        .reshape(index.shape)
    )
