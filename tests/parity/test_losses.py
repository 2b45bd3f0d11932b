"""The training losses of guided-diffusion: the squared error and the variational bound.

Its RESCALED_MSE is our loss: the squared error, and the bound of the whole chain (num_steps times that of one
step) times 0.001. Its other losses are not trained with here; they are put together from the same two terms.
"""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.prediction import Prediction, PredictionKind
from glidepath.plugins.train.losses.loss import squared_error
from glidepath.plugins.train.losses.variational import VariationalBound

from .recorded import DATA, described, difference, make_schedule

TOLERANCE = 1e-5
RECORDED = load_file(DATA / "q_and_losses.safetensors")
DIFFUSIONS = {name: row for name, row in described("q_and_losses")["diffusions"].items() if row.get("losses")}
X_0, NOISE = RECORDED["x_start"], RECORDED["noise"]
RECORDED_LOSSES = [key for key in RECORDED if ".loss." in key]
KINDS: dict[str, PredictionKind] = {"EPSILON": "epsilon", "START_X": "sample"}


@pytest.mark.parametrize("key", RECORDED_LOSSES)
def test_a_loss_is_the_references(key: str) -> None:
    """Every loss type x what is predicted x how its variance is had, and the terms of each."""
    name, _, loss, mean, variance, term = key.split(".")
    case = Case(name)
    if loss.endswith("KL"):
        whole = case.bound(mean, variance)
        ours = whole * len(case.levels) if loss == "RESCALED_KL" else whole
    else:
        terms = {"mse": case.squared_error(mean)}
        if variance.startswith("LEARNED"):
            share = len(case.levels) / 1000 if loss == "RESCALED_MSE" else 1
            terms["vb"] = share * case.bound(mean, variance)
        ours = torch.stack(list(terms.values())).sum(0) if term == "loss" else terms[term]
    assert difference(ours, RECORDED[key]) < TOLERANCE


@pytest.mark.parametrize("name", DIFFUSIONS)
def test_our_loss_is_the_references_rescaled_one(name: str) -> None:
    """The squared error, and 0.001 times the bound of the whole chain."""
    case = Case(name)
    prediction = case.prediction("epsilon")
    bound = VariationalBound(case.levels).of_variance(prediction, X_0, case.t)
    loss = squared_error(prediction, X_0, NOISE) + 0.001 * len(case.levels) * bound
    assert difference(loss, RECORDED[f"{name}.loss.RESCALED_MSE.EPSILON.LEARNED_RANGE.loss"]) < TOLERANCE


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

    def squared_error(self, mean: str) -> Tensor:
        """[B], in what is predicted; no published model predicts x_{t-1}, so it is written out here."""
        if mean in KINDS:
            return squared_error(self.prediction(KINDS[mean]), X_0, NOISE)
        wanted = self.column(self.levels.posterior_mean_coef1) * X_0
        wanted = wanted + self.column(self.levels.posterior_mean_coef2) * self.x_t
        return (wanted - self.output).square().flatten(1).mean(1)

    def bound(self, mean: str, variance: str) -> Tensor:
        """[B], in bits per dimension."""
        levels = self.levels
        bound = VariationalBound(levels)
        if variance == "LEARNED_RANGE":
            return bound.of_variance(self.prediction(KINDS[mean]), X_0, self.t)
        log_variances = {
            "FIXED_SMALL": self.column(levels.posterior_log_variance_clipped),
            "FIXED_LARGE": self.column(levels.fixed_large_variance.log()),
            "LEARNED": self.variance(shift=-4),
        }
        return bound.bits(self.sample(mean), log_variances[variance].expand_as(X_0), X_0, self.t)

    def sample(self, mean: str) -> Tensor:
        """The x_0 that the output stands for."""
        if mean in KINDS:
            return self.prediction(KINDS[mean]).sample
        coef1, coef2 = map(self.column, (self.levels.posterior_mean_coef1, self.levels.posterior_mean_coef2))
        return (self.output - coef2 * self.x_t) / coef1

    def column(self, table: Tensor) -> Tensor:
        return table[self.at].to(torch.float32).reshape(-1, 1, 1, 1)

    def variance(self, shift: float = 0.0) -> Tensor:
        time = self.column(self.levels.t)
        return 0.8 * torch.cos(1.5 * torch.tanh(0.5 * self.x_t) + time / 150) + shift

    def prediction(self, kind: PredictionKind) -> Prediction:
        fraction = (self.variance() + 1) / 2
        return Prediction(self.output, kind, self.x_t, self.step, variance_fraction=fraction)
