"""q(x_t | x_0), q(x_s | x_t, x_0), and x_0 from epsilon and back, as in the reference implementations."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.prediction import Prediction
from glidepath.core.spacing import timesteps

from .recorded import DATA, described, difference, make_schedule

TOLERANCE = 1e-5
RECORDED = load_file(DATA / "q_and_losses.safetensors")
DIFFUSIONS = described("q_and_losses")["diffusions"]
X_0, NOISE = RECORDED["x_start"], RECORDED["noise"]


@pytest.mark.parametrize("name", DIFFUSIONS)
def test_noised_images_are_the_references(name: str) -> None:
    row = DIFFUSIONS[name]
    schedule = make_schedule(row)
    visited = torch.tensor(timesteps(row.get("respacing", schedule.num_steps), schedule.num_steps))
    noised = schedule.add_noise(X_0, NOISE, visited[RECORDED[f"{name}.t"]])
    assert difference(noised, RECORDED[f"{name}.q_sample"]) < TOLERANCE


@pytest.mark.parametrize("name", DIFFUSIONS)
def test_the_moments_of_a_noised_image_are_the_references(name: str) -> None:
    levels, at = located(name)
    alpha, sigma = column(levels.alpha[at]), column(levels.sigma[at])
    assert difference(alpha * X_0, RECORDED[f"{name}.q_mean"]) < TOLERANCE
    assert difference((sigma**2).expand_as(X_0), RECORDED[f"{name}.q_variance"]) < TOLERANCE
    assert difference((sigma**2).log().expand_as(X_0), RECORDED[f"{name}.q_log_variance"]) < TOLERANCE


@pytest.mark.parametrize("name", DIFFUSIONS)
def test_the_posterior_is_the_references(name: str) -> None:
    """The reference gave its noised image of `q_sample` to the posterior."""
    levels, at = located(name)
    x_t = RECORDED[f"{name}.q_sample"]
    mean = column(levels.posterior_mean_coef1[at]) * X_0 + column(levels.posterior_mean_coef2[at]) * x_t
    variance = column(levels.posterior_variance[at]).expand_as(X_0)
    log_variance = column(levels.posterior_log_variance_clipped[at]).expand_as(X_0)
    assert difference(mean, RECORDED[f"{name}.posterior_mean"]) < TOLERANCE
    assert difference(variance, RECORDED[f"{name}.posterior_variance"]) < TOLERANCE
    assert difference(log_variance, RECORDED[f"{name}.posterior_log_variance_clipped"]) < TOLERANCE


@pytest.mark.parametrize("name", DIFFUSIONS)
def test_epsilon_and_x_0_follow_from_each_other_as_in_the_reference(name: str) -> None:
    levels, at = located(name)
    x_t = RECORDED[f"{name}.q_sample"]
    step = Step(0, RECORDED[f"{name}.t"], column(levels.alpha[at]), column(levels.sigma[at]))
    epsilon = Prediction(0.5 * X_0, "sample", x_t, step).epsilon
    assert difference(epsilon, RECORDED[f"{name}.eps_from_xstart"]) < TOLERANCE
    t = column(RECORDED[f"{name}.t"])
    predicted = 0.85 * x_t + 0.35 * torch.tanh(x_t + torch.cos(t / 180)) + 0.1 * torch.sin(t / 97)
    sample = Prediction(predicted, "epsilon", x_t, step).sample
    assert difference(sample, RECORDED[f"{name}.xstart_from_eps"]) < TOLERANCE


def located(name: str) -> tuple[NoiseLevels, Tensor]:
    """The levels of a recorded diffusion, and the points where its rows stand."""
    row = DIFFUSIONS[name]
    schedule = make_schedule(row)
    levels = schedule.levels(row.get("respacing", schedule.num_steps))
    return levels, len(levels) - 1 - RECORDED[f"{name}.t"]


def column(values: Tensor) -> Tensor:
    return values.to(torch.float32).reshape(-1, 1, 1, 1)
