"""Implicit sampling: each step keeps the predicted noise, or part of it, instead of drawing anew."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from glidepath.core.denoiser import Predict
from glidepath.core.levels import NoiseLevels
from glidepath.core.noise import Noise
from glidepath.core.sampler import Sampler, State
from glidepath.plugins.diffusion.plugin import DdimConfig


class DdimSampler(Sampler):
    """x_s = alpha_s x_0 + sqrt(sigma_s^2 - d^2) epsilon + d noise (Song et al. 2021, equation 12).

    d is eta times the standard deviation of q(x_s | x_t, x_0) (equation 16). epsilon follows from the clipped
    x_0. A gradient shifts epsilon by -sigma * gradient (Dhariwal & Nichol 2021, algorithm 2); the x_0 that
    follows is not clipped again.
    """

    def __init__(self, config: DdimConfig) -> None:
        self.steps = config.steps
        self.eta = config.eta
        self.clip = config.clip
        self.temperature = config.temperature

    def states(self, predict: Predict, x: Tensor, levels: NoiseLevels, noise: Noise) -> Iterator[State]:
        """Walk along `levels`; with eta 0, and on arrival at a clean image, no noise is drawn."""
        variance = self.eta**2 * levels.posterior_variance if self.eta else torch.zeros_like(levels.beta)
        kept = (levels.sigma[1:] ** 2 - variance).sqrt()
        # epsilon = (x_t - alpha x_0) / sigma put into equation 12: two coefficients, made in float64, do
        of_x = kept / levels.sigma[:-1]
        of_sample = levels.alpha[1:] - of_x * levels.alpha[:-1]
        of_gradient = levels.sigma[:-1] ** 2 / levels.alpha[:-1]
        rows = levels.rows(x.device, of_x, of_sample, of_gradient, variance.sqrt())
        adds_noise = (variance > 0).tolist()
        for step in levels.steps(x.device):
            of_x_i, of_sample_i, of_gradient_i, deviation = rows[step.index]
            prediction = predict(x, step)
            sample = prediction.sample.clamp(-1, 1) if self.clip else prediction.sample
            if prediction.gradient is not None:
                sample = torch.addcmul(sample, of_gradient_i, prediction.gradient)
            x = torch.addcmul(of_x_i * x, of_sample_i, sample)
            if adds_noise[step.index]:
                x = torch.addcmul(x, deviation, noise.step(step.index, x))
            else:
                noise.skip(step.index, x)
            yield State(step.index + 1, len(levels), x, sample)
