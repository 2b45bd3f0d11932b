"""The closed forms that samplers and guidances are held against, against sums over many samples."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from glidepath.core import Conditioning
from glidepath.testing.fixtures import QuarterCircleSchedule
from glidepath.testing.mixture import ONE, TWO, Mixture, conditional

ALPHA, SIGMA = 0.8, 0.6


@pytest.mark.parametrize("mixture", [ONE, TWO])
def test_the_best_denoiser_is_the_mean_of_the_posterior(mixture: Mixture) -> None:
    """By quadrature over x_0."""
    x_0 = torch.linspace(-2, 2, 40001, dtype=torch.float64)
    prior = torch.zeros_like(x_0)
    for weight, mean, deviation in zip(mixture.weights, mixture.means, mixture.deviations, strict=True):
        prior += weight / deviation * torch.exp(-0.5 * ((x_0 - mean) / deviation) ** 2)
    for x in (-1.0, -0.2, 0.3, 1.1):
        posterior = prior * torch.exp(-0.5 * ((x - ALPHA * x_0) / SIGMA) ** 2)
        expected = float((posterior * x_0).sum() / posterior.sum())
        point = torch.tensor([x], dtype=torch.float64)
        found = mixture.denoised(point, torch.tensor(ALPHA), torch.tensor(SIGMA))
        assert float(found) == pytest.approx(expected, abs=1e-6)


def test_the_moments_are_those_of_samples() -> None:
    generator = torch.Generator().manual_seed(0)
    chosen = torch.multinomial(TWO.weights, 400_000, replacement=True, generator=generator)
    drawn = torch.randn(2, len(chosen), dtype=torch.float64, generator=generator)
    x = ALPHA * (TWO.means[chosen] + TWO.deviations[chosen] * drawn[0]) + SIGMA * drawn[1]
    mean, deviation, below = TWO.moments(ALPHA, SIGMA)
    assert mean == pytest.approx(float(x.mean()), abs=4e-3)
    assert deviation == pytest.approx(float(x.std()), abs=4e-3)
    assert below == pytest.approx(float((x <= mean).double().mean()), abs=4e-3)


def test_a_quantile_has_its_share_below_it() -> None:
    p = torch.linspace(0.01, 0.99, 25, dtype=torch.float64)
    assert torch.allclose(TWO.cumulative(TWO.quantiles(p, ALPHA, SIGMA), ALPHA, SIGMA), p, atol=1e-9)


def test_the_quantiles_move_along_the_probability_flow() -> None:
    """dx/dtau = (x - D) / tau for x = x_0 + tau epsilon (Karras et al. 2022, equation 1), in tiny steps."""
    p = torch.tensor([0.1, 0.4, 0.9], dtype=torch.float64)
    x, one = TWO.quantiles(p, 1.0, 1.0), torch.ones((), dtype=torch.float64)
    taus = torch.linspace(1.0, 0.2, 1001, dtype=torch.float64)
    for tau, following in pairwise(taus):
        middle = (tau + following) / 2
        half = x + (middle - tau) * (x - TWO.denoised(x, one, tau)) / tau
        x = x + (following - tau) * (half - TWO.denoised(half, one, middle)) / middle
    assert torch.allclose(x, TWO.quantiles(p, 1.0, 0.2), atol=1e-5)


def test_the_denoiser_of_images_without_text_is_that_of_a_gaussian_around_zero() -> None:
    levels = QuarterCircleSchedule().levels(4)
    step = next(levels.steps("cpu"))
    x = torch.ones(1, 3, 4, 4)
    prediction = conditional(Conditioning(batch=1), levels)(x, step)
    gain = step.sigma / ((step.alpha * 0.3) ** 2 + step.sigma**2)
    assert torch.allclose(prediction.epsilon, gain * x)
