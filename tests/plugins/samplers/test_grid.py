"""Which noise levels a walk visits."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from glidepath.core.errors import PartError
from glidepath.core.levels import NoiseLevels
from glidepath.core.variance_preserving import VariancePreservingSchedule
from glidepath.plugins.samplers.configs import PndmConfig
from glidepath.plugins.samplers.ddim import DdimSampler
from glidepath.plugins.samplers.grid_configs import EulerConfig
from glidepath.plugins.samplers.pndm import PndmSampler

BETAS = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
SCHEDULE = VariancePreservingSchedule(BETAS)


def grid(schedule: VariancePreservingSchedule = SCHEDULE, strength: float = 1.0, **given: Any) -> NoiseLevels:
    return DdimSampler(EulerConfig(**given)).levels(schedule, strength)


def ratio(levels: NoiseLevels) -> torch.Tensor:
    return (levels.sigma / levels.alpha)[:-1]


def test_by_default_the_levels_are_the_schedules() -> None:
    levels, own = grid(steps=7), SCHEDULE.levels(7)
    for table in ("t", "alpha", "sigma", "beta"):
        assert torch.equal(getattr(levels, table), getattr(own, table))


def test_karras_spaces_the_seventh_root_of_sigma_evenly() -> None:
    """Karras et al. 2022, equation 5 with rho = 7."""
    roots = ratio(grid(steps=9, sigmas="karras")) ** (1 / 7)
    torch.testing.assert_close(roots.diff(), roots.diff()[:1].expand(8))


def test_exponential_spaces_the_logarithm_of_sigma_evenly() -> None:
    logs = ratio(grid(steps=9, sigmas="exponential")).log()
    torch.testing.assert_close(logs.diff(), logs.diff()[:1].expand(8))


def test_time_visits_fractions_where_timesteps_would_be_rounded() -> None:
    levels = grid(steps=20, sigmas="time")
    torch.testing.assert_close(levels.t, torch.linspace(999, 0, 20, dtype=torch.float64))
    assert (levels.t.round() - SCHEDULE.levels(20).t).abs().max() <= 1


@pytest.mark.parametrize("sigmas", ["time", "karras", "exponential"])
def test_levels_spaced_anew_have_the_ends_of_the_steps_and_belong_to_their_times(sigmas: str) -> None:
    levels = grid(steps="leading8+1", sigmas=sigmas)
    assert levels.t[[0, -1]].tolist() == pytest.approx([876, 1])
    alpha, sigma = SCHEDULE.alpha_sigma(levels.t)
    torch.testing.assert_close(levels.alpha[:-1], alpha)
    torch.testing.assert_close(levels.sigma[:-1], sigma)
    assert (float(levels.alpha[-1]), float(levels.sigma[-1])) == (1, 0)


def test_the_denoiser_may_hear_of_the_nearest_timestep_only() -> None:
    exact, rounded = (
        grid(steps=9, sigmas="karras", timesteps=timesteps) for timesteps in ("exact", "rounded")
    )
    assert not rounded.t.is_floating_point()
    assert torch.equal(rounded.t, exact.t.round().to(torch.int64))
    assert torch.equal(rounded.sigma, exact.sigma)


def test_rescaled_timesteps_stay_rescaled() -> None:
    schedule = VariancePreservingSchedule(BETAS.repeat_interleave(4) / 4, rescale_timesteps=True)
    levels = grid(schedule, steps=9, sigmas="karras")
    assert float(levels.t[0]) == pytest.approx(3999 / 4)


def test_noise_levels_may_begin_at_a_bound() -> None:
    levels = grid(steps=9, sigmas="karras", sigma_max=30.0)
    assert float(ratio(levels)[0]) == pytest.approx(30)
    assert float(ratio(levels)[-1]) == pytest.approx(float(ratio(SCHEDULE.levels(9))[-1]))
    far = grid(steps=9, sigmas="karras", sigma_max=1e9)
    assert float(ratio(far)[0]) == pytest.approx(float(ratio(SCHEDULE.levels(9))[0]))


def test_an_infinite_noise_level_cannot_be_spaced_unless_bounded() -> None:
    schedule = VariancePreservingSchedule(BETAS, zero_terminal_snr=True)
    with pytest.raises(PartError, match=r"sigmas: karras .* infinite .* set sigma_max"):
        grid(schedule, steps=9, sigmas="karras")
    assert float(ratio(grid(schedule, steps=9, sigmas="karras", sigma_max=80.0))[0]) == pytest.approx(80)


def test_the_walk_may_end_at_the_noise_of_the_first_timestep() -> None:
    levels = grid(steps="uniform9", end="first")
    assert float(levels.sigma[-1] ** 2) == pytest.approx(1e-4)
    assert float(levels.alpha[-1] ** 2) == pytest.approx(1 - 1e-4)


@pytest.mark.parametrize("sigmas", ["schedule", "karras"])
def test_a_share_of_the_walk_is_the_end_of_all_of_it(sigmas: str) -> None:
    whole, part = grid(steps=10, sigmas=sigmas), grid(strength=0.4, steps=10, sigmas=sigmas)
    assert len(part) == 4
    assert torch.equal(part.alpha, whole.alpha[-5:])


def test_pndm_warms_up_over_the_middles_of_its_first_three_steps() -> None:
    levels = PndmSampler(PndmConfig(steps="leading10")).levels(SCHEDULE)
    assert levels.t.tolist() == [900, 850, 800, 750, 700, 650, 600, 500, 400, 300, 200, 100, 0]
    half = PndmSampler(PndmConfig(steps="leading10")).levels(SCHEDULE, 0.5)
    assert half.t.tolist() == [400, 350, 300, 250, 200, 150, 100, 0]
    short = PndmSampler(PndmConfig(steps=(0, 300))).levels(SCHEDULE)
    assert short.t.tolist() == [300, 150, 0]
