"""Implicit sampling, against trajectories that are known in closed form."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.noise import PerSampleNoise
from glidepath.core.prediction import Prediction
from glidepath.core.sampler import State
from glidepath.plugins.samplers.configs import DdimConfig, DdpmConfig
from glidepath.plugins.samplers.ddim import DdimSampler
from glidepath.plugins.samplers.ddpm import DdpmSampler
from glidepath.plugins.schedules.betas import LinearSchedule
from glidepath.plugins.schedules.configs import CosineConfig, LinearConfig
from glidepath.plugins.schedules.cosine import CosineSchedule

from .gaussian import Gaussian, moments

SCHEDULES = {"linear": LinearSchedule(LinearConfig()), "cosine": CosineSchedule(CosineConfig())}
FLOW = NoiseLevels(
    torch.linspace(1000, 50, 20, dtype=torch.float64),
    torch.linspace(0.02, 1, 21, dtype=torch.float64),
    torch.linspace(0.98, 0, 21, dtype=torch.float64),
)
X = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
NOISE = PerSampleNoise([(0, 0), (0, 1)])


class Forbidden:
    """Noise that must not be drawn."""

    def initial(self, shape: tuple[int, ...], device: torch.device | str) -> Tensor:
        raise AssertionError

    def step(self, index: int, like: Tensor) -> Tensor:
        raise AssertionError("a step without noise drew some")

    def skip(self, index: int, like: Tensor) -> None:
        pass


def walk(data: Gaussian, levels: NoiseLevels, eta: float = 0.0) -> list[State]:
    return list(
        DdimSampler(DdimConfig(eta=eta, clip=False)).states(
            data.predict, X, levels, NOISE if eta else Forbidden()
        )
    )


@pytest.mark.parametrize(
    "levels", [SCHEDULES["linear"].levels(7), SCHEDULES["cosine"].levels("ddim25"), FLOW]
)
def test_towards_a_single_image_every_state_lies_on_one_line(levels: NoiseLevels) -> None:
    """With x_0 = m known, epsilon stays what it is: x_s = alpha_s m + sigma_s / sigma_t (x_t - alpha_t m)."""
    data = Gaussian(0.7, 0.0)
    for index, state in enumerate(walk(data, levels)):
        alpha, sigma = levels.alpha[index + 1].float(), levels.sigma[index + 1].float()
        epsilon = (X - levels.alpha[0].float() * 0.7) / levels.sigma[0].float()
        torch.testing.assert_close(state.x, alpha * 0.7 + sigma * epsilon, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(state.sample, torch.full_like(X, 0.7))


@pytest.mark.parametrize("name", SCHEDULES)
def test_more_steps_approach_the_trajectory_of_the_probability_flow(name: str) -> None:
    """On Gaussian data that ODE has a solution: x_t keeps its number of standard deviations from the mean.

    DDIM is a method of the first order, so twice the steps leave half the error.
    """
    data = Gaussian(0.3, 0.5)
    errors = []
    for steps in (50, 100, 200, 1000):
        levels = SCHEDULES[name].levels(steps)
        mean, variance = data.marginal(levels.alpha[0], levels.sigma[0])
        exact = 0.3 + 0.5 * (X - mean.float()) / variance.sqrt().float()
        errors.append(float((walk(data, levels)[-1].x - exact).abs().max()))
    assert errors[0] > 1.7 * errors[1] > 1.7**2 * errors[2]
    assert errors[3] < 5e-3


@pytest.mark.parametrize("name", SCHEDULES)
def test_eta_1_is_ddpm_with_the_smaller_fixed_variance(name: str) -> None:
    """Song et al. 2021, section 4.1, for the same noise."""
    levels, data = SCHEDULES[name].levels(25), Gaussian(0.3, 0.5)
    ancestral = DdpmSampler(DdpmConfig(variance="fixed-small", clip=False)).states(
        data.predict, X, levels, NOISE
    )
    for ours, theirs in zip(walk(data, levels, eta=1.0), ancestral, strict=True):
        torch.testing.assert_close(ours.x, theirs.x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_towards_a_single_image_every_eta_has_the_true_distribution(eta: float) -> None:
    """Song et al. 2021, lemma 1: the marginals of q do not depend on eta."""
    levels, data = SCHEDULES["linear"].levels(20), Gaussian(-0.4, 0.0)
    mean, spread = moments(DdimSampler(DdimConfig(eta=eta, clip=False)), data, levels)
    true_mean, true_spread = data.marginal(levels.alpha[1:], levels.sigma[1:])
    torch.testing.assert_close(mean, true_mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(spread, true_spread, rtol=1e-3, atol=1e-7)


def test_a_step_adds_eta_times_the_deviation_of_the_posterior() -> None:
    """Song et al. 2021, equation 16."""

    class Silent(Forbidden):
        def step(self, index: int, like: Tensor) -> Tensor:
            return torch.zeros_like(like)

    levels, data = SCHEDULES["cosine"].levels(7), Gaussian(0.7, 0.0)
    sampler = DdimSampler(DdimConfig(eta=0.3, clip=False))
    noisy, silent = (next(sampler.states(data.predict, X, levels, noise)).x for noise in (NOISE, Silent()))
    (alpha_t, alpha_s), (sigma_t, sigma_s) = levels.alpha[:2], levels.sigma[:2]
    deviation = sigma_s / sigma_t * (1 - (alpha_t / alpha_s) ** 2).sqrt()
    expected = 0.3 * deviation.float() * NOISE.step(0, X)
    torch.testing.assert_close(noisy - silent, expected, atol=1e-6, rtol=1e-5)


def test_a_gradient_of_the_likelihood_turns_the_prior_into_the_posterior() -> None:
    """grad log p(y given x_t) added to the prior's score is the score of p(x_t given y).

    y is x_0 seen through noise of deviation 0.2.
    """
    prior, seen, blur = Gaussian(0.0, 0.5), 0.6, 0.2
    precision = 1 / 0.5**2 + 1 / blur**2
    posterior = Gaussian(seen / blur**2 / precision, precision**-0.5)

    def guided(x: Tensor, step: Step) -> Prediction:
        _, variance = prior.marginal(step.alpha, step.sigma)
        gain = step.alpha * prior.deviation**2 / variance
        spread = blur**2 + prior.deviation**2 * step.sigma**2 / variance
        gradient = gain * (seen - prior.expected(x, step.alpha, step.sigma)) / spread
        return prior.predict(x, step).with_gradient(gradient)

    levels = SCHEDULES["linear"].levels(25)
    sampler = DdimSampler(DdimConfig(clip=False))
    ours = sampler.states(guided, X, levels, Forbidden())
    for state, exact in zip(ours, sampler.states(posterior.predict, X, levels, Forbidden()), strict=True):
        torch.testing.assert_close(state.x, exact.x, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(state.sample, exact.sample, rtol=1e-3, atol=1e-3)


def test_epsilon_follows_from_the_clipped_image() -> None:
    """x_t is always alpha x_0 + sigma epsilon of the two that the step goes on with."""
    levels = SCHEDULES["linear"].levels(10)

    def loud(x: Tensor, step: Step) -> Prediction:
        return Prediction(torch.full_like(x, 3.0), "sample", x, step)

    state = next(iter(DdimSampler(DdimConfig()).states(loud, X, levels, Forbidden())))
    assert torch.equal(state.sample, torch.ones_like(X))
    alpha, sigma = levels.alpha.float(), levels.sigma.float()
    torch.testing.assert_close(state.x, alpha[1] + sigma[1] * (X - alpha[0]) / sigma[0])


def test_the_last_step_lands_on_the_predicted_image_for_every_eta() -> None:
    for eta in (0.0, 1.0):
        last = walk(Gaussian(0.3, 0.5), SCHEDULES["cosine"].levels(10), eta)[-1]
        torch.testing.assert_close(last.x, last.sample)


def test_the_predicted_epsilon_may_be_kept_where_the_image_is_clipped() -> None:
    levels = SCHEDULES["linear"].levels(10)

    def loud(x: Tensor, step: Step) -> Prediction:
        return Prediction(torch.full_like(x, 3.0), "sample", x, step)

    sampler = DdimSampler(DdimConfig(epsilon="predicted"))
    state = next(iter(sampler.states(loud, X, levels, Forbidden())))
    alpha, sigma = levels.alpha.float(), levels.sigma.float()
    torch.testing.assert_close(state.x, alpha[1] + sigma[1] * (X - 3 * alpha[0]) / sigma[0])


def test_where_nothing_is_clipped_both_epsilons_are_one_and_a_gradient_moves_them_alike() -> None:
    def pulled(x: Tensor, step: Step) -> Prediction:
        return Prediction(0.1 * x, "sample", x, step).with_gradient(-0.01 * x)

    levels = SCHEDULES["linear"].levels(list(range(0, 400, 40)))
    ours, theirs = (
        DdimSampler(DdimConfig(epsilon=epsilon)).states(pulled, X, levels, Forbidden())
        for epsilon in ("clipped", "predicted")
    )
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.x, other.x, rtol=1e-4, atol=1e-5)


def test_a_walk_may_end_at_the_noise_of_the_first_timestep() -> None:
    schedule = SCHEDULES["linear"]
    levels = DdimSampler(DdimConfig(steps="leading10+1", end="first")).levels(schedule)
    assert levels.t.tolist() == list(range(901, 0, -100))
    assert float(levels.alpha[-1]) ** 2 == pytest.approx(0.9999)
    short = DdimSampler(DdimConfig(steps="leading10+1", end="first")).levels(schedule, 0.3)
    assert short.t.tolist() == [201, 101, 1]
    assert torch.equal(short.alpha, levels.alpha[-4:])


def test_a_walk_may_begin_where_no_signal_is_left() -> None:
    """The first x_0 is all that is known there; towards a single image every state lies on one line."""
    levels = LinearSchedule(LinearConfig(zero_terminal_snr=True)).levels("trailing8")
    assert float(levels.alpha[0]) == 0
    for index, state in enumerate(walk(Gaussian(0.7, 0.0), levels)):
        alpha, sigma = levels.alpha[index + 1].float(), levels.sigma[index + 1].float()
        torch.testing.assert_close(state.x, alpha * 0.7 + sigma * X, rtol=1e-4, atol=1e-4)
