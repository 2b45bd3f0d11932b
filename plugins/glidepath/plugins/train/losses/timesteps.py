"""Which timesteps are trained how often."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from glidepath.core import NoiseSchedule


def log_snr(schedule: NoiseSchedule) -> Tensor:
    """[num_steps] float64, log(alpha^2 / sigma^2) at each timestep; it falls as t grows."""
    alpha, sigma = schedule.alpha_sigma(torch.arange(schedule.num_steps))
    return 2 * (alpha.log() - sigma.log())


def shifted_timesteps(uniform: Tensor, log_snrs: Tensor, shift: float) -> Tensor:
    """Timesteps with `shift` times the noise of uniform ones (sigma / alpha times `shift`).

    Hoogeboom et al. 2023, "simple diffusion", equation 4: the log-SNR moves by -2 log(shift). The timestep
    is the first whose log-SNR is no larger than that, or the last. Shift 1 is uniform.

    uniform: [B] in [0, 1); log_snrs: [num_steps], falling; returns [B] int64.
    """
    num_steps = log_snrs.shape[0]
    t = (uniform.to(torch.float64) * num_steps).long()
    wanted = log_snrs[t] - 2 * math.log(shift)
    return torch.searchsorted(-log_snrs, -wanted).clamp_(0, num_steps - 1)
