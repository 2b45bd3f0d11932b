"""Heun's method: a step of Euler's, corrected by the slope at its end."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from glidepath.core import Noise, NoiseLevels, Predict, State
from glidepath.plugins.samplers.configs import GridConfig
from glidepath.plugins.samplers.grid import GridSampler
from glidepath.plugins.samplers.solver import affine_step, denoiser_on, has_signal, weighted_sum


class HeunSampler(GridSampler):
    """The mean of the slopes at both ends of a step (Karras et al. 2022, algorithm 1).

    The slope of x / alpha over sigma / alpha is epsilon. Two predictions for each step but the last, which
    arrives at a clean image and is one of Euler's; N steps predict 2 N - 1 times. A step that begins where no
    signal is left (sigma / alpha above 1,000) is one of Euler's too.
    """

    def __init__(self, config: GridConfig) -> None:
        super().__init__(config)

    def states(self, predict: Predict, x: Tensor, levels: NoiseLevels, noise: Noise) -> Iterator[State]:
        """Sample along `levels`; a state's sample is the x_0 that was predicted last."""
        first = levels.to_device(x.device, *affine_step(levels, levels.sigma[1:]))
        second = levels.to_device(x.device, *_correction(levels))
        corrects = has_signal(levels).tolist()
        denoise = denoiser_on(levels, predict, x.device, self.clip)
        for index, weights in enumerate(first):
            x_0 = denoise(x, index)
            x_s = weighted_sum(weights, (x, x_0))
            if index + 1 < len(levels) and corrects[index]:
                x_0_at_s = denoise(x_s, index + 1)
                x_s = weighted_sum(second[index], (x_s, x, x_0, x_0_at_s))
                x_0 = x_0_at_s
            x = x_s
            noise.skip(index, x)
            yield State(index + 1, len(levels), x, x_0)


def _correction(levels: NoiseLevels) -> list[Tensor]:
    """[N] each: the weights of x_s as reached, of x_t, and of the x_0 predicted from each, x_t's first.

    x_s + alpha_s (r_s - r_t) / 2 (epsilon_s - epsilon_t), where r = sigma / alpha and
    epsilon = (x - alpha x_0) / sigma. Nothing of it holds in the last row.
    """
    ratio = levels.sigma / levels.alpha
    half = levels.alpha[1:] * (ratio[1:] - ratio[:-1]) / 2
    sigma_s = torch.where(levels.sigma[1:] > 0, levels.sigma[1:], 1)
    return [
        1 + half / sigma_s,
        -half / levels.sigma[:-1],
        half / ratio[:-1],
        -half * levels.alpha[1:] / sigma_s,
    ]
