"""A mixture of Gaussians, whose best denoiser, moments and probability flow are known in closed form.

Every entry of x is a sample by itself: x_0 is of density sum_k w_k N(x_0; m_k, s_k^2), and so
x_t = alpha x_0 + sigma epsilon is of sum_k w_k N(x_t; alpha m_k, alpha^2 s_k^2 + sigma^2).
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import torch
from torch import Tensor

from glidepath.core.conditioning import Conditioning, TextEmbedding
from glidepath.core.denoiser import Predict
from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.prediction import Prediction


def _float64(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@attrs.frozen(eq=False)
class Mixture:
    """The density of x_0. It lies within [-1, 1], so that a sampler which clips there changes nothing."""

    weights: Tensor = attrs.field(converter=_float64)
    means: Tensor = attrs.field(converter=_float64)
    deviations: Tensor = attrs.field(converter=_float64)

    def denoised(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """E[x_0 given x_t = x], in x's dtype: the posterior mean of each component, weighted by its share."""
        alpha, sigma = alpha.double(), sigma.double()
        weights, means, deviations = (
            table.to(x.device) for table in (self.weights, self.means, self.deviations)
        )
        value = x.double()[..., None]
        variance = (alpha * deviations) ** 2 + sigma**2
        log_share = weights.log() - 0.5 * variance.log() - 0.5 * (value - alpha * means) ** 2 / variance
        posterior = means + alpha * deviations**2 / variance * (value - alpha * means)
        return (log_share.softmax(-1) * posterior).sum(-1).to(x.dtype)

    def predictor(self, *, variance: bool = False) -> Predict:
        """The best denoiser. variance: it also says that the log-variance is that of the posterior."""

        def predict(x: Tensor, step: Step) -> Prediction:
            fraction = torch.zeros_like(x) if variance else None
            sample = self.denoised(x, step.alpha, step.sigma)
            return Prediction(sample, "sample", x, step, variance_fraction=fraction)

        return predict

    def cumulative(self, x: Tensor, alpha: float, sigma: float) -> Tensor:
        """P(x_t <= x), float64."""
        deviation = ((alpha * self.deviations) ** 2 + sigma**2).sqrt()
        share = 0.5 * (1 + torch.erf((x[..., None] - alpha * self.means) / (deviation * 2**0.5)))
        return (self.weights * share).sum(-1)

    def quantiles(self, p: Tensor, alpha: float, sigma: float) -> Tensor:
        """The x with P(x_t <= x) = p, float64, by bisection.

        The probability flow of one dimension keeps the order of its points, and the density of each time: it
        takes each quantile to the same quantile. So this is its exact solution.
        """
        low = torch.full_like(p, -10 * (abs(alpha) + sigma))
        high = -low
        for _ in range(100):
            middle = (low + high) / 2
            above = self.cumulative(middle, alpha, sigma) > p
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        return (low + high) / 2

    def moments(self, alpha: float, sigma: float) -> tuple[float, float, float]:
        """Mean, standard deviation, and the share below the mean, of x_t."""
        mean = float((self.weights * self.means).sum())
        spread = float((self.weights * (self.deviations**2 + (self.means - mean) ** 2)).sum())
        below = float(self.cumulative(torch.tensor(alpha * mean, dtype=torch.float64), alpha, sigma))
        return alpha * mean, (alpha**2 * spread + sigma**2) ** 0.5, below


TWO = Mixture([0.35, 0.65], [-0.45, 0.4], [0.12, 0.15])
ONE = Mixture([1.0], [0.1], [0.25])


def conditional(conditioning: Conditioning, levels: NoiseLevels) -> Predict:
    """A denoiser of images that hears its text: the best one of a Gaussian around what the text says.

    Predicts epsilon. What each sample's text says is a number; the Gaussian's mean is it times a pattern.
    """
    del levels  # each step has its own
    means = torch.zeros(conditioning.batch, dtype=torch.float64)
    text = conditioning.get("text", TextEmbedding)
    if text is not None and text.pooled is not None:
        means = torch.tanh(text.pooled.double().mean(1) * 3)

    def predict(x: Tensor, step: Step) -> Prediction:
        alpha, sigma = step.alpha.double(), step.sigma.double()
        pattern = torch.linspace(-1, 1, x[0].numel(), dtype=torch.float64, device=x.device).reshape(
            x[0].shape
        )
        mean = 0.8 * means.to(x.device).reshape(-1, *[1] * (x.ndim - 1)) * pattern
        variance = (alpha * 0.3) ** 2 + sigma**2
        epsilon = sigma / variance * (x.double() - alpha * mean)
        return Prediction(epsilon.to(x.dtype), "epsilon", x, step)

    return predict
