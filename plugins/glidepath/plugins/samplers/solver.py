"""What the samplers share: a denoiser seen as x_0 on a grid, the weights of a step, sums of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs
import torch
from torch import Tensor

from glidepath.core import NoiseLevels, Predict, Prediction

Denoise = Callable[[Tensor, int], Tensor]
"""(x, index) -> the x_0 that is predicted from x at that point of the grid."""


# of sigma / alpha: no image is seen through such noise, and higher orders multiply what a network errs there
_NO_SIGNAL = 1e3


def has_signal(levels: NoiseLevels) -> Tensor:
    """[N] bool: at which points of the grid there is more than noise alone (sigma / alpha at most 1,000)."""
    return levels.sigma[:-1] <= _NO_SIGNAL * levels.alpha[:-1]


def affine_step(
    levels: NoiseLevels, of_epsilon: Tensor, alpha_s: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """What multiplies x_t and x_0 in x_s = alpha_s x_0 + of_epsilon epsilon: [N] each.

    epsilon = (x_t - alpha_t x_0) / sigma_t is put in, so that a step is a sum of two tensors. Their weights
    are made in float64.

    of_epsilon, alpha_s: [N] float64; alpha_s is that of the next point, where it is not given.
    """
    of_x = of_epsilon / levels.sigma[:-1]
    return of_x, (levels.alpha[1:] if alpha_s is None else alpha_s) - of_x * levels.alpha[:-1]


def denoiser_on(
    levels: NoiseLevels, predict: Predict, device: torch.device, clip: float | None, first_row: int = 0
) -> Denoise:
    """x_0 at each point of a grid, as `sampled_x_0` has it.

    first_row: which the first point is of `NoiseLevels.asked`, of the levels that `predict` is prepared for.
    """
    steps = [attrs.evolve(step, row=first_row + step.index) for step in levels.steps(device)]
    of_gradient = levels.to_device(device, gradient_weight(levels))

    def denoise(x: Tensor, index: int) -> Tensor:
        return sampled_x_0(predict(x, steps[index]), of_gradient[index][0], clip)

    return denoise


def gradient_weight(levels: NoiseLevels) -> Tensor:
    """[N] sigma^2 / alpha: what a gradient adds to x_0 when it shifts epsilon by -sigma * gradient."""
    return levels.sigma[:-1] ** 2 / levels.alpha[:-1]


def sampled_x_0(prediction: Prediction, of_gradient: Tensor, clip: float | None) -> Tensor:
    """The predicted x_0, clipped to [-clip, clip] where that is not None.

    A gradient shifts epsilon by -sigma * gradient (Dhariwal & Nichol 2021, algorithm 2); the x_0 that follows
    is not clipped again.
    """
    x_0 = prediction.sample if clip is None else prediction.sample.clamp(-clip, clip)
    return x_0 if prediction.gradient is None else torch.addcmul(x_0, of_gradient, prediction.gradient)


def shifted_epsilon(prediction: Prediction) -> Tensor:
    """The noise as it was predicted, whatever x_0 is clipped to, with the same shift by a gradient."""
    epsilon, gradient = (prediction.unclipped or prediction).epsilon, prediction.gradient
    return epsilon if gradient is None else torch.addcmul(epsilon, -prediction.step.sigma, gradient)


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
