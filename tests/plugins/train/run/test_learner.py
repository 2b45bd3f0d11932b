"""The optimizer, the clipping of gradients, and the moving average of the weights."""

from __future__ import annotations

import math

import pytest
import torch
from tests.plugins.train.tiny import config
from torch import nn

from glidepath.plugins.train.run.learner import Learner
from glidepath.plugins.train.run.rates import ema_decay, rise_and_fall

CPU = torch.device("cpu")


def learner_of(modules: nn.ModuleDict, gradient_clip: float = 0.0) -> Learner:
    return Learner(modules, CPU, config(gradient_clip=gradient_clip))


def test_the_moving_average_is_the_sum_of_its_closed_form() -> None:
    """averaged_n = prod(d_k) w_0 + sum_k (1 - d_k) prod_{j > k}(d_j) w_k."""
    modules = nn.ModuleDict({"a": nn.Linear(3, 2)})
    learner = learner_of(modules)
    decays = [ema_decay(0.8, done) for done in range(20)]
    weights = [modules["a"].weight.detach().double()]  # type: ignore[union-attr, operator]
    for decay in decays:
        learner.update([modules["a"](torch.randn(4, 3)).square().mean()], 0.05, decay)
        weights.append(modules["a"].weight.detach().double())  # type: ignore[union-attr, operator]
    shares = [math.prod(decays)] + [(1 - decays[k]) * math.prod(decays[k + 1 :]) for k in range(20)]
    assert sum(shares) == pytest.approx(1)
    expected = sum(share * weight for share, weight in zip(shares, weights, strict=True))
    averaged = dict(learner.averaged.named_parameters())["a.weight"]
    torch.testing.assert_close(averaged.double(), expected, rtol=1e-5, atol=1e-6)


def test_buffers_are_taken_over_into_the_average() -> None:
    modules = nn.ModuleDict({"a": nn.BatchNorm1d(3)})
    learner = learner_of(modules)
    for _ in range(3):
        learner.update([modules["a"](torch.randn(8, 3) + 5).square().mean()], 0.01, 0.9)
    ours, theirs = dict(learner.averaged.named_buffers()), dict(modules.named_buffers())
    assert float(theirs["a.running_mean"].abs().min()) > 0.5
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_frozen_parameters_stay_as_they_are() -> None:
    modules = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
    modules["a"].requires_grad_(False)
    before = modules["a"].weight.clone()  # type: ignore[union-attr, operator]
    learner = learner_of(modules)
    learner.update([modules["b"](modules["a"](torch.randn(4, 3))).square().mean()], 0.1, 0.5)
    averaged = dict(learner.averaged.named_parameters())["a.weight"]
    assert torch.equal(modules["a"].weight, before)  # type: ignore[arg-type]
    assert torch.equal(averaged, before)


@pytest.mark.parametrize(("clip", "expected"), [(0.0, 500.0), (1.0, 1.0), (1000.0, 500.0)])
def test_gradients_are_clipped_to_their_common_norm(clip: float, expected: float) -> None:
    modules = nn.ModuleDict({"a": nn.Linear(1, 1, bias=False), "b": nn.Linear(1, 1, bias=False)})
    learner = learner_of(modules, gradient_clip=clip)
    a, b = modules["a"].weight, modules["b"].weight
    learner.update([(300 * a + 400 * b).sum()], 0.1, 0.5)  # type: ignore[operator]
    gradients = torch.cat([value.grad.flatten() for value in modules.parameters() if value.grad is not None])
    assert float(gradients.norm()) == pytest.approx(expected, rel=1e-4)
    assert float(gradients[0] / gradients[1]) == pytest.approx(0.75)


def test_a_step_is_that_of_adamw() -> None:
    """Loshchilov & Hutter 2019, algorithm 2, written out."""
    modules = nn.ModuleDict({"a": nn.Linear(3, 1, bias=False)})
    learner = Learner(modules, CPU, config(weight_decay=0.1, gradient_clip=0.0))
    (weight,) = modules.parameters()
    expected = weight.detach().double().clone()
    m = v = torch.zeros(1, 3, dtype=torch.float64)
    for step in range(1, 6):
        x = torch.randn(1, 3)
        rate = 0.1 / step
        learner.update([(weight * x).sum()], rate, 0.9)
        m, v = 0.9 * m + 0.1 * x.double(), 0.99 * v + 0.01 * x.double() ** 2
        m_hat, v_hat = m / (1 - 0.9**step), v / (1 - 0.99**step)
        expected = expected - rate * 0.1 * expected - rate * m_hat / (v_hat.sqrt() + 1e-8)
    torch.testing.assert_close(weight.detach().double(), expected, rtol=1e-5, atol=1e-6)


def test_the_learning_rate_rises_stays_and_falls_to_zero() -> None:
    rates = [rise_and_fall(done, 100, 10, 0.2) for done in range(100)]
    assert rates[:10] == pytest.approx([(1 + step) / 10 for step in range(10)])
    assert rates[10:80] == [1.0] * 70
    assert rates[80:] == pytest.approx([(20 - step) / 20 for step in range(20)])
    assert [rise_and_fall(done, 5, 0, 0.0) for done in range(5)] == [1.0] * 5


def test_the_average_forgets_its_beginning_fast_and_its_end_slowly() -> None:
    decays = [ema_decay(0.99, done) for done in range(2000)]
    assert decays[0] == 0.1
    assert decays == sorted(decays)
    assert decays[-1] == 0.99


def test_a_rate_scales_the_steps_of_its_module_alone() -> None:
    """The first step of AdamW is the learning rate times the sign of the gradient."""
    modules = nn.ModuleDict({"a": nn.Linear(3, 2), "b": nn.Linear(3, 2)})
    rates = {"b": 0.25}
    learner = Learner(modules, CPU, config(gradient_clip=0.0), rates=rates)
    before = {name: value.detach().clone() for name, value in modules.named_parameters()}
    x = torch.randn(5, 3)
    learner.update([(modules["a"](x) + modules["b"](x)).square().mean()], 0.01, 0.5)
    moved = {name: (value.detach() - before[name]).abs() for name, value in modules.named_parameters()}
    torch.testing.assert_close(moved["a.weight"], torch.full((2, 3), 0.01), rtol=1e-3, atol=0)
    torch.testing.assert_close(moved["b.weight"], torch.full((2, 3), 0.0025), rtol=1e-3, atol=0)


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd", "adafactor"])
def test_a_step_is_counted_as_a_change_of_the_weights(optimizer: str) -> None:
    """Networks that keep their weights in shape ask for it; torch's fused optimizers do not count."""
    modules = nn.ModuleDict({"a": nn.Linear(3, 2)})
    learner = Learner(modules, CPU, config(optimizer=optimizer))
    for _ in range(2):
        before = [parameter._version for parameter in modules.parameters()]
        learner.update([modules["a"](torch.randn(4, 3)).square().mean()], 0.05, 0.9)
        after = [parameter._version for parameter in modules.parameters()]
        assert all(now > then for now, then in zip(after, before, strict=True))
