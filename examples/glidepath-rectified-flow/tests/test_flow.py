"""The flow, its sampler and its matched denoiser against closed forms, and against DDIM."""

from __future__ import annotations

import math
from typing import Literal

import attrs
import pytest
import torch
from torch import Tensor

from glidepath.core import (
    Conditioning,
    NoiseLevels,
    PerSampleNoise,
    Predict,
    Prediction,
    Step,
    VariancePreservingSchedule,
)
from glidepath_rectified_flow.config import EulerConfig, FlowConfig, ShiftedConfig
from glidepath_rectified_flow.euler import EulerSampler
from glidepath_rectified_flow.matched import MatchedInput
from glidepath_rectified_flow.schedule import FlowSchedule, time_of
from glidepath_rectified_flow.straightness import straightness
from glidepath_rectified_flow.warps import EvenWarp, ShiftedWarp, Warp

DEVIATION = 0.5
"""Of the data, x_0 ~ N(0, DEVIATION^2)."""

COSINE = VariancePreservingSchedule(
    [
        min(0.999, 1 - (math.cos((i + 1) / 1000 * math.pi / 2) / math.cos(i / 1000 * math.pi / 2)) ** 2)
        for i in range(1000)
    ]
)


def flow(warp: Warp | None = None, trained_on: VariancePreservingSchedule | None = None) -> FlowSchedule:
    return FlowSchedule(FlowConfig(num_steps=1000), warp=warp or EvenWarp(), trained_on=trained_on)


def exact(x: Tensor, step: Step) -> Prediction:
    """The mean of x_0 given x_t, which no network could better."""
    variance = (step.alpha * DEVIATION) ** 2 + step.sigma**2
    return Prediction(step.alpha * DEVIATION**2 / variance * x, "sample", x, step)


def noise(count: int = 8) -> PerSampleNoise:
    return PerSampleNoise([(0, index) for index in range(count)])


@pytest.mark.parametrize("warp", [EvenWarp(), ShiftedWarp(ShiftedConfig(shift=3))])
def test_alpha_and_sigma_sum_to_1(warp: Warp) -> None:
    alpha, sigma = flow(warp).alpha_sigma(torch.arange(1000))
    torch.testing.assert_close(alpha + sigma, torch.ones(1000, dtype=torch.float64), rtol=0, atol=1e-15)
    assert float(sigma.min()) > 0
    assert float(sigma.max()) < 1


def test_a_shift_multiplies_sigma_by_alpha() -> None:
    (alpha, sigma), (shifted_alpha, shifted_sigma) = (
        flow(warp).alpha_sigma(torch.tensor([0, 500, 999]))
        for warp in (EvenWarp(), ShiftedWarp(ShiftedConfig(shift=3)))
    )
    torch.testing.assert_close(shifted_sigma / shifted_alpha, 3 * sigma / alpha)


def test_the_time_of_a_timestep_is_itself() -> None:
    t = torch.tensor([1, 123, 500, 998])
    alpha, sigma = COSINE.alpha_sigma(t)
    torch.testing.assert_close(time_of(COSINE, (sigma / alpha).log()), t.double(), rtol=0, atol=1e-6)


def test_the_denoiser_receives_the_time_of_equal_noise() -> None:
    t = torch.tensor([100, 500, 900])
    alpha, sigma = flow().alpha_sigma(t)
    known_alpha, known_sigma = COSINE.alpha_sigma(flow(trained_on=COSINE).model_time(t))
    torch.testing.assert_close(known_sigma / known_alpha, sigma / alpha, rtol=1e-6, atol=0)


def test_euler_reaches_what_the_exact_flow_reaches() -> None:
    """x_t / its standard deviation does not change along the flow of a Gaussian."""
    levels = flow().levels(1000)
    x = levels.init_noise_sigma * noise().initial((8, 1, 4, 4), "cpu")
    *_, last = EulerSampler(EulerConfig(clip=False)).states(exact, x, levels, noise())
    start = ((levels.alpha[0] * DEVIATION) ** 2 + levels.sigma[0] ** 2).sqrt().item()
    torch.testing.assert_close(last.x, DEVIATION / start * x, rtol=5e-3, atol=1e-4)


def ddim(x: Tensor, levels: NoiseLevels) -> Tensor:
    """Song et al. 2021, equation 12, without noise."""
    alpha, sigma = levels.alpha.float(), levels.sigma.float()
    for step in levels.steps("cpu"):
        sample = exact(x, step).sample
        epsilon = (x - step.alpha * sample) / step.sigma
        x = alpha[step.index + 1] * sample + sigma[step.index + 1] * epsilon
    return x


@pytest.mark.parametrize("schedule", [flow(), COSINE], ids=["flow", "cosine"])
def test_euler_steps_are_those_of_ddim_on_every_schedule(schedule: FlowSchedule) -> None:
    levels = schedule.levels(20)
    x = noise().initial((8, 1, 4, 4), "cpu")
    *_, last = EulerSampler(EulerConfig(clip=False)).states(exact, x, levels, noise())
    torch.testing.assert_close(last.x, ddim(x, levels), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["epsilon", "sample", "velocity"])
def test_a_matched_denoiser_sees_what_it_was_trained_on_and_predicts_the_same(
    kind: Literal["epsilon", "sample", "velocity"],
) -> None:
    seen: list[tuple[Tensor, Step]] = []

    def bind(_conditioning: Conditioning) -> Predict:
        def predict(x: Tensor, step: Step) -> Prediction:
            seen.append((x, step))
            made = exact(x, step)
            return attrs.evolve(made, value=getattr(made, kind), kind=kind)

        return predict

    levels = flow().levels([100, 500, 900])
    for step in levels.steps("cpu"):
        x = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(step.index))
        made = MatchedInput()(bind)(Conditioning(batch=2))(x, step)
        known_x, known = seen[-1]
        assert float(known.alpha**2 + known.sigma**2) == pytest.approx(1, abs=1e-6)
        torch.testing.assert_close(known.sigma / known.alpha, step.sigma / step.alpha)
        torch.testing.assert_close(known_x / known.alpha, x / step.alpha)
        # the exact x_0 does not depend on the scale in which x_t is written
        torch.testing.assert_close(made.sample, exact(x, step).sample, rtol=1e-4, atol=1e-5)
        assert made.x is x


def test_a_straight_path_has_straightness_0_and_another_has_more() -> None:
    levels = flow().levels(10)
    u = levels.sigma[:, None]
    ends = torch.randn(2, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    straight = (1 - u) * ends[0] + u * ends[1]
    assert straightness(straight, levels) == pytest.approx(0, abs=1e-20)
    # z = u^2: the mean of (1 - 2u)^2 over [0, 1] is 1/3
    many = flow().levels(1000)
    assert straightness(many.sigma[:, None] ** 2, many) == pytest.approx(1 / 3, rel=1e-2)
