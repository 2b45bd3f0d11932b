"""Which noise levels a sampler visits: those of timesteps, or noise levels spaced by a rule of their own."""

from __future__ import annotations

import math

import attrs
import torch
from torch import Tensor

from glidepath.core import NoiseLevels, NoiseSchedule, PartError
from glidepath.plugins.samplers.clipping import ClippingSampler
from glidepath.plugins.samplers.configs import DdimConfig
from glidepath.plugins.samplers.grid_configs import ChurnedConfig, GridConfig

_NEAR = 1e-6  # by how much of itself a listed level may miss the schedule's ends: it may be rounded
RHO = 7.0
"""How Karras et al. 2022 bend the spacing: more steps at low noise (appendix D.1)."""


@attrs.frozen(eq=False)
class ChurnedLevels(NoiseLevels):
    """Levels that noise was added up to (sigma-hat of Karras et al. 2022, algorithm 2), with those below.

    A step goes from a point of these to the next of `base`, and noise is added there up to the next of these.
    The first noise is drawn at the first point of these.

    base: the levels before noise is added, as many. s_noise: the standard deviation of what is added.
    """

    base: NoiseLevels = attrs.field(kw_only=True)
    s_noise: float = attrs.field(kw_only=True)

    def part(self, first: int, stop: int) -> NoiseLevels:
        """None: between two of its steps noise is added."""
        raise PartError("a walk with s_churn neither stops nor begins on the way: it adds noise there")

    @property
    def asked(self) -> Tensor:
        """[2 N] the times of these points, then those of `base`."""
        return torch.cat([self.t, self.base.t.to(self.t.dtype)])

    @property
    def kept(self) -> Tensor:
        """[N] what multiplies epsilon on arrival: sigma of `base`, at the alpha that noise leads to."""
        ratio = self.base.sigma / self.base.alpha
        return torch.where(self.sigma == self.base.sigma, self.sigma, self.alpha * ratio)[1:]

    @property
    def added(self) -> Tensor:
        """[N] the standard deviation of the noise that is added on arrival."""
        return self.s_noise * (self.sigma[1:] ** 2 - self.kept**2).clamp(min=0).sqrt()


class GridSampler(ClippingSampler):
    """A sampler whose steps are chosen by timestep or by noise level."""

    def __init__(self, config: GridConfig | DdimConfig) -> None:
        super().__init__(config)
        self.sigmas = config.sigmas
        self.sigma_max = math.inf if config.sigma_max is None else config.sigma_max
        self.timesteps = config.timesteps
        self.end = config.end
        self.churn = config if isinstance(config, ChurnedConfig) and config.s_churn else None

    def levels(self, schedule: NoiseSchedule, strength: float = 1.0) -> NoiseLevels:
        """The grid, or its share `strength` that is nearest the image; it ends where `end` says.

        Raises:
            ValueError: the steps do not exist for this schedule.
            PartError: noise levels are to be spaced up to one that is infinite, or the schedule has them not.
        """
        if not isinstance(self.sigmas, str):
            levels = self._listed(self.sigmas, schedule)
        else:
            levels = super().levels(schedule)
            if self.sigmas != "schedule" and len(levels) > 1:
                levels = self._respaced(levels, schedule)
        if self.end == "first":
            levels = levels.with_end(*schedule.alpha_sigma(_ends(schedule)[:1]))
        levels = levels.last(max(1, round(strength * len(levels))))
        return self._churned(levels, schedule, self.churn) if self.churn else levels

    def _respaced(self, levels: NoiseLevels, schedule: NoiseSchedule) -> NoiseLevels:
        """As many points between the same two ends, with sigma / alpha spaced by the rule of `sigmas`."""
        ratio = (levels.sigma[:-1] / levels.alpha[:-1]).clamp(max=self.sigma_max)[[0, -1]]
        if not bool(ratio[0].isfinite()):
            raise PartError(
                f"sigmas: {self.sigmas} spaces noise levels, and the first of these is infinite (no signal "
                "is left); use sigmas: schedule, or set sigma_max"
            )
        if self.sigmas == "time":
            t = _evenly(schedule.time_of(ratio.log()), len(levels))
        elif self.sigmas == "karras":
            t = schedule.time_of(RHO * _evenly(ratio ** (1 / RHO), len(levels)).log())
        else:
            t = schedule.time_of(_evenly(ratio.log(), len(levels)))
        return self._at(t, schedule)

    def _at(self, t: Tensor, schedule: NoiseSchedule) -> NoiseLevels:
        """The levels at some times, and the clean image."""
        if self.timesteps == "rounded" and schedule.continuous:
            raise PartError("timesteps: rounded takes the nearest timestep, and this schedule has none")
        return schedule.levels_at(t, t.round().to(torch.int64) if self.timesteps == "rounded" else t)

    def _listed(self, sigmas: tuple[float, ...], schedule: NoiseSchedule) -> NoiseLevels:
        """The points at which sigma / alpha has the values of a list; a 0 at its end is the clean image."""
        ratio = torch.tensor(sigmas[:-1] if sigmas[-1] == 0 else sigmas, dtype=torch.float64)
        alpha, sigma = schedule.alpha_sigma(_ends(schedule))
        low, high = (sigma / alpha).tolist()
        outside = ratio[(ratio < low * (1 - _NEAR)) | (ratio > high * (1 + _NEAR))].tolist()
        if outside:
            raise PartError(
                f"sigmas has {outside[0]:g}, and sigma over alpha of this schedule goes from {low:.4g} to "
                f"{high:.4g}"
            )
        return self._at(schedule.time_of(ratio.log()), schedule)

    def _churned(self, levels: NoiseLevels, schedule: NoiseSchedule, churn: ChurnedConfig) -> NoiseLevels:
        """The levels that noise is added up to; no higher than those of the schedule."""
        ratio = levels.sigma / levels.alpha
        within = (ratio >= churn.s_tmin) & (ratio <= churn.s_tmax) & ratio.isfinite() & (ratio > 0)
        within[-1] = False  # the end
        alpha, sigma = schedule.alpha_sigma(_ends(schedule)[1:])
        gamma = min(churn.s_churn / len(levels), math.sqrt(2) - 1)
        hat = torch.minimum(ratio * (1 + gamma), sigma / alpha)
        moved = (within & (hat > ratio))[:-1]
        higher = self._at(schedule.time_of(torch.where(moved, hat[:-1], 1.0).log()), schedule)
        t = torch.where(moved, higher.t.to(torch.float64), levels.t.to(torch.float64))
        tables = [
            torch.cat([torch.where(moved, up[:-1], own[:-1]), own[-1:]])
            for up, own in ((higher.alpha, levels.alpha), (higher.sigma, levels.sigma))
        ]
        return ChurnedLevels(t, *tables, base=levels, s_noise=churn.s_noise)


def _ends(schedule: NoiseSchedule) -> Tensor:
    """[2] the times of the least and of the most noise."""
    return torch.tensor([0, schedule.last_time])


def _evenly(ends: Tensor, count: int) -> Tensor:
    """[2] -> [count], from the first to the last."""
    return torch.lerp(ends[0], ends[1], torch.linspace(0, 1, count, dtype=torch.float64))
