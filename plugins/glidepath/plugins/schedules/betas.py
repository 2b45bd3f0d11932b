"""Schedules whose betas are given: linear, quadratic, constant, and with a warm-up."""

from __future__ import annotations

import torch
from torch import Tensor

from glidepath.core import VariancePreservingSchedule
from glidepath.plugins.schedules.configs import ConstantConfig, LinearConfig, QuadraticConfig, WarmUpConfig


class LinearSchedule(VariancePreservingSchedule):
    """beta grows linearly from 0.1 / N to 20 / N: 1e-4 to 0.02 for N = 1000 (Ho et al. 2020, section 4)."""

    def __init__(self, config: LinearConfig) -> None:
        count = config.num_steps
        first = 1000 / count * 1e-4 if config.beta_start is None else config.beta_start
        last = 1000 / count * 0.02 if config.beta_end is None else config.beta_end
        super().__init__(
            _evenly(first, last, count), config.rescale_timesteps, config.zero_terminal_snr, config.time
        )


class QuadraticSchedule(VariancePreservingSchedule):
    """The root of beta grows linearly (Ho et al. 2020, their program; Stable Diffusion's "scaled linear")."""

    def __init__(self, config: QuadraticConfig) -> None:
        roots = _evenly(config.beta_start**0.5, config.beta_end**0.5, config.num_steps)
        super().__init__(roots**2, config.rescale_timesteps, config.zero_terminal_snr, config.time)


class ConstantSchedule(VariancePreservingSchedule):
    """Every beta is the same (Ho et al. 2020, their program)."""

    def __init__(self, config: ConstantConfig) -> None:
        super().__init__(
            [config.beta] * config.num_steps, config.rescale_timesteps, config.zero_terminal_snr, config.time
        )


class WarmUpSchedule(VariancePreservingSchedule):
    """beta grows linearly for the first part of the chain, and stays (Ho et al. 2020, their program)."""

    def __init__(self, config: WarmUpConfig) -> None:
        growing = int(config.num_steps * config.share)
        betas = torch.full((config.num_steps,), config.beta_end, dtype=torch.float64)
        betas[:growing] = _evenly(config.beta_start, config.beta_end, growing)
        super().__init__(betas, config.rescale_timesteps, config.zero_terminal_snr, config.time)


def _evenly(first: float, last: float, count: int) -> Tensor:
    """[count] float64 from first to last, each first + i step: the last bit is that of the references."""
    step = (last - first) / max(count - 1, 1)
    values = [first + index * step for index in range(count)]
    if count > 1:
        values[-1] = last
    return torch.tensor(values, dtype=torch.float64, device="cpu")
