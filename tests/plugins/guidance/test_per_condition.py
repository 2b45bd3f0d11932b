"""Guidance with a scale for each condition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from glidepath.core.conditioning import Condition, Conditioning
from glidepath.core.denoiser import Predict
from glidepath.core.errors import PartError
from glidepath.core.levels import Step
from glidepath.core.prediction import Prediction
from glidepath.plugins.guidance.classifier_free import ClassifierFreeGuidance
from glidepath.plugins.guidance.configs import ClassifierFreeConfig, PerConditionConfig
from glidepath.plugins.guidance.per_condition import PerConditionGuidance

STEP = Step(4, torch.tensor(7), torch.tensor(0.6), torch.tensor(0.8))
X = torch.zeros(2, 1, 1, 1)
SEEN: list[Tensor] = []


def condition(value: float) -> Condition:
    return Condition(torch.full((2,), value), torch.zeros(1))


GIVEN = Conditioning.of(2, text=condition(5), picture=condition(70), style=condition(300))


def bind(conditioning: Conditioning) -> Predict:
    """Every output is the sum of its conditions, and the batches are remembered."""
    total: Tensor = sum(one.value for one in conditioning.conditions.values())

    def predict(x: Tensor, step: Step) -> Prediction:
        SEEN.append(x)
        return Prediction(total.reshape(-1, 1, 1, 1).expand_as(x), "epsilon", x, step)

    return predict


def guide(weight: float | None = None, given: Conditioning = GIVEN, **scales: float) -> list[float]:
    guidance = PerConditionGuidance(PerConditionConfig(scales=scales))
    if weight is not None:
        guidance = guidance.scaled_by_step(lambda _step: weight)
    SEEN.clear()
    found: list[float] = guidance(bind)(given)(X, STEP).epsilon.flatten().tolist()
    return found


@given(text=st.floats(0, 20), picture=st.floats(0, 20))
def test_each_scale_multiplies_what_its_condition_adds(text: float, picture: float) -> None:
    """style, which has no scale, is left out with the first."""
    expected = text * (5 + 300) + picture * 70
    assert guide(text=text, picture=picture) == pytest.approx([expected] * 2, abs=1e-2)
    assert [len(x) for x in SEEN] == [2 if text == picture == 1 else 6]


@given(scale=st.floats(0, 20))
def test_a_single_scale_is_classifier_free_guidance(scale: float) -> None:
    free = ClassifierFreeGuidance(ClassifierFreeConfig(scale=scale))(bind)(GIVEN)(X, STEP)
    assert guide(text=scale) == pytest.approx(free.epsilon.flatten().tolist(), abs=1e-3)


def test_scales_of_1_and_a_weight_of_0_predict_once() -> None:
    assert guide(text=1, picture=1) == [375, 375]
    assert [len(x) for x in SEEN] == [2]
    assert guide(0.0, text=4, picture=3) == [375, 375]
    assert [len(x) for x in SEEN] == [2]
    assert guide(0.5, text=3, picture=2) == pytest.approx([2 * 305 + 1.5 * 70] * 2)


def test_the_guided_prediction_knows_the_one_under_all_conditions() -> None:
    guidance = PerConditionGuidance(PerConditionConfig(scales={"text": 3, "picture": 2}))
    unguided = guidance(bind)(GIVEN)(X, STEP).unguided
    assert unguided is not None
    assert unguided.value.flatten().tolist() == [375, 375]


@pytest.mark.parametrize(
    ("name", "reason"), [("pose", "there is no such condition"), ("size", "nothing stands for its absence")]
)
def test_a_condition_that_cannot_be_left_out_is_refused(name: str, reason: str) -> None:
    given = Conditioning.of(2, text=condition(5), size=torch.zeros(2))
    with pytest.raises(PartError, match=rf"scales has '{name}', and {reason}; conditions are size, text"):
        guide(given=given, text=3, **{name: 2})
