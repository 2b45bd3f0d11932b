"""A prediction reads as epsilon, x_0, velocity or flow, whichever it was."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from glidepath.core.errors import PartError
from glidepath.core.levels import Step
from glidepath.core.prediction import Prediction, PredictionKind

KINDS: tuple[PredictionKind, ...] = get_args(PredictionKind)
LEVELS = st.floats(0.05, 0.95).flatmap(
    lambda noise: st.sampled_from([((1 - noise**2) ** 0.5, noise), (1.0, 20 * noise), (1 - noise, noise)])
)
"""Variance-preserving, variance-exploding and rectified-flow points."""


def at(alpha: float, sigma: float) -> Step:
    return Step(
        0, torch.tensor(0), torch.tensor(alpha, dtype=torch.float64), torch.tensor(sigma, dtype=torch.float64)
    )


def draw(seed: int) -> Tensor:
    return torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@given(level=LEVELS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_form_of_a_true_prediction_is_the_truth(
    kind: PredictionKind, level: tuple[float, float]
) -> None:
    alpha, sigma = level
    sample, epsilon = draw(0), draw(1)
    velocity, flow = alpha * epsilon - sigma * sample, epsilon - sample
    truth = {"sample": sample, "epsilon": epsilon, "velocity": velocity, "flow": flow}
    prediction = Prediction(truth[kind], kind, alpha * sample + sigma * epsilon, at(alpha, sigma))
    for form in KINDS:
        torch.testing.assert_close(getattr(prediction, form), truth[form])


@given(level=LEVELS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", KINDS)
def test_forms_are_mutually_inverse(
    kind: PredictionKind, form: PredictionKind, level: tuple[float, float]
) -> None:
    """Of any value, true or not."""
    value, x, step = draw(0), draw(1), at(*level)
    there = Prediction(getattr(Prediction(value, kind, x, step), form), form, x, step)
    torch.testing.assert_close(getattr(there, kind), value)


@pytest.mark.parametrize("kind", KINDS)
def test_the_form_that_was_predicted_comes_back_untouched(kind: PredictionKind) -> None:
    value = draw(0)
    assert getattr(Prediction(value, kind, draw(1), at(0.6, 0.8)), kind) is value


def test_replacing_x_0_or_epsilon_keeps_the_rest() -> None:
    variance, gradient = draw(3), draw(4)
    before = Prediction(draw(0), "velocity", draw(1), at(0.6, 0.8), variance, gradient)
    for after, form in ((before.with_sample(draw(2)), "sample"), (before.with_epsilon(draw(2)), "epsilon")):
        assert torch.equal(getattr(after, form), draw(2))
        torch.testing.assert_close(0.6 * after.sample + 0.8 * after.epsilon, before.x)
        assert after.variance_fraction is variance
        assert after.gradient is gradient


def test_gradients_add_up() -> None:
    prediction = Prediction(draw(0), "epsilon", draw(1), at(0.6, 0.8))
    assert prediction.gradient is None
    once = prediction.with_gradient(draw(2))
    assert once.gradient is not None
    assert torch.equal(once.gradient, draw(2))
    twice = once.with_gradient(draw(3)).gradient
    assert twice is not None
    assert torch.equal(twice, draw(2) + draw(3))


def test_a_variance_that_was_not_learned_is_missed_by_name() -> None:
    prediction = Prediction(draw(0), "epsilon", draw(1), at(0.6, 0.8))
    with pytest.raises(PartError, match=r"^sampler x needs a learned variance"):
        prediction.require_variance("sampler x")
    fraction = draw(2)
    learned = Prediction(draw(0), "epsilon", draw(1), at(0.6, 0.8), variance_fraction=fraction)
    assert learned.require_variance("sampler x") is fraction


def test_what_was_predicted_before_guidance_is_kept_by_every_change() -> None:
    before = Prediction(draw(0), "epsilon", draw(1), at(0.6, 0.8))
    assert before.unguided is None
    guided = Prediction(draw(2), "epsilon", draw(1), at(0.6, 0.8), unguided=before)
    for after in (guided.with_sample(draw(3)), guided.with_epsilon(draw(3)), guided.with_gradient(draw(3))):
        assert after.unguided is before
