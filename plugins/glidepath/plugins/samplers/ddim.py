"""Implicit sampling: each step keeps the predicted noise, or part of it, instead of drawing anew."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from glidepath.core import Noise, NoiseLevels, NoiseSchedule, Predict, Sampler, State
from glidepath.plugins.samplers.configs import DdimConfig


class DdimSampler(Sampler):
    """x_s = alpha_s x_0 + sqrt(sigma_s^2 - d^2) epsilon + d noise (Song et al. 2021, equation 12).

    d is eta times the standard deviation of q(x_s | x_t, x_0) (equation 16). epsilon follows from the clipped
    x_0, or is the denoiser's own. A gradient shifts epsilon by -sigma * gradient (Dhariwal & Nichol 2021,
    algorithm 2); the x_0 that follows is not clipped again.
    """

    def __init__(self, config: DdimConfig) -> None:
        self.steps = config.steps
        self.eta = config.eta
        self.epsilon = config.epsilon
        self.end = config.end
        self.clip = config.clip
        self.temperature = config.temperature

    def levels(self, schedule: NoiseSchedule, strength: float = 1.0) -> NoiseLevels:
        """The schedule's grid for `steps`, or its share `strength`; it ends where `end` says."""
        levels = super().levels(schedule, strength)
        return levels if self.end == "clean" else levels.ending(*schedule.alpha_sigma(torch.zeros(1).long()))

    def states(self, predict: Predict, x: Tensor, levels: NoiseLevels, noise: Noise) -> Iterator[State]:
        """Walk along `levels`; with eta 0, and on arrival at a clean image, no noise is drawn."""
        variance = self.eta**2 * levels.posterior_variance if self.eta else torch.zeros_like(levels.beta)
        kept = (levels.sigma[1:] ** 2 - variance).sqrt()
        # epsilon = (x_t - alpha x_0) / sigma put into equation 12: two coefficients, made in float64, do
        of_x = kept / levels.sigma[:-1]
        of_sample = levels.alpha[1:] - of_x * levels.alpha[:-1]
        of_gradient = levels.sigma[:-1] ** 2 / levels.alpha[:-1]
        rows = levels.rows(x.device, of_x, of_sample, of_gradient, variance.sqrt(), levels.alpha[1:], kept)
        adds_noise = (variance > 0).tolist()
        for step in levels.steps(x.device):
            of_x_i, of_sample_i, of_gradient_i, deviation, alpha_s, kept_i = rows[step.index]
            prediction = predict(x, step)
            sample = prediction.sample.clamp(-1, 1) if self.clip else prediction.sample
            epsilon = prediction.epsilon if self.clip and self.epsilon == "predicted" else None
            if prediction.gradient is not None:
                sample = torch.addcmul(sample, of_gradient_i, prediction.gradient)
                if epsilon is not None:
                    epsilon = torch.addcmul(epsilon, -step.sigma, prediction.gradient)
            if epsilon is None:
                x = torch.addcmul(of_x_i * x, of_sample_i, sample)
            else:
                x = torch.addcmul(alpha_s * sample, kept_i, epsilon)
            if adds_noise[step.index]:
                x = torch.addcmul(x, deviation, noise.step(step.index, x))
            else:
                noise.skip(step.index, x)
            yield State(step.index + 1, len(levels), x, sample)
