"""Guidances fold: each wraps what those before it made."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from glidepath.core.conditioning import Conditioning
from glidepath.core.denoiser import Bind, Predict
from glidepath.core.guidance import Guidance, fold
from glidepath.core.levels import Step
from glidepath.core.prediction import Prediction

STEP = Step(0, torch.tensor(0), torch.tensor(0.6), torch.tensor(0.8))


@attrs.frozen
class Append(Guidance):
    """epsilon becomes 10 epsilon + digit."""

    digit: int

    def __call__(self, bind: Bind) -> Bind:
        def bound(conditioning: Conditioning) -> Predict:
            predict = bind(conditioning)

            def appended(x: Tensor, step: Step) -> Prediction:
                prediction = predict(x, step)
                return prediction.with_epsilon(10 * prediction.epsilon + self.digit)

            return appended

        return bound


def zero(_conditioning: Conditioning) -> Predict:
    return lambda x, step: Prediction(torch.zeros_like(x), "epsilon", x, step)


def test_guidances_apply_left_to_right() -> None:
    predict = fold([Append(1), Append(2), Append(3)], zero)(Conditioning(batch=1))
    assert predict(torch.ones(1, 1), STEP).epsilon.item() == 123


def test_no_guidance_leaves_the_denoiser_as_it_is() -> None:
    assert fold([], zero) is zero
