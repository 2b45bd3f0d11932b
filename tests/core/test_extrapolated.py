"""Guidance that extrapolates: how far, at which steps, and at what cost."""

from __future__ import annotations

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from glidepath.core.conditioning import Conditioning
from glidepath.core.denoiser import Bind, Predict
from glidepath.core.extrapolated import Extrapolate, ExtrapolatedGuidance
from glidepath.core.guidance import Weight, fold
from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.prediction import Prediction

LEVELS = NoiseLevels(torch.arange(4).flip(0), torch.linspace(0.2, 1, 5), torch.linspace(0.9, 0, 5))
STEPS = list(LEVELS.steps("cpu"))
X = torch.zeros(1, 1)


class Apart(ExtrapolatedGuidance):
    """Away from a prediction that is 2 lower."""

    def extrapolate(self, bind: Bind, conditioning: Conditioning) -> Extrapolate:
        predict = bind(conditioning)

        def guided(x: Tensor, step: Step, scale: float) -> Prediction:
            main = predict(x, step)
            guide = main.value - 2
            return main.guided(guide + scale * (main.value - guide))

        return guided


@attrs.define
class Five:
    """epsilon is 5; counts how often it was bound, and how often it was asked at each step."""

    bound: int = 0
    asked: list[int] = attrs.Factory(list)

    def __call__(self, conditioning: Conditioning) -> Predict:
        self.bound += 1

        def predict(x: Tensor, step: Step) -> Prediction:
            self.asked.append(step.index)
            return Prediction(torch.full_like(x, 5.0), "epsilon", x, step)

        return predict


def walk(
    guidance: ExtrapolatedGuidance, denoiser: Five | None = None, levels: NoiseLevels | None = LEVELS
) -> list[float]:
    predict = fold([guidance], denoiser or Five(), levels)(Conditioning(batch=1))
    return [predict(X, step).epsilon.item() for step in STEPS]


def by_step(*weights: float) -> Weight:
    return lambda step: weights[step.index]


@pytest.mark.thorough
@given(scale=st.floats(0, 20), weight=st.floats(0, 3))
def test_a_constant_weight_w_is_the_scale_1_plus_w_times_the_scale_beyond_1(
    scale: float, weight: float
) -> None:
    scaled = walk(Apart(scale).scaled_by_step(lambda _step: weight))
    assert scaled == pytest.approx(walk(Apart(1 + weight * (scale - 1))), abs=1e-4)


@given(scale=st.floats(0, 20))
def test_a_weight_of_1_changes_nothing_to_the_last_bit(scale: float) -> None:
    assert walk(Apart(scale).scaled_by_step(lambda _step: 1.0)) == walk(Apart(scale))


def test_weights_of_weights_multiply() -> None:
    guidance = Apart(3.0).scaled_by_step(by_step(1, 1, 0.5, 0)).scaled_by_step(by_step(0, 2, 2, 1))
    assert walk(guidance) == [5, 13, 9, 5]


def test_scaling_leaves_the_guidance_itself_as_it_was() -> None:
    guidance = Apart(3.0)
    guidance.scaled_by_step(lambda _step: 0.0)
    assert walk(guidance) == [9, 9, 9, 9]


def test_the_result_holds_the_main_prediction_as_unguided() -> None:
    predict = Apart(3.0)(Five())(Conditioning(batch=1))
    unguided = predict(X, STEPS[0]).unguided
    assert unguided is not None
    assert unguided.epsilon.item() == 5


@pytest.mark.parametrize("levels", [LEVELS, None])
def test_where_the_weight_is_0_the_main_prediction_is_the_result(levels: NoiseLevels | None) -> None:
    assert walk(Apart(3.0).scaled_by_step(by_step(0, 1, 0, 1)), levels=levels) == [5, 9, 5, 9]


@pytest.mark.parametrize(
    ("guidance", "bound"),
    [
        (Apart(1.0), 1),
        (Apart(3.0), 1),
        (Apart(3.0).scaled_by_step(lambda _step: 0.0), 1),
        (Apart(3.0).scaled_by_step(by_step(1, 2, 1, 1)), 1),
        (Apart(3.0).scaled_by_step(by_step(1, 0, 1, 1)), 1),
    ],
)
def test_what_two_predictions_share_is_bound_once(guidance: ExtrapolatedGuidance, bound: int) -> None:
    denoiser = Five()
    walk(guidance, denoiser)
    assert denoiser.bound == bound
    assert denoiser.asked == [0, 1, 2, 3]
