"""What the solvers share: a denoiser seen as x_0 along a grid, and sums of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from glidepath.core import NoiseLevels, Predict

Denoise = Callable[[Tensor, int], Tensor]
"""(x, index) -> the x_0 that is predicted from x at that point of the grid."""


# of sigma / alpha: no image is seen through such noise, and higher orders multiply what a network errs there
_NO_SIGNAL = 1e3


def has_signal(levels: NoiseLevels) -> Tensor:
    """[N] bool: at which points of the grid there is more than noise alone (sigma / alpha at most 1,000)."""
    return levels.sigma[:-1] <= _NO_SIGNAL * levels.alpha[:-1]


def denoiser_along(levels: NoiseLevels, predict: Predict, device: torch.device, clip: bool) -> Denoise:
    """x_0 along `levels`, clipped to [-1, 1] where `clip` says.

    A gradient shifts epsilon by -sigma * gradient (Dhariwal & Nichol 2021, algorithm 2); the x_0 that follows
    is not clipped again.
    """
    steps = list(levels.steps(device))
    of_gradient = levels.rows(device, levels.sigma[:-1] ** 2 / levels.alpha[:-1])

    def denoise(x: Tensor, index: int) -> Tensor:
        prediction = predict(x, steps[index])
        sample = prediction.sample.clamp(-1, 1) if clip else prediction.sample
        if prediction.gradient is None:
            return sample
        return torch.addcmul(sample, of_gradient[index][0], prediction.gradient)

    return denoise


def weighted_sum(weights: Iterable[Tensor], tensors: Iterable[Tensor]) -> Tensor:
    """The sum of weight * tensor, over as many as there are of both; there is at least one."""
    pairs = iter(zip(weights, tensors, strict=False))
    weight, tensor = next(pairs)
    total = weight * tensor
    for weight, tensor in pairs:
        total = torch.addcmul(total, weight, tensor)
    return total


def log_snr_halves(levels: NoiseLevels) -> list[float]:
    """lambda = log(alpha / sigma) at each point and at the end (Lu et al. 2022, "DPM-Solver", section 3.1).

    -inf where there is no signal, inf at a clean image.
    """
    values: list[float] = (levels.alpha.log() - levels.sigma.log()).tolist()
    return values
