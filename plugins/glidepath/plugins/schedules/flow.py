"""The straight path from image to noise, in continuous time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import attrs
import torch
from torch import Tensor

from glidepath.core import NoiseLevels, NoiseSchedule, PartError, Spacing
from glidepath.plugins.schedules.configs import FlowConfig

_Time = TypeVar("_Time", float, Tensor)
_LARGEST_MU = 34.0  # above which 1 - sigma rounds to 0 in float64
_RHO = 7.0  # of Karras et al. 2022, appendix D.1
_UNIPC_MARGIN = 1e-6  # by how much diffusers' UniPC begins below sigma 1, whose log SNR is infinite


class FlowSchedule(NoiseSchedule):
    """alpha = 1 - sigma, sigma = s t / (1 + (s - 1) t) for times t from 0 to 1, where s is the shift.

    Without a shift sigma is t (Liu et al. 2023, "Flow Straight and Fast", equation 1). A shift s multiplies
    sigma / alpha by s (Esser et al. 2024, "Scaling Rectified Flow Transformers", equation 23). The denoiser
    receives `time_scale` sigma.

    A shift may grow with the size of the latent: see `for_size`. Until a size is known it is that of
    `base_tokens`.
    """

    continuous = True

    def __init__(self, config: FlowConfig, tokens: int | None = None) -> None:
        self.config = config
        grows = config.dynamic != "none"
        self.shift = _grown(config, tokens or config.base_tokens) if grows else config.shift

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma at times t from 0 to 1 (any shape), float64, on t's device."""
        sigma = _shifted(t.to(torch.float64), self.shift)
        return 1 - sigma, sigma

    def model_time(self, t: Tensor) -> Tensor:
        """`time_scale` sigma, float64."""
        return self.config.time_scale * self.alpha_sigma(t)[1]

    def for_size(self, size: Sequence[int]) -> NoiseSchedule:
        """The schedule with the shift of an x of this size [*spatial], where the shift is dynamic.

        Tokens are the patches of x. mu goes in a straight line from `base_shift` at `base_tokens` to
        `max_shift` at `max_tokens`, and on; the shift is e^mu, or mu itself where it is `linear` (Black
        Forest Labs 2024, the program published with Flux).

        Raises:
            PartError: the shift is so large that noise alone is left at every time.
        """
        config = self.config
        if config.dynamic == "none":
            return self
        tokens = math.prod(side // config.patch for side in size)
        if _mu(config, tokens) > _LARGEST_MU and config.dynamic == "exponential":
            sides = "x".join(map(str, reversed(size)))
            raise PartError(
                f"an x of {sides} has {tokens} patches, and under their dynamic shift there is nothing but "
                f"noise at every level: it grows from base_tokens, {config.base_tokens}, to max_tokens, "
                f"{config.max_tokens}, and beyond. Take a smaller size"
            )
        return FlowSchedule(config, tokens)

    def times(self, spacing: Spacing) -> Tensor:
        """[N] the times of a spacing, float64, from noise to image; a list of times is taken as it stands.

        Raises:
            ValueError: the spacing is neither a number of steps nor a list of times.
        """
        t = super().times(spacing)
        if isinstance(spacing, int | str):
            t = self._evenly(len(t))
        if self.config.shift_terminal is None and self.config.spacing == "even":
            return t
        sigma = _shifted(t, self.shift)
        if self.config.shift_terminal is not None:
            sigma = 1 - (1 - sigma) * (1 - self.config.shift_terminal) / (1 - sigma[-1])
        first, last = float(sigma[0]), float(sigma[-1])
        if self.config.spacing == "karras":
            sigma = _line(first ** (1 / _RHO), last ** (1 / _RHO), len(t)) ** _RHO
        elif self.config.spacing == "exponential":
            sigma = _line(math.log(first), math.log(last), len(t)).exp()
        return _shifted(sigma, 1 / self.shift)

    def levels(self, spacing: Spacing) -> NoiseLevels:
        """The grid of a spacing; dpm-solver and unipc give the denoiser whole numbers, cut.

        Raises:
            ValueError: the spacing is neither a number of steps nor a list of times.
        """
        levels = super().levels(spacing)
        cuts = self.config.grid in ("dpm-solver", "unipc")
        return attrs.evolve(levels, t=levels.t.long()) if cuts else levels

    def _evenly(self, count: int) -> Tensor:
        """[count] times at equal distances, from noise to image."""
        first = 1 / self.config.time_scale
        match self.config.grid:
            case "flow-match-euler":  # whose table is shifted before the grid is
                return _line(1.0, _shifted(first, self.config.shift), count)
            case "dpm-solver":
                return (1 - _line(1.0, first, count + 1)).flip(0)[:-1]
            case "unipc":
                t = _line(1.0, first, count + 1)[:-1]
                t[0] = _shifted(1 - _UNIPC_MARGIN, 1 / self.shift)
                return t
            case _:
                return _line(1.0, 0.0, count + 1)[:-1]


def _shifted(t: _Time, shift: float) -> _Time:
    """The odds t / (1 - t) times shift."""
    return shift * t / (1 + (shift - 1) * t)


def _mu(config: FlowConfig, tokens: int) -> float:
    slope = (config.max_shift - config.base_shift) / (config.max_tokens - config.base_tokens)
    return config.base_shift + slope * (tokens - config.base_tokens)


def _grown(config: FlowConfig, tokens: int) -> float:
    mu = _mu(config, tokens)
    return math.exp(mu) if config.dynamic == "exponential" else mu


def _line(first: float, last: float, count: int) -> Tensor:
    return torch.linspace(first, last, count, dtype=torch.float64)
