"""Euler's method, with and without noise that is drawn anew."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from glidepath.core import Noise, NoiseLevels, Predict, State
from glidepath.plugins.samplers.configs import EulerAncestralConfig, EulerConfig
from glidepath.plugins.samplers.grid import GridSampler
from glidepath.plugins.samplers.solver import denoiser_along, weighted_sum


class EulerSampler(GridSampler):
    """d(x / alpha) = epsilon d(sigma / alpha), a straight line a step (Karras et al. 2022, equation 4).

    With r = sigma / alpha: x_s = alpha_s (x_t / alpha_t + (r_s - r_t) epsilon), which is DDIM without noise.
    """

    eta = 0.0

    def __init__(self, config: EulerConfig | EulerAncestralConfig) -> None:
        super().__init__(config)

    def states(self, predict: Predict, x: Tensor, levels: NoiseLevels, noise: Noise) -> Iterator[State]:
        """Walk along `levels`, with one prediction for each step."""
        variance = self.eta**2 * levels.posterior_variance if self.eta else torch.zeros_like(levels.beta)
        of_x = (levels.sigma[1:] ** 2 - variance).sqrt() / levels.sigma[:-1]
        of_sample = levels.alpha[1:] - of_x * levels.alpha[:-1]
        rows = levels.rows(x.device, of_x, of_sample, variance.sqrt())
        adds_noise = (variance > 0).tolist()
        denoise = denoiser_along(levels, predict, x.device, self.clip)
        for index, (*weights, deviation) in enumerate(rows):
            sample = denoise(x, index)
            x = weighted_sum(weights, (x, sample))
            if adds_noise[index]:
                x = torch.addcmul(x, deviation, noise.step(index, x))
            else:
                noise.skip(index, x)
            yield State(index + 1, len(levels), x, sample)


class EulerAncestralSampler(EulerSampler):
    """A step of Euler's method past the wanted noise level, and back up to it with noise drawn anew.

    The deviation of that noise is eta times the one of q(x_s | x_t, x_0), so that it is DDIM with that eta
    (Song et al. 2021, equation 16), as the ancestral sampler of k-diffusion is.
    """

    def __init__(self, config: EulerAncestralConfig) -> None:
        super().__init__(config)
        self.eta = config.eta
