"""What moves a prediction away from a worse one: how far, at which steps, and at what cost."""

from __future__ import annotations

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from glidepath.core.conditioning import Conditioning
from glidepath.core.contrast import Contrast, Pair
from glidepath.core.denoiser import Bind, Predict
from glidepath.core.guidance import Weight, fold
from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.prediction import Prediction

LEVELS = NoiseLevels(torch.arange(4).flip(0), torch.linspace(0.2, 1, 5), torch.linspace(0.9, 0, 5))
STEPS = list(LEVELS.steps("cpu"))
X = torch.zeros(1, 1)


class Apart(Contrast):
    """Away from a prediction that is 2 lower."""

    def pair(self, bind: Bind, conditioning: Conditioning) -> Pair:
        wanted = bind(conditioning)

        def predict(x: Tensor, step: Step) -> tuple[Prediction, Prediction]:
            better = wanted(x, step)
            return better, better.with_epsilon(better.epsilon - 2)

        return predict


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
    guidance: Contrast, denoiser: Five | None = None, levels: NoiseLevels | None = LEVELS
) -> list[float]:
    predict = fold([guidance], denoiser or Five(), levels)(Conditioning(batch=1))
    return [predict(X, step).epsilon.item() for step in STEPS]


def by_step(*weights: float) -> Weight:
    return lambda step: weights[step.index]


@given(scale=st.floats(0, 20), weight=st.floats(0, 3))
def test_a_constant_weight_w_is_the_scale_1_plus_w_times_the_scale_beyond_1(
    scale: float, weight: float
) -> None:
    weighted = walk(Apart(scale).weighted(lambda _step: weight))
    assert weighted == pytest.approx(walk(Apart(1 + weight * (scale - 1))), abs=1e-4)


@given(scale=st.floats(0, 20))
def test_a_weight_of_1_changes_nothing_to_the_last_bit(scale: float) -> None:
    assert walk(Apart(scale).weighted(lambda _step: 1.0)) == walk(Apart(scale))


def test_weights_of_weights_multiply() -> None:
    guidance = Apart(3.0).weighted(by_step(1, 1, 0.5, 0)).weighted(by_step(0, 2, 2, 1))
    assert walk(guidance) == [5, 13, 9, 5]


def test_weighting_leaves_the_guidance_itself_as_it_was() -> None:
    guidance = Apart(3.0)
    guidance.weighted(lambda _step: 0.0)
    assert walk(guidance) == [9, 9, 9, 9]


def test_the_result_holds_what_was_wanted_before_it_was_moved() -> None:
    predict = Apart(3.0)(Five())(Conditioning(batch=1))
    unguided = predict(X, STEPS[0]).unguided
    assert unguided is not None
    assert unguided.epsilon.item() == 5


@pytest.mark.parametrize("levels", [LEVELS, None])
def test_where_the_weight_is_0_the_wanted_prediction_is_the_result(levels: NoiseLevels | None) -> None:
    assert walk(Apart(3.0).weighted(by_step(0, 1, 0, 1)), levels=levels) == [5, 9, 5, 9]


@pytest.mark.parametrize(
    ("guidance", "bound"),
    [
        (Apart(1.0), 1),
        (Apart(3.0), 1),
        (Apart(3.0).weighted(lambda _step: 0.0), 1),
        (Apart(3.0).weighted(by_step(1, 2, 1, 1)), 1),
        (Apart(3.0).weighted(by_step(1, 0, 1, 1)), 1),
    ],
)
def test_what_two_predictions_share_is_bound_once(guidance: Contrast, bound: int) -> None:
    denoiser = Five()
    walk(guidance, denoiser)
    assert denoiser.bound == bound
    assert denoiser.asked == [0, 1, 2, 3]
