"""DDIM, which is Euler's method; and ancestral Euler, which is DDIM with noise drawn anew."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from glidepath.core import Noise, NoiseLevels, Predict, State
from glidepath.plugins.samplers.configs import DdimConfig
from glidepath.plugins.samplers.grid import ChurnedLevels, GridSampler
from glidepath.plugins.samplers.grid_configs import EulerAncestralConfig, EulerConfig
from glidepath.plugins.samplers.solver import (
    affine_step,
    gradient_weight,
    sampled_x_0,
    shifted_epsilon,
    weighted_sum,
)


class DdimSampler(GridSampler):
    """x_s = alpha_s x_0 + sqrt(sigma_s^2 - d^2) epsilon + d noise (Song et al. 2021, equation 12).

    d is eta times the standard deviation of q(x_s | x_t, x_0) (equation 16). epsilon follows from the clipped
    x_0, or is the denoiser's own. A gradient shifts epsilon by -sigma * gradient (Dhariwal & Nichol 2021,
    algorithm 2); the x_0 that follows is not clipped again.

    At eta 0 it is Euler's method for d(x / alpha) = epsilon d(sigma / alpha) (Karras et al. 2022, equation
    4), multiplied by alpha_s. At eta 1 it is the ancestral sampler of k-diffusion. With `s_churn` noise is
    added between the steps (their algorithm 2).
    """

    def __init__(self, config: DdimConfig | EulerConfig | EulerAncestralConfig) -> None:
        super().__init__(config)
        self.eta = config.eta
        self.keeps_predicted = config.epsilon == "predicted"

    def states(self, predict: Predict, x: Tensor, levels: NoiseLevels, noise: Noise) -> Iterator[State]:
        """Sample along `levels`; with eta 0, and on arrival at a clean image, no noise is drawn."""
        variance = self.eta**2 * levels.posterior_variance
        kept, added = (levels.sigma[1:] ** 2 - variance).sqrt(), variance.sqrt()
        if isinstance(levels, ChurnedLevels):  # as eta's, but from the level that was left to one above
            kept, added = levels.kept, levels.added
        columns = (*affine_step(levels, kept), levels.alpha[1:], kept, added)
        rows = levels.to_device(x.device, *columns, gradient_weight(levels))
        adds_noise = (added > 0).tolist()
        for step in levels.steps(x.device):
            of_x, of_x_0, alpha_s, of_epsilon, d, of_gradient = rows[step.index]
            prediction = predict(x, step)
            x_0 = sampled_x_0(prediction, of_gradient, self.clip)
            # alpha_s x_0 + sqrt(sigma_s^2 - d^2) epsilon; d noise is added below
            if self.keeps_predicted and (self.clip is not None or prediction.unclipped is not None):
                x = weighted_sum((alpha_s, of_epsilon), (x_0, shifted_epsilon(prediction)))
            else:
                x = weighted_sum((of_x, of_x_0), (x, x_0))
            if adds_noise[step.index]:
                x = torch.addcmul(x, d, noise.step(step.index, x))
            else:
                noise.skip(step.index, x)
            yield State(step.index + 1, len(levels), x, x_0)
