"""Noise schedules: the interface, and chains given by their betas."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from glidepath.core.schedule import NoiseSchedule
from glidepath.core.variance_preserving import VariancePreservingSchedule

BETAS = [0.1, 0.2, 0.05, 0.4, 0.3]


class Exploding(NoiseSchedule):
    """sigma = t + 1, alpha = 1: all that a new schedule needs to say."""

    num_steps = 10

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        time = t.to(torch.float64)
        return torch.ones_like(time), time + 1


def test_a_schedule_that_only_knows_alpha_and_sigma_has_levels_down_to_a_clean_image() -> None:
    levels = Exploding().levels([0, 4, 9])
    assert levels.t.tolist() == [9, 4, 0]
    assert levels.alpha.tolist() == [1, 1, 1, 1]
    assert levels.sigma.tolist() == [10, 5, 1, 0]
    assert levels.beta.tolist() == [75, 24, 1]


@given(betas=st.lists(st.floats(1e-6, 0.999), min_size=1, max_size=30))
def test_a_chain_of_betas_preserves_variance(betas: list[float]) -> None:
    schedule = VariancePreservingSchedule(betas)
    alpha, sigma = schedule.alpha_sigma(torch.arange(len(betas)))
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones(len(betas), dtype=torch.float64))


def test_alpha_bar_is_the_product_of_what_each_step_keeps() -> None:
    alpha, _ = VariancePreservingSchedule(BETAS).alpha_sigma(torch.tensor([0, 2]))
    torch.testing.assert_close(alpha**2, torch.tensor([0.9, 0.9 * 0.8 * 0.95], dtype=torch.float64))


def test_times_may_have_any_shape() -> None:
    schedule = VariancePreservingSchedule(BETAS)
    for t in (torch.tensor(3), torch.tensor([[0, 1], [2, 4]]), torch.tensor([[0.5], [1.25]])):
        alpha, sigma = schedule.alpha_sigma(t)
        assert alpha.shape == sigma.shape == t.shape
        assert alpha.dtype == sigma.dtype == torch.float64


def test_a_denoiser_may_receive_a_quarter_of_the_log_ratio_in_place_of_t() -> None:
    levels = VariancePreservingSchedule(BETAS, time="log-ratio").levels([0, 2])
    left = torch.tensor([0.9 * 0.8 * 0.95, 0.9], dtype=torch.float64)
    torch.testing.assert_close(levels.t, ((1 - left) / left).log() / 8)


def test_a_whole_number_means_the_same_as_an_integer_and_as_a_float() -> None:
    schedule = VariancePreservingSchedule(BETAS)
    t = torch.arange(5)
    for whole, fractional in zip(schedule.alpha_sigma(t), schedule.alpha_sigma(t.double()), strict=True):
        torch.testing.assert_close(whole, fractional, rtol=1e-14, atol=0)


@given(t=st.floats(0, 4))
def test_between_timesteps_the_log_snr_is_linear(t: float) -> None:
    schedule = VariancePreservingSchedule(BETAS)

    def log_snr(time: Tensor) -> Tensor:
        alpha, sigma = schedule.alpha_sigma(time)
        return 2 * (alpha.log() - sigma.log())

    below = min(int(t), 3)
    ends = log_snr(torch.tensor([below, below + 1]))
    expected = ends[0] + (t - below) * (ends[1] - ends[0])
    torch.testing.assert_close(log_snr(torch.tensor(t, dtype=torch.float64)), expected)


@pytest.mark.parametrize("t", [-1, 5, -0.1, 4.01, float("nan")])
def test_times_out_of_range_are_refused(t: float) -> None:
    with pytest.raises(ValueError, match="times run from 0 to 4"):
        VariancePreservingSchedule(BETAS).alpha_sigma(torch.tensor([0 * t, t]))


@pytest.mark.parametrize(
    ("alpha_bar", "told"),
    [
        ([0.9, 0.0, 0.0], r"beta\[1\] is 1.0: alpha_bar falls to 0; cap beta, .* at 0.999$"),
        ([0.9, 0.5, -0.1], r"beta\[2\] is 1.2: alpha_bar falls to 0"),
        ([1.0, 0.5], r"beta\[0\] is 0.0: alpha_bar does not fall; .* from below 1 at the first$"),
        ([0.5, 0.6], r"beta\[1\] is -0.\d+: alpha_bar does not fall"),
        ([0.9, float("nan")], r"beta\[1\] is nan: .* a number above 0 at every timestep$"),
    ],
)
def test_a_beta_that_a_wrong_alpha_bar_gives_is_told_with_what_helps(
    alpha_bar: list[float], told: str
) -> None:
    chain = torch.tensor([1.0, *alpha_bar], dtype=torch.float64)
    with pytest.raises(ValueError, match=told):
        VariancePreservingSchedule(1 - chain[1:] / chain[:-1])


@pytest.mark.parametrize("betas", [[1.0, 0.1], [0.1, 1.01], [0.0], [-0.1], [0.1, float("nan")], [], [[0.1]]])
def test_betas_out_of_range_are_refused(betas: list[float]) -> None:
    with pytest.raises(ValueError, match="beta"):
        VariancePreservingSchedule(betas)


@given(chosen=st.sets(st.integers(0, 4), min_size=1))
def test_a_respaced_chain_keeps_alpha_bar(chosen: set[int]) -> None:
    schedule = VariancePreservingSchedule(BETAS)
    levels = schedule.levels(sorted(chosen))
    assert levels.t.tolist() == sorted(chosen, reverse=True)
    assert torch.equal(levels.alpha[:-1], schedule.alpha_bar[levels.t].sqrt())
    product = (1 - levels.beta).flip(0).cumprod(0).flip(0)
    torch.testing.assert_close(product, schedule.alpha_bar[levels.t])


def test_a_whole_chain_keeps_its_betas_to_the_last_bit() -> None:
    schedule = VariancePreservingSchedule([1e-9] * 50)
    assert torch.equal(schedule.levels(50).beta, schedule.beta)


def test_rescaled_timesteps_reach_the_denoiser_out_of_a_thousand() -> None:
    schedule = VariancePreservingSchedule(BETAS, rescale_timesteps=True)
    assert schedule.levels([1, 4]).t.tolist() == [800, 200]
    assert schedule.model_time(torch.tensor([3])).tolist() == [600]
    assert VariancePreservingSchedule(BETAS).model_time(torch.tensor([3])).tolist() == [3]


def test_each_sample_is_noised_to_its_own_time() -> None:
    schedule = VariancePreservingSchedule(BETAS)
    x_0, noise = torch.full((2, 3, 4, 4), 2.0), torch.full((2, 3, 4, 4), -1.0)
    x_t = schedule.add_noise(x_0, noise, torch.tensor([0, 4]))
    assert x_t.dtype == torch.float32
    for row, alpha_bar in zip(x_t, (0.9, 0.9 * 0.8 * 0.95 * 0.6 * 0.7), strict=True):
        torch.testing.assert_close(row, torch.full((3, 4, 4), 2 * alpha_bar**0.5 - (1 - alpha_bar) ** 0.5))


def test_samples_of_any_number_of_dimensions_are_noised() -> None:
    schedule = VariancePreservingSchedule(BETAS)
    for shape in ((2, 3), (2, 3, 8), (2, 3, 4, 4, 4)):
        assert schedule.add_noise(torch.ones(shape), torch.ones(shape), torch.tensor([1, 2])).shape == shape
