"""The variational bound, which trains a learned variance."""

from __future__ import annotations

import math

import attrs
import torch
from torch import Tensor

from glidepath.core import NoiseLevels, Prediction
from glidepath.plugins.train.losses.loss import upload


class VariationalBound:
    """L_t of samples at timesteps of a chain (Nichol & Dhariwal 2021, "Improved DDPM", equations 4 to 7).

    levels: all of the chain, noisy to clean.
    """

    def __init__(self, levels: NoiseLevels) -> None:
        columns = (levels.posterior_mean_coef1, levels.posterior_log_variance_clipped, levels.beta.log())
        self._rows = torch.stack(columns, dim=1).flip(0).to(torch.float32)

    def of_variance(self, prediction: Prediction, x_0: Tensor, t: Tensor) -> Tensor:
        """The bound of each sample in bits per dimension, [B] float32; only the variance learns from it.

        The mean is detached (the same, section 3.1, "L_hybrid"). Its x_0 is not clipped.
        x_0: [B, C, *spatial]; t: [B] int64, on the host.
        """
        _, log_posterior, log_beta = self._columns(t, x_0)
        fraction = prediction.require_variance("training a variance").float()
        log_variance = fraction * log_beta + (1 - fraction) * log_posterior
        detached = attrs.evolve(prediction, value=prediction.value.detach().float())
        return self.bits(detached.sample, log_variance, x_0, t)

    def bits(self, sample: Tensor, log_variance: Tensor, x_0: Tensor, t: Tensor) -> Tensor:
        """The bound in bits per dimension, [B], for p(x_{t-1} | x_t) of a predicted x_0 and a log-variance.

        KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)); at t = 0, -log p(x_0 | x_1) of the 8-bit image.
        sample, log_variance, x_0: [B, C, *spatial]; t: [B] int64, on the host.
        """
        coef, log_posterior, _ = self._columns(t, x_0)
        # the means are coef * x_0 + (the same) * x_t, so the difference needs no x_t
        difference = coef * (x_0 - sample)
        ratio = log_posterior - log_variance
        kl = 0.5 * (ratio.expm1() - ratio + difference**2 * (-log_variance).exp())
        first = _surprise(x_0, sample, 0.5 * log_variance)
        is_first = upload(t == 0, x_0.device).reshape(-1, *[1] * (x_0.ndim - 1))
        return torch.where(is_first, first, kl).flatten(1).mean(1) / math.log(2)

    def _columns(self, t: Tensor, like: Tensor) -> list[Tensor]:
        rows = upload(self._rows[t], like.device)
        return [column.reshape(-1, *[1] * (like.ndim - 1)) for column in rows.unbind(1)]


def _surprise(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """-log of a Gaussian's mass on the 8-bit level of each value; the outermost levels reach to infinity.

    Ho et al. 2020, section 3.3.
    """
    inverse = (-log_scale).exp()
    upper = _normal_cdf((x - mean + 1 / 255) * inverse)
    lower = _normal_cdf((x - mean - 1 / 255) * inverse)
    mass = torch.where(x > 0.999, 1 - lower, torch.where(x < -0.999, upper, upper - lower))
    return -mass.clamp(min=1e-12).log()


def _normal_cdf(x: Tensor) -> Tensor:
    """An approximation, off by up to 3e-4 (Page 1977), which the reference implementations train with.

    With the exact function the bound at t = 0 is 0.2 % from theirs.
    """
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
