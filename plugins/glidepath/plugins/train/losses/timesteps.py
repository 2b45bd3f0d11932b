"""Which timesteps are trained how often."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from glidepath.core import NoiseSchedule


def log_snr(schedule: NoiseSchedule, t: Tensor) -> Tensor:
    """log(alpha^2 / sigma^2) at times t (any shape), float64; it falls as t grows."""
    alpha, sigma = schedule.alpha_sigma(t)
    return 2 * (alpha.log() - sigma.log())


def time_at(schedule: NoiseSchedule, share: Tensor) -> Tensor:
    """The time before which a share of all times lies: int64 timesteps, or the share in continuous time.

    share: in [0, 1), any shape.
    """
    return share.to(torch.float64) if schedule.continuous else (share * schedule.num_steps).long()


def normal_times(normal: Tensor, schedule: NoiseSchedule, mean: float, std: float) -> Tensor:
    """Times whose log(sigma / alpha) is mean + std * normal; the nearest timestep where there are those.

    Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models", table 1. Of a
    flow sigma itself is then logit-normal (Esser et al. 2024, "Scaling Rectified Flow Transformers", equation
    19).

    normal: [B] standard normal; returns [B] int64, or float64 in continuous time.
    """
    t = schedule.time_of(mean + std * normal.to(torch.float64))
    return t if schedule.continuous else t.round().long()


def shifted_times(t: Tensor, schedule: NoiseSchedule, shift: float) -> Tensor:
    """Times with `shift` times the noise of times t (sigma / alpha times `shift`).

    Hoogeboom et al. 2023, "simple diffusion", equation 4: the log-SNR moves by -2 log(shift). A timestep is
    the first whose log-SNR is no larger than that, or the last.

    t: [B] int64, or float64 in continuous time, as what is returned.
    """
    if schedule.continuous:
        return t if shift == 1 else schedule.time_of(math.log(shift) - log_snr(schedule, t) / 2)
    log_snrs = log_snr(schedule, torch.arange(schedule.num_steps))
    wanted = log_snrs[t] - 2 * math.log(shift)
    return torch.searchsorted(-log_snrs, -wanted).clamp_(0, schedule.num_steps - 1)
