"""Heun's method: a step of Euler's, corrected by the slope at its end."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from glidepath.core import Noise, NoiseLevels, Predict, State
from glidepath.plugins.samplers.grid import ChurnedLevels, GridSampler
from glidepath.plugins.samplers.grid_configs import HeunConfig
from glidepath.plugins.samplers.solver import affine_step, denoiser_on, has_signal, weighted_sum


class HeunSampler(GridSampler):
    """The mean of the slopes at both ends of a step (Karras et al. 2022, algorithm 1).

    The slope of x / alpha over sigma / alpha is epsilon; that of x / (alpha + sigma) over sigma / (alpha +
    sigma) is the flow. Two predictions for each step but the last, which arrives at a clean image and is one
    of Euler's; N steps predict 2 N - 1 times. Along epsilon, a step that begins where no signal is left
    (sigma / alpha above 1,000) is one of Euler's too. With `s_churn` noise is added between steps (algorithm
    2).
    """

    def __init__(self, config: HeunConfig) -> None:
        super().__init__(config)
        self.slope = config.slope

    def states(self, predict: Predict, x: Tensor, levels: NoiseLevels, noise: Noise) -> Iterator[State]:
        """Sample along `levels`; a state's sample is the x_0 that was predicted last."""
        base = levels.base if isinstance(levels, ChurnedLevels) else levels
        first = levels.to_device(x.device, *affine_step(levels, base.sigma[1:], base.alpha[1:]))
        second = levels.to_device(x.device, *_correction(levels, base, self.slope))
        corrects = (has_signal(levels) | (self.slope == "flow")).tolist()
        denoise = denoiser_on(levels, predict, x.device, self.clip)
        denoise_at_s = denoise
        if base is not levels:
            denoise_at_s = denoiser_on(base, predict, x.device, self.clip, first_row=len(levels))
        churn = _churn(levels, x.device)
        for index, weights in enumerate(first):
            x_0 = denoise(x, index)
            x_s = weighted_sum(weights, (x, x_0))
            if index + 1 < len(levels) and corrects[index]:
                x_0_at_s = denoise_at_s(x_s, index + 1)
                x_s = weighted_sum(second[index], (x_s, x, x_0, x_0_at_s))
                x_0 = x_0_at_s
            x = x_s
            if index in churn:
                x = weighted_sum(churn[index], (x, noise.step(index, x)))
            else:
                noise.skip(index, x)
            yield State(index + 1, len(levels), x, x_0)


def _churn(levels: NoiseLevels, device: torch.device) -> dict[int, tuple[Tensor, ...]]:
    """The weights of x and of noise where noise is added on arrival, by step."""
    if not isinstance(levels, ChurnedLevels):
        return {}
    rows = levels.to_device(device, levels.alpha[1:] / levels.base.alpha[1:], levels.added)
    return {index: rows[index] for index, added in enumerate(levels.added.tolist()) if added > 0}


def _correction(levels: NoiseLevels, base: NoiseLevels, slope: str) -> list[Tensor]:
    """[N] each: the weights of x_s as reached, of x_t, and of the x_0 predicted from each, x_t's first.

    x_s + a_s (r_s - r_t) / 2 (slope_s - slope_t), where a is alpha, or alpha + sigma along the flow,
    r = sigma / a and slope = (x - a x_0) / sigma. Nothing of it holds in the last row.
    """
    sigma_t, sigma_s = levels.sigma[:-1], base.sigma[1:]
    a_t, a_s = levels.alpha[:-1], base.alpha[1:]
    if slope == "flow":
        a_t, a_s = a_t + sigma_t, a_s + sigma_s
    half = a_s * (sigma_s / a_s - sigma_t / a_t) / 2
    above_0 = torch.where(sigma_s > 0, sigma_s, 1)
    return [1 + half / above_0, -half / sigma_t, half / (sigma_t / a_t), -half * a_s / above_0]
