"""The grid of noise levels: its rows, and the posterior q(x_s | x_t, x_0) between neighbours."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from glidepath.core.errors import PartError
from glidepath.core.levels import NoiseLevels


def variance_preserving(noise: Tensor) -> tuple[Tensor, Tensor]:
    return (1 - noise**2).sqrt(), noise


def variance_exploding(noise: Tensor) -> tuple[Tensor, Tensor]:
    return torch.ones_like(noise), 80 * noise


def rectified_flow(noise: Tensor) -> tuple[Tensor, Tensor]:
    return 1 - noise, noise


Process = Callable[[Tensor], tuple[Tensor, Tensor]]
PROCESSES = st.sampled_from([variance_preserving, variance_exploding, rectified_flow])
NOISES = st.lists(st.integers(1, 999), min_size=1, max_size=12, unique=True).map(
    lambda chosen: torch.tensor([*sorted(chosen, reverse=True), 0], dtype=torch.float64) / 1000
)


@given(process=PROCESSES, noise=NOISES)
def test_a_step_forward_after_the_cleaner_point_arrives_at_the_noisier_one(
    process: Process, noise: Tensor
) -> None:
    """x_t = ratio x_s + sqrt(beta) z has the variance of q(x_t | x_0)."""
    levels = NoiseLevels(torch.arange(len(noise) - 1), *process(noise))
    ratio = levels.alpha[:-1] / levels.alpha[1:]
    torch.testing.assert_close((ratio * levels.sigma[1:]) ** 2 + levels.beta, levels.sigma[:-1] ** 2)
    assert bool((levels.beta > 0).all())


@given(process=PROCESSES, noise=NOISES)
def test_the_posterior_is_the_conditional_of_the_joint_gaussian(process: Process, noise: Tensor) -> None:
    """Oracle: given x_0, (x_s, x_t) is jointly Gaussian, and conditioning on x_t is linear algebra."""
    levels = NoiseLevels(torch.arange(len(noise) - 1), *process(noise))
    for index in range(len(levels)):
        alpha_t, alpha_s = levels.alpha[index], levels.alpha[index + 1]
        variance_t, variance_s = levels.sigma[index] ** 2, levels.sigma[index + 1] ** 2
        covariance = alpha_t / alpha_s * variance_s
        gain = covariance / variance_t
        torch.testing.assert_close(levels.posterior_mean_coef2[index], gain)
        torch.testing.assert_close(
            levels.posterior_mean_coef1[index], alpha_s - gain * alpha_t, rtol=1e-6, atol=1e-12
        )
        torch.testing.assert_close(
            levels.posterior_variance[index], variance_s - gain * covariance, rtol=1e-6, atol=1e-12
        )


def test_the_posterior_of_a_variance_preserving_chain_is_that_of_ddpm() -> None:
    beta = torch.tensor([0.3, 0.2, 0.1], dtype=torch.float64)  # noisy to clean
    alpha_bar = (1 - beta.flip(0)).cumprod(0).flip(0)
    before = torch.cat([alpha_bar[1:], torch.ones(1, dtype=torch.float64)])
    levels = NoiseLevels(
        torch.arange(3),
        torch.cat([alpha_bar, before[-1:]]).sqrt(),
        (1 - torch.cat([alpha_bar, before[-1:]])).sqrt(),
    )
    torch.testing.assert_close(levels.beta, beta)
    torch.testing.assert_close(levels.posterior_mean_coef1, before.sqrt() * beta / (1 - alpha_bar))
    torch.testing.assert_close(
        levels.posterior_mean_coef2, (1 - beta).sqrt() * (1 - before) / (1 - alpha_bar)
    )
    torch.testing.assert_close(levels.posterior_variance, beta * (1 - before) / (1 - alpha_bar))


def test_before_a_clean_image_the_point_before_lends_its_posterior_variance() -> None:
    levels = NoiseLevels(torch.tensor([2, 1, 0]), *variance_preserving(torch.tensor([0.9, 0.6, 0.2, 0.0])))
    assert levels.posterior_variance[-1] == 0
    assert levels.posterior_log_variance_clipped[-1] == levels.posterior_log_variance_clipped[-2]
    torch.testing.assert_close(
        levels.posterior_log_variance_clipped[:-1].exp(), levels.posterior_variance[:-1]
    )
    assert levels.fixed_large_variance.tolist() == [
        *levels.beta[:-1].tolist(),
        float(levels.posterior_variance[-2]),
    ]


def test_a_walk_of_one_step_has_finite_variances() -> None:
    levels = NoiseLevels(torch.tensor([5]), torch.tensor([0.6, 1.0]), torch.tensor([0.8, 0.0]))
    torch.testing.assert_close(levels.posterior_log_variance_clipped, levels.beta.log())
    torch.testing.assert_close(levels.fixed_large_variance, levels.beta)


def test_a_walk_that_ends_noisy_keeps_its_own_last_variance() -> None:
    levels = NoiseLevels(torch.tensor([2, 1]), *variance_preserving(torch.tensor([0.9, 0.6, 0.2])))
    torch.testing.assert_close(levels.posterior_log_variance_clipped.exp(), levels.posterior_variance)
    assert torch.equal(levels.fixed_large_variance, levels.beta)


def test_the_first_noise_has_the_deviation_of_data_of_unit_variance() -> None:
    sigma = torch.tensor([0.8, 0.0])
    assert NoiseLevels(torch.tensor([1]), torch.tensor([0.6, 1.0]), sigma).init_noise_sigma == pytest.approx(
        1
    )
    assert NoiseLevels(torch.tensor([1]), torch.tensor([1.0, 1.0]), sigma).init_noise_sigma == pytest.approx(
        1.64**0.5
    )


def test_steps_count_from_the_noisiest_and_carry_float32_scalars() -> None:
    levels = NoiseLevels(
        torch.tensor([900, 10]), torch.tensor([0.1, 0.9, 1.0]), torch.tensor([0.9, 0.1, 0.0])
    )
    steps = list(levels.steps("cpu"))
    assert len(levels) == 2
    assert [step.index for step in steps] == [0, 1]
    assert [step.t.item() for step in steps] == [900, 10]
    assert {step.t.dtype for step in steps} == {torch.int64}
    assert {(step.alpha.dtype, step.alpha.ndim) for step in steps} == {(torch.float32, 0)}
    assert [round(float(step.sigma), 6) for step in steps] == [0.9, 0.1]


def test_continuous_times_reach_the_denoiser_as_float32() -> None:
    t = torch.tensor([0.75, 0.25], dtype=torch.float64)
    levels = NoiseLevels(t, torch.tensor([0.25, 0.75, 1.0]), torch.tensor([0.75, 0.25, 0.0]))
    assert [(step.t.dtype, step.t.item()) for step in levels.steps("cpu")] == [
        (torch.float32, 0.75),
        (torch.float32, 0.25),
    ]


def test_columns_are_rounded_to_float32_once() -> None:
    levels = NoiseLevels(torch.tensor([1]), torch.tensor([0.6, 1.0]), torch.tensor([0.8, 0.0]))
    column = torch.tensor([1 / 3], dtype=torch.float64)
    ((first, second),) = levels.to_device("cpu", column, 2 * column)
    assert first.item() == column.float().item()
    assert second.item() == (2 * column).float().item()


@pytest.mark.parametrize(
    ("t", "alpha", "sigma"),
    [
        ([1, 0], [0.5, 1.0], [0.5, 0.0]),
        ([1], [0.5, 1.0], [0.5]),
        ([], [1.0], [0.0]),
        ([[1]], [0.5, 1.0], [0.5, 0.0]),
    ],
)
def test_tables_that_do_not_fit_each_other_are_refused(
    t: list[int], alpha: list[float], sigma: list[float]
) -> None:
    with pytest.raises(PartError, match="noise levels need"):
        NoiseLevels(torch.tensor(t), torch.tensor(alpha), torch.tensor(sigma))


@pytest.mark.parametrize(
    ("alpha", "sigma", "told"),
    [
        (
            [-0.1, 0.8, 1.0],
            [1.1, 0.6, 0.0],
            r"at point 0 \(t = 9\) alpha is nan and sigma 1.04881; .*capping beta",
        ),
        ([0.1, 1.2, 1.0], [0.9, -0.2, 0.0], r"at point 1 \(t = 4\) alpha is 1.09545 and sigma nan"),
        ([0.1, 0.8, 1.2], [0.9, 0.2, -0.2], r"at point 2 alpha is 1.09545 and sigma nan"),
    ],
)
def test_levels_that_are_no_numbers_are_refused_with_the_first(
    alpha: list[float], sigma: list[float], told: str
) -> None:
    with pytest.raises(PartError, match=told):
        NoiseLevels(torch.tensor([9, 4]), torch.tensor(alpha).sqrt(), torch.tensor(sigma).sqrt())


def test_each_step_says_how_many_there_are_and_how_noisy_it_is() -> None:
    """sigma / alpha as a Python number, so that nobody reads a device to decide by it."""
    levels = NoiseLevels(
        torch.arange(3).flip(0), torch.tensor([0.6, 0.8, 0.96, 1]), torch.tensor([0.8, 0.6, 0.28, 0])
    )
    steps = list(levels.steps("cpu"))
    assert [step.num_steps for step in steps] == [3, 3, 3]
    assert [step.sigma_over_alpha for step in steps] == pytest.approx([4 / 3, 3 / 4, 7 / 24])
    assert all(isinstance(step.sigma_over_alpha, float) for step in steps)


@given(process=PROCESSES, count=st.integers(1, 6))
def test_the_tail_is_the_same_grid_from_a_later_point_on(process: Process, count: int) -> None:
    noise = torch.linspace(0.9, 0.1, 6, dtype=torch.float64)
    alpha, sigma = process(torch.cat([noise, torch.zeros(1)]))
    levels = NoiseLevels(torch.arange(6).flip(0), alpha, sigma)
    tail = levels.last(count)
    assert len(tail) == count
    for table in ("t", "alpha", "sigma", "beta", "posterior_variance"):
        expected = getattr(levels, table)[6 - count :]
        torch.testing.assert_close(getattr(tail, table), expected, rtol=0, atol=0)


@pytest.mark.parametrize("count", [0, -1, 3])
def test_a_tail_longer_than_the_grid_or_empty_is_refused(count: int) -> None:
    levels = NoiseLevels(torch.tensor([1, 0]), torch.tensor([0.6, 0.8, 1]), torch.tensor([0.8, 0.6, 0]))
    with pytest.raises(PartError, match=f"a grid of 2 points has no last {count}"):
        levels.last(count)


def test_another_end_point_changes_the_last_step_alone() -> None:
    alpha = torch.tensor([0.1, 0.6, 0.9, 1.0], dtype=torch.float64)
    levels = NoiseLevels(torch.tensor([9, 5, 2]), alpha, (1 - alpha**2).sqrt())
    end = torch.tensor(0.95, dtype=torch.float64)
    changed = levels.with_end(end, (1 - end**2).sqrt())
    assert changed.alpha.tolist() == [0.1, 0.6, 0.9, 0.95]
    assert torch.equal(changed.beta[:-1], levels.beta[:-1])
    # of a chain that preserves variance, beta is 1 - (alpha_t / alpha_s)^2
    assert float(changed.beta[-1]) == pytest.approx(1 - (0.9 / 0.95) ** 2)
