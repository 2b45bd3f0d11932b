"""Data of independent Gaussians N(mean, deviation^2): everything about its diffusion is a closed form."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from glidepath.core.denoiser import Predict
from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.prediction import Prediction
from glidepath.core.sampler import Sampler


@attrs.frozen
class Gaussian:
    """The data, and the denoiser that a perfectly trained network would be."""

    mean: float
    deviation: float

    def marginal(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of x_t."""
        return alpha * self.mean, alpha**2 * self.deviation**2 + sigma**2

    def expected(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """E[x_0 given x_t], by conditioning one Gaussian on another."""
        mean, variance = self.marginal(alpha, sigma)
        return self.mean + alpha * self.deviation**2 / variance * (x - mean)

    def predict(self, x: Tensor, step: Step) -> Prediction:
        """The perfect prediction of x_0."""
        return Prediction(self.expected(x, step.alpha, step.sigma), "sample", x, step)

    def reverse_variance(self, levels: NoiseLevels) -> Tensor:
        """[N] Var[x_s given x_t]: the posterior's, and what is not known of x_0."""
        alpha, sigma = levels.alpha[:-1], levels.sigma[:-1]
        unknown = self.deviation**2 * sigma**2 / self.marginal(alpha, sigma)[1]
        return levels.posterior_variance + levels.posterior_mean_coef1**2 * unknown


@attrs.frozen(eq=False)
class Probe:
    """Noise that is 1 in one row at one step, and 0 elsewhere.

    A walk on Gaussian data is linear in x_T and in the noise of each step. Row 0 has no noise, row 1 begins
    one unit higher, and row k + 2 is pushed one unit at step k: the rows show each response by itself.
    """

    def initial(self, shape: tuple[int, ...], device: torch.device | str) -> Tensor:
        raise AssertionError("the probe chooses x_T itself")

    def step(self, index: int, like: Tensor) -> Tensor:
        noise = torch.zeros_like(like)
        noise[index + 2] = 1
        return noise

    def skip(self, index: int, like: Tensor) -> None:
        pass


def moments(
    sampler: Sampler, data: Gaussian, levels: NoiseLevels, predict: Predict | None = None
) -> tuple[Tensor, Tensor]:
    """Mean and variance of x after each step, [N] each, where x_T has its true distribution. No draws."""
    mean, variance = data.marginal(levels.alpha[0], levels.sigma[0])
    x = torch.zeros(len(levels) + 2, 1)
    x += mean
    x[1] += 1
    responses = torch.stack(
        [state.x for state in sampler.states(predict or data.predict, x, levels, Probe())]
    )
    base, rows = responses[:, 0, 0].double(), responses[:, 1:, 0].double()
    weights = (rows - base[:, None]) ** 2
    return base, weights[:, 0] * variance + weights[:, 1:].sum(1)
