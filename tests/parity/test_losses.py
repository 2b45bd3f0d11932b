"""The training losses of guided-diffusion: the squared error and the variational bound.

Its RESCALED_MSE is our loss: the squared error, and the bound of the whole chain (num_steps times that of one
step) times 0.001. A learned variance that is not a range is not trained here; its bound is compared too.
"""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.prediction import Prediction, PredictionKind
from glidepath.plugins.train.loss import squared_error
from glidepath.plugins.train.variational import VariationalBound

from .recorded import DATA, described, difference, make_schedule

TOLERANCE = 1e-5
RECORDED = load_file(DATA / "q_and_losses.safetensors")
DIFFUSIONS = {name: row for name, row in described("q_and_losses")["diffusions"].items() if row.get("losses")}
X_0, NOISE = RECORDED["x_start"], RECORDED["noise"]
# how a case of the recording is called: loss type, what is predicted, which variance
MEANS: list[tuple[str, PredictionKind, str]] = [
    ("MSE", "epsilon", "LEARNED_RANGE"),
    ("MSE", "epsilon", "LEARNED"),
    ("MSE", "sample", "FIXED_SMALL"),
]
REFERENCE_NAMES = {"epsilon": "EPSILON", "sample": "START_X"}


@pytest.mark.parametrize(("loss", "kind", "variance"), MEANS)
@pytest.mark.parametrize("name", DIFFUSIONS)
def test_the_squared_error_is_the_references(
    name: str, loss: str, kind: PredictionKind, variance: str
) -> None:
    case = Case(name)
    recorded = RECORDED[f"{name}.loss.{loss}.{REFERENCE_NAMES[kind]}.{variance}.mse"]
    assert difference(squared_error(case.prediction(kind), X_0, NOISE), recorded) < TOLERANCE


@pytest.mark.parametrize("name", DIFFUSIONS)
def test_the_bound_of_a_learned_range_is_the_references(name: str) -> None:
    case = Case(name)
    ours = VariationalBound(case.levels).of_variance(case.prediction("epsilon"), X_0, case.t)
    assert difference(ours, RECORDED[f"{name}.loss.MSE.EPSILON.LEARNED_RANGE.vb"]) < TOLERANCE


@pytest.mark.parametrize("name", DIFFUSIONS)
def test_the_weight_of_the_bound_in_the_loss_is_the_references(name: str) -> None:
    case = Case(name)
    prediction = case.prediction("epsilon")
    bound = VariationalBound(case.levels).of_variance(prediction, X_0, case.t)
    loss = squared_error(prediction, X_0, NOISE) + 0.001 * len(case.levels) * bound
    assert difference(loss, RECORDED[f"{name}.loss.RESCALED_MSE.EPSILON.LEARNED_RANGE.loss"]) < TOLERANCE


@pytest.mark.parametrize("kind", ["START_X.FIXED_SMALL", "PREVIOUS_X.FIXED_LARGE", "EPSILON.LEARNED"])
@pytest.mark.parametrize("name", DIFFUSIONS)
def test_the_bound_of_any_mean_and_variance_is_the_references(name: str, kind: str) -> None:
    """loss type KL, which trains the mean too."""
    case = Case(name)
    levels, output = case.levels, case.output
    mean, variance = kind.split(".")
    if mean == "EPSILON":
        sample = case.prediction("epsilon").sample
    elif mean == "START_X":
        sample = output
    else:
        sample = (output - case.column(levels.posterior_mean_coef2) * case.x_t) / case.column(
            levels.posterior_mean_coef1
        )
    log_variances = {
        "FIXED_SMALL": case.column(levels.posterior_log_variance_clipped),
        "FIXED_LARGE": case.column(levels.fixed_large_variance.log()),
        "LEARNED": case.variance(shift=-4),
    }
    log_variance = log_variances[variance].expand_as(X_0)
    ours = VariationalBound(levels).bits(sample, log_variance, X_0, case.t)
    assert difference(ours, RECORDED[f"{name}.loss.KL.{kind}.loss"]) < TOLERANCE


class Case:
    """A diffusion of the recording, and the closed formula that stands for a network in it."""

    def __init__(self, name: str) -> None:
        row = DIFFUSIONS[name]
        schedule = make_schedule(row)
        self.levels: NoiseLevels = schedule.levels(row.get("respacing", schedule.num_steps))
        self.t: Tensor = RECORDED[f"{name}.t"]
        alpha, sigma = self.column(self.levels.alpha[:-1]), self.column(self.levels.sigma[:-1])
        self.x_t = alpha * X_0 + sigma * NOISE
        self.step = Step(0, self.levels.t[self.at], alpha, sigma)
        time = self.column(self.levels.t)
        output = 0.85 * self.x_t + 0.35 * torch.tanh(self.x_t + torch.cos(time / 180))
        self.output = output + 0.1 * torch.sin(time / 97)

    @property
    def at(self) -> Tensor:
        """Where the samples stand among the levels, which run from noisy to clean."""
        return len(self.levels) - 1 - self.t

    def column(self, table: Tensor) -> Tensor:
        return table[self.at].to(torch.float32).reshape(-1, 1, 1, 1)

    def variance(self, shift: float = 0.0) -> Tensor:
        time = self.column(self.levels.t)
        return 0.8 * torch.cos(1.5 * torch.tanh(0.5 * self.x_t) + time / 150) + shift

    def prediction(self, kind: PredictionKind) -> Prediction:
        fraction = (self.variance() + 1) / 2
        return Prediction(self.output, kind, self.x_t, self.step, variance_fraction=fraction)
