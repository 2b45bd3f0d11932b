"""Ancestral sampling: each step draws from the learned reverse of one step of the chain."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from glidepath.core import Noise, NoiseLevels, Predict, Prediction, State
from glidepath.plugins.samplers.clipping import ClippingSampler
from glidepath.plugins.samplers.configs import DdpmConfig


class DdpmSampler(ClippingSampler):
    """x_s = mean of q(x_s | x_t, x_0) + standard deviation times noise (Ho et al. 2020, algorithm 2).

    A gradient shifts the mean by variance * gradient (Dhariwal & Nichol 2021, algorithm 1).
    """

    def __init__(self, config: DdpmConfig) -> None:
        super().__init__(config)
        self.variance = config.variance

    def states(self, predict: Predict, x: Tensor, levels: NoiseLevels, noise: Noise) -> Iterator[State]:
        """Sample along `levels`; no noise is added on arrival at a clean image."""
        rows = levels.to_device(
            x.device,
            levels.posterior_mean_coef1,
            levels.posterior_mean_coef2,
            levels.posterior_log_variance_clipped,
            levels.beta.log(),
            *self._fixed(levels),
        )
        adds_noise = (levels.sigma[1:] > 0).tolist()
        for step in levels.steps(x.device):
            coef1, coef2, smaller, larger, variance, deviation = rows[step.index]
            prediction = predict(x, step)
            x_0 = prediction.sample if self.clip is None else prediction.sample.clamp(-self.clip, self.clip)
            mean = torch.addcmul(coef2 * x, coef1, x_0)  # coef1 x_0 + coef2 x_t
            log_variance = self._learned(prediction, smaller, larger)
            if log_variance is not None:
                variance, deviation = log_variance.exp(), (0.5 * log_variance).exp()
            if prediction.gradient is not None:
                mean = torch.addcmul(mean, variance, prediction.gradient)
            if adds_noise[step.index]:
                x = torch.addcmul(mean, deviation, noise.step(step.index, x))
            else:
                noise.skip(step.index, x)
                x = mean
            yield State(step.index + 1, len(levels), x, x_0)

    def _learned(self, prediction: Prediction, smaller: Tensor, larger: Tensor) -> Tensor | None:
        """The log-variance that the denoiser predicts, or None for a fixed one."""
        if self.variance.startswith("fixed"):
            return None
        if self.variance == "auto" and prediction.variance_fraction is None:
            return None
        fraction = prediction.require_variance(f"sampler ddpm with variance: {self.variance}")
        if self.variance == "learned":
            return 2 * fraction - 1  # the denoiser's own v, which Prediction maps from [-1, 1] to [0, 1]
        return torch.lerp(smaller, larger, fraction)

    def _fixed(self, levels: NoiseLevels) -> tuple[Tensor, Tensor]:
        """[N] the variance that weighs a gradient, and [N] the standard deviation of the noise."""
        if self.variance == "fixed-large":
            return levels.fixed_large_variance, levels.fixed_large_variance.sqrt()
        return levels.posterior_variance, levels.posterior_variance.sqrt()
