"""A mixture of two Gaussians: the exact denoiser is a closed form, and no longer linear in x."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from glidepath.core.levels import Step
from glidepath.core.prediction import Prediction


@attrs.frozen
class Mixture:
    """Data of 1/2 N(mean, deviation^2) + 1/2 N(-mean, deviation^2), each number by itself.

    With mean 0 it is one Gaussian.
    """

    mean: float
    deviation: float

    def expected(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """E[x_0 given x_t]: those under either Gaussian, weighed by how probable each is."""
        variance = alpha**2 * self.deviation**2 + sigma**2
        gain = alpha * self.deviation**2 / variance
        # the two posteriors differ only in the sign of the mean, so that a tanh weighs them
        middle = torch.tanh(alpha * self.mean * x / variance)
        return gain * x + (1 - gain * alpha) * self.mean * middle

    def predict(self, x: Tensor, step: Step) -> Prediction:
        """The perfect prediction, as epsilon, which is what most networks learned."""
        sample = self.expected(x, step.alpha, step.sigma)
        return Prediction((x - step.alpha * sample) / step.sigma, "epsilon", x, step)


def cumulative(x: Tensor, alpha: float, sigma: float, data: Mixture) -> Tensor:
    """The share of x_t's distribution below x: what the probability flow keeps of every x."""
    deviation = (alpha**2 * data.deviation**2 + sigma**2) ** 0.5
    below = [torch.special.ndtr((x - sign * alpha * data.mean) / deviation) for sign in (-1.0, 1.0)]
    return (below[0] + below[1]) / 2
