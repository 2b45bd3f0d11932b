"""The two schedules: published values, and their closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from glidepath.plugins.schedules.betas import (
    ConstantSchedule,
    LinearSchedule,
    QuadraticSchedule,
    WarmUpSchedule,
)
from glidepath.plugins.schedules.configs import (
    ConstantConfig,
    CosineConfig,
    LinearConfig,
    QuadraticConfig,
    WarmUpConfig,
)
from glidepath.plugins.schedules.cosine import CosineSchedule


def test_linear_betas_run_from_1e_4_to_2e_2_over_1000_steps() -> None:
    beta = LinearSchedule(LinearConfig()).beta
    assert beta[[0, 1, 499, 999]].tolist() == pytest.approx(
        [1e-4, 1.1991991991991993e-4, 0.010040040040040039, 0.02], rel=1e-14
    )


@pytest.mark.parametrize("num_steps", [100, 1000, 4000])
def test_linear_betas_shrink_with_the_number_of_steps_so_that_the_end_is_as_noisy(num_steps: int) -> None:
    """The sum of betas, and with it log alpha_bar, tends to 10.05."""
    schedule = LinearSchedule(LinearConfig(num_steps=num_steps))
    assert float(schedule.beta.sum()) == pytest.approx(10.05)
    assert float(schedule.alpha_bar[-1]) == pytest.approx(math.exp(-10.05), rel=0.1 * 1000 / num_steps)


@pytest.mark.parametrize("num_steps", [10, 1000])
def test_cosine_alpha_bar_follows_the_cosine_until_beta_is_capped(num_steps: int) -> None:
    schedule = CosineSchedule(CosineConfig(num_steps=num_steps))
    u = torch.arange(1, num_steps, dtype=torch.float64) / num_steps
    ends = torch.tensor([0.0], dtype=torch.float64)
    curve = [(((part + 0.008) / 1.008 * math.pi / 2).cos() ** 2) for part in (u, ends)]
    torch.testing.assert_close(schedule.alpha_bar[:-1], curve[0] / curve[1])
    assert schedule.beta[-1] == 0.999


def test_the_cap_of_the_cosine_schedule_can_be_lower() -> None:
    capped, free = (CosineSchedule(CosineConfig(max_beta=cap)).beta for cap in (0.5, 0.999))
    assert torch.equal(capped, free.clamp(max=0.5))


def test_respaced_cosine_betas_are_those_of_the_references() -> None:
    beta = CosineSchedule(CosineConfig()).levels("100").beta
    assert beta[[-1, -2, 1, 0]].tolist() == pytest.approx(
        [4.128422482196914e-05, 0.0006798400685055217, 0.7499392803846628, 0.9999899991985922], rel=1e-12
    )


def test_respaced_linear_betas_are_those_of_the_references() -> None:
    levels = LinearSchedule(LinearConfig()).levels("fast27")
    assert levels.beta[[-1, -2, 1, 0]].tolist() == pytest.approx(
        [9.999999999998899e-05, 0.007214953374622413, 0.016035935935935997, 0.9721254110239479], rel=1e-12
    )
    assert float(levels.alpha[0]) ** 2 == pytest.approx(4.202152991415674e-05, rel=1e-12)


@pytest.mark.parametrize("schedule", [LinearSchedule, CosineSchedule])
def test_timesteps_are_rescaled_only_when_asked(schedule: type) -> None:
    config = LinearConfig if schedule is LinearSchedule else CosineConfig
    assert schedule(config(num_steps=4000)).levels("5").t.dtype == torch.int64
    rescaled = schedule(config(num_steps=4000, rescale_timesteps=True)).levels([4, 3999])
    assert rescaled.t.tolist() == [999.75, 1.0]


@pytest.mark.parametrize("schedule", [LinearSchedule, CosineSchedule])
def test_without_terminal_signal_the_ends_are_where_they_ought_to_be(schedule: type) -> None:
    """Lin et al. 2024, algorithm 1: alpha is 0 at the last timestep, at the first what it was."""
    config = LinearConfig if schedule is LinearSchedule else CosineConfig
    before, after = schedule(config()), schedule(config(zero_terminal_snr=True))
    assert float(after.alpha_bar[-1]) == 0
    assert float(after.beta[-1]) == 1
    assert float(after.alpha_bar[0]) == pytest.approx(float(before.alpha_bar[0]), rel=1e-12)
    slopes = after.alpha_bar.sqrt().diff() / before.alpha_bar.sqrt().diff()
    torch.testing.assert_close(slopes, slopes[:1].expand_as(slopes), rtol=1e-6, atol=0)
    torch.testing.assert_close((1 - after.beta).cumprod(0), after.alpha_bar)


def test_without_terminal_signal_times_between_timesteps_are_finite() -> None:
    schedule = LinearSchedule(LinearConfig(zero_terminal_snr=True))
    alpha, sigma = schedule.alpha_sigma(torch.tensor([998.5, 999.0]))
    assert bool(alpha.isfinite().all())
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones(2, dtype=torch.float64))
    assert float(alpha[1]) < 1e-40


def test_the_betas_of_stable_diffusion_have_evenly_spaced_roots() -> None:
    beta = QuadraticSchedule(QuadraticConfig(beta_start=0.00085, beta_end=0.012)).beta
    assert beta[[0, -1]].tolist() == pytest.approx([0.00085, 0.012], rel=1e-12)
    steps = beta.sqrt().diff()
    torch.testing.assert_close(steps, steps[:1].expand_as(steps))


def test_betas_warm_up_for_their_share_of_the_chain() -> None:
    beta = WarmUpSchedule(WarmUpConfig(num_steps=40, share=0.5, beta_end=0.01)).beta
    assert beta[19:].tolist() == [0.01] * 21
    steps = beta[:20].diff()
    torch.testing.assert_close(steps, steps[:1].expand_as(steps))


def test_a_constant_beta_leaves_a_power_of_the_image() -> None:
    schedule = ConstantSchedule(ConstantConfig(num_steps=30, beta=0.1))
    torch.testing.assert_close(schedule.alpha_bar, 0.9 ** torch.arange(1, 31, dtype=torch.float64))
