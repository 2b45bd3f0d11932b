"""Which noise levels a sampler visits: those of timesteps, or noise levels spaced by a rule of their own."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from glidepath.core import NoiseLevels, NoiseSchedule, PartError, Sampler
from glidepath.plugins.samplers.configs import DdimConfig, GridConfig

RHO = 7.0
"""How Karras et al. 2022 bend the spacing: more steps at low noise (appendix D.1)."""


class GridSampler(Sampler):
    """A sampler whose steps are chosen by timestep or by noise level."""

    def __init__(self, config: GridConfig | DdimConfig) -> None:
        self.steps = config.steps
        self.sigmas = config.sigmas
        self.sigma_max = math.inf if config.sigma_max is None else config.sigma_max
        self.timesteps = config.timesteps
        self.end = config.end
        self.clip = config.clip
        self.temperature = config.temperature

    def levels(self, schedule: NoiseSchedule, strength: float = 1.0) -> NoiseLevels:
        """The grid, or its share `strength` that is nearest the image; it ends where `end` says.

        Raises:
            ValueError: the steps do not exist for this schedule.
            PartError: noise levels are to be spaced up to one that is infinite.
        """
        levels = super().levels(schedule)
        if self.sigmas != "schedule" and len(levels) > 1:
            levels = self._respaced(levels, schedule)
        if self.end == "first":
            levels = levels.with_end(*schedule.alpha_sigma(torch.zeros(1, dtype=torch.int64)))
        return levels.last(max(1, round(strength * len(levels))))

    def _respaced(self, levels: NoiseLevels, schedule: NoiseSchedule) -> NoiseLevels:
        """As many points between the same two ends, with sigma / alpha spaced by the rule of `sigmas`."""
        ratio = (levels.sigma[:-1] / levels.alpha[:-1]).clamp(max=self.sigma_max)[[0, -1]]
        if not bool(ratio[0].isfinite()):
            raise PartError(
                f"sigmas: {self.sigmas} spaces noise levels, and the first of these is infinite (no signal "
                "is left); use sigmas: schedule, or set sigma_max"
            )
        if self.sigmas == "time":
            t = _evenly(_time_of(ratio.log(), schedule), len(levels))
        elif self.sigmas == "karras":
            t = _time_of(RHO * _evenly(ratio ** (1 / RHO), len(levels)).log(), schedule)
        else:
            t = _time_of(_evenly(ratio.log(), len(levels)), schedule)
        alpha, sigma = schedule.alpha_sigma(t)
        received = schedule.model_time(t.round().to(torch.int64) if self.timesteps == "rounded" else t)
        ends = levels.alpha[-1:], levels.sigma[-1:]
        return NoiseLevels(received, torch.cat([alpha, ends[0]]), torch.cat([sigma, ends[1]]))


def _evenly(ends: Tensor, count: int) -> Tensor:
    """[2] -> [count], from the first to the last."""
    return torch.lerp(ends[0], ends[1], torch.linspace(0, 1, count, dtype=torch.float64))


def _time_of(log_ratio: Tensor, schedule: NoiseSchedule) -> Tensor:
    """[N] float64: when the schedule reaches log(sigma / alpha), linear in it between whole timesteps."""
    alpha, sigma = schedule.alpha_sigma(torch.arange(schedule.num_steps))
    table = (sigma / alpha).log()
    above = torch.searchsorted(table, log_ratio).clamp(1, schedule.num_steps - 1)
    low, high = table[above - 1], table[above]
    return above - 1 + ((log_ratio - low) / (high - low)).clamp(0, 1)
