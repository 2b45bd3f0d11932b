"""The straight path from image to noise (Liu et al. 2023, equation 1)."""

from __future__ import annotations

import torch
from torch import Tensor

from glidepath.core import NoiseSchedule
from glidepath_rectified_flow.config import FlowConfig
from glidepath_rectified_flow.warps import Warp


class FlowSchedule(NoiseSchedule):
    """x_t = (1 - sigma) x_0 + sigma epsilon, where sigma = warp((t + 1/2) / N).

    The half keeps both ends out: every point has some image and some noise in it, so that epsilon, x_0 and
    velocity follow from one another everywhere.
    """

    def __init__(self, config: FlowConfig, *, warp: Warp, trained_on: NoiseSchedule | None = None) -> None:
        self.num_steps = config.num_steps
        self._warp = warp
        self._trained_on = trained_on

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """alpha = 1 - sigma, and sigma, at times t from 0 to N - 1 (any shape), float64, on t's device."""
        sigma = self._warp((t.to(torch.float64) + 0.5) / self.num_steps)
        return 1 - sigma, sigma

    def model_time(self, t: Tensor) -> Tensor:
        """What the denoiser receives: t, or where `trained_on` has the same sigma / alpha."""
        if self._trained_on is None:
            return t
        return time_of(self._trained_on, _log_ratio(self, t))


def time_of(schedule: NoiseSchedule, log_ratio: Tensor) -> Tensor:
    """The time, between two timesteps as a rule, at which log(sigma / alpha) has a value; float64.

    Interpolated linearly, as the schedules that come with glidepath do. Beyond an end, that end.
    """
    known = _log_ratio(schedule, torch.arange(schedule.num_steps)).to(log_ratio.device)
    above = torch.searchsorted(known, log_ratio).clamp(1, schedule.num_steps - 1)
    low, high = known[above - 1], known[above]
    return above - 1 + ((log_ratio - low) / (high - low)).clamp(0, 1)


def _log_ratio(schedule: NoiseSchedule, t: Tensor) -> Tensor:
    alpha, sigma = schedule.alpha_sigma(t)
    return sigma.log() - alpha.log()
