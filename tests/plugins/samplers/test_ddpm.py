"""Ancestral sampling, against distributions that are known in closed form."""

from __future__ import annotations

from typing import Literal

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from glidepath.core.errors import PartError
from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.noise import PerSampleNoise
from glidepath.core.prediction import Prediction
from glidepath.plugins.samplers.configs import DdpmConfig
from glidepath.plugins.samplers.ddpm import DdpmSampler
from glidepath.plugins.schedules.betas import LinearSchedule
from glidepath.plugins.schedules.configs import CosineConfig, LinearConfig
from glidepath.plugins.schedules.cosine import CosineSchedule

from .gaussian import Gaussian, moments

LEVELS = {
    "linear": LinearSchedule(LinearConfig()).levels(40),
    "cosine": CosineSchedule(CosineConfig()).levels(40),
    "exploding": NoiseLevels(
        torch.arange(40).flip(0),
        torch.ones(41),
        torch.cat([torch.logspace(1, -2, 40, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)]),
    ),
}
Variance = Literal["learned-range", "learned", "fixed-small", "fixed-large"]


def sampler(variance: Variance, clip: bool = False) -> DdpmSampler:
    return DdpmSampler(DdpmConfig(variance=variance, clip=clip))


@pytest.mark.parametrize("levels", LEVELS.values(), ids=list(LEVELS))
@pytest.mark.parametrize("variance", ["learned-range", "learned"])
@pytest.mark.parametrize("data", [Gaussian(0.3, 0.5), Gaussian(-2.0, 0.05), Gaussian(0.0, 1.0)])
def test_with_the_exact_mean_and_variance_every_x_t_has_its_true_distribution(
    data: Gaussian, variance: Variance, levels: NoiseLevels
) -> None:
    """The reverse of a Gaussian chain is Gaussian, so ancestral sampling is exact however few its steps are.

    Only the last step differs: it lands on the expected x_0, without noise.
    """
    smaller, larger = levels.posterior_log_variance_clipped, levels.beta.log()
    exact = data.reverse_variance(levels).log()
    fraction = (exact - smaller) / (larger - smaller) if variance == "learned-range" else (exact + 1) / 2

    def predict(x: Tensor, step: Step) -> Prediction:
        return attrs.evolve(
            data.predict(x, step), variance_fraction=fraction[step.index].float().expand_as(x)
        )

    mean, spread = moments(sampler(variance), data, levels, predict)
    true_mean, true_spread = data.marginal(levels.alpha[1:], levels.sigma[1:])
    torch.testing.assert_close(mean, true_mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(spread[:-1], true_spread[:-1], rtol=1e-3, atol=1e-7)


@given(deviation=st.floats(0.001, 1.0))
@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_the_exact_variance_lies_in_the_learned_range(name: str, deviation: float) -> None:
    """Between fixed-small (right for one image) and fixed-large (for unit variance): Ho et al. 3.2."""
    levels = LEVELS[name]
    exact = Gaussian(0.0, deviation).reverse_variance(levels)[:-1].log()
    assert bool((exact >= levels.posterior_log_variance_clipped[:-1] - 1e-9).all())
    assert bool((exact <= levels.beta[:-1].log() + 1e-9).all())


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_fixed_large_variance_is_exact_for_data_of_unit_variance(name: str) -> None:
    levels, data = LEVELS[name], Gaussian(0.0, 1.0)
    _, spread = moments(sampler("fixed-large"), data, levels)
    torch.testing.assert_close(
        spread[:-1], torch.ones(len(levels) - 1, dtype=torch.float64), rtol=1e-4, atol=0
    )


@pytest.mark.parametrize("levels", LEVELS.values(), ids=list(LEVELS))
def test_fixed_small_variance_is_exact_for_a_single_image(levels: NoiseLevels) -> None:
    data = Gaussian(0.7, 0.0)
    mean, spread = moments(sampler("fixed-small"), data, levels)
    true_mean, true_spread = data.marginal(levels.alpha[1:], levels.sigma[1:])
    torch.testing.assert_close(mean, true_mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(spread, true_spread, rtol=1e-3, atol=1e-7)


def test_the_last_step_adds_no_noise_and_ends_at_the_predicted_image() -> None:
    levels = LEVELS["linear"]
    data = Gaussian(0.1, 0.5)
    *_, last = sampler("fixed-large").states(
        data.predict, torch.randn(2, 3), levels, PerSampleNoise([(0, 0), (0, 1)])
    )
    torch.testing.assert_close(last.x, last.sample)


def test_a_walk_that_ends_noisy_adds_noise_at_its_last_step() -> None:
    whole, data = LEVELS["linear"], Gaussian(0.1, 0.5)
    part = NoiseLevels(whole.t[:5], whole.alpha[:6], whole.sigma[:6], whole.beta[:5])
    noise = PerSampleNoise([(0, 0), (0, 1)])
    x = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    states = list(sampler("fixed-small").states(data.predict, x, whole, noise))
    *_, last = sampler("fixed-small").states(data.predict, x, part, noise)
    torch.testing.assert_close(last.x, states[4].x)


@pytest.mark.parametrize("clip", [True, False])
def test_clipping_bounds_the_predicted_image(clip: bool) -> None:
    levels = LEVELS["cosine"]
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    noise = PerSampleNoise([(0, row) for row in range(4)])

    def loud(x: Tensor, step: Step) -> Prediction:
        return Prediction(3 * torch.ones_like(x), "sample", x, step)

    for state in sampler("fixed-small", clip).states(loud, x, levels, noise):
        assert state.sample.max() == (1 if clip else 3)


def test_a_gradient_of_the_likelihood_pulls_the_mean_by_the_variance() -> None:
    """Dhariwal & Nichol 2021, algorithm 1: the difference to an unguided step, and nothing else."""
    levels, data = LEVELS["linear"], Gaussian(0.0, 0.5)
    one = NoiseLevels(levels.t[9:10], levels.alpha[9:11], levels.sigma[9:11], levels.beta[9:10])
    x, gradient = torch.tensor([[0.3, -0.4]]), torch.tensor([[2.0, -5.0]])
    noise = PerSampleNoise([(0, 0)])

    def pulled(x: Tensor, step: Step) -> Prediction:
        return data.predict(x, step).with_gradient(gradient)

    (plain,) = sampler("fixed-small").states(data.predict, x, one, noise)
    (guided,) = sampler("fixed-small").states(pulled, x, one, noise)
    torch.testing.assert_close(
        guided.x - plain.x, one.posterior_variance.float() * gradient, rtol=1e-4, atol=1e-6
    )
    assert torch.equal(guided.sample, plain.sample)


@pytest.mark.parametrize(("learns", "as_if"), [(True, "learned-range"), (False, "fixed-small")])
def test_the_default_variance_is_learned_range_where_there_is_one_and_fixed_small_elsewhere(
    learns: bool, as_if: Variance
) -> None:
    x = torch.randn(1, 6, generator=torch.Generator().manual_seed(0))

    def predict(x: Tensor, step: Step) -> Prediction:
        fraction = torch.sigmoid(x) if learns else None
        return attrs.evolve(Gaussian(0.3, 0.5).predict(x, step), variance_fraction=fraction)

    ours, expected = (
        [state.x for state in walker.states(predict, x, LEVELS["cosine"], PerSampleNoise([(0, 0)]))]
        for walker in (DdpmSampler(DdpmConfig(clip=False)), sampler(as_if))
    )
    assert all(torch.equal(one, other) for one, other in zip(ours, expected, strict=True))


def test_before_the_clean_image_fixed_large_has_the_posterior_variance_of_the_step_before() -> None:
    """As Ho et al.'s code has it. No noise is added there, but a gradient is weighed by it."""
    whole, gradient = LinearSchedule(LinearConfig()).levels(1000), torch.tensor([[2.0, -5.0]])
    end = NoiseLevels(whole.t[-2:], whole.alpha[-3:], whole.sigma[-3:], whole.beta[-2:])

    def pulled(x: Tensor, step: Step) -> Prediction:
        return Prediction(torch.zeros_like(x), "sample", x, step).with_gradient(gradient)

    *_, last = sampler("fixed-large").states(pulled, torch.zeros(1, 2), end, PerSampleNoise([(0, 0)]))
    assert end.posterior_variance[-2] < 0.6 * end.beta[-1]
    torch.testing.assert_close(last.x, end.posterior_variance[-2].float() * gradient)


@pytest.mark.parametrize("variance", ["learned-range", "learned"])
def test_a_learned_variance_that_is_not_there_is_missed_by_name(variance: Variance) -> None:
    walk = sampler(variance).states(
        Gaussian(0, 1).predict, torch.zeros(1, 1), LEVELS["linear"], PerSampleNoise([(0, 0)])
    )
    with pytest.raises(PartError, match=f"sampler ddpm with variance: {variance} needs a learned variance"):
        next(walk)
