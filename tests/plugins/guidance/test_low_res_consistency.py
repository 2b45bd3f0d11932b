"""Each predicted x_0 averages to the picture that an upsampler enlarges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from glidepath.core import Conditioning, Predict, Prediction, Step
from glidepath.core.conditioning import Condition
from glidepath.core.prediction import PredictionKind
from glidepath.plugins.guidance.low_res_consistency import LowResConsistency
from glidepath.plugins.guidance.modifier_configs import LowResConsistencyConfig
from glidepath.registry import assemble

from .steps import STEPS, noise

LOW_RES = torch.linspace(-0.9, 0.8, 3 * 2 * 5).reshape(1, 3, 2, 5)
"""Of x_0 [2, 3, 4, 5]: a pixel is the mean of two rows."""


def guided(strength: float, kind: PredictionKind = "epsilon") -> list[tuple[Prediction, Prediction]]:
    """What is predicted at each step, and what is made of it."""

    def bind(_conditioning: Conditioning) -> Predict:
        def predict(x: Tensor, step: Step) -> Prediction:
            return Prediction(noise(50 + step.index), kind, x, step)

        return predict

    batch = Conditioning.of(2, low_res=Condition(LOW_RES.expand(2, -1, -1, -1), None))
    predict = LowResConsistency(LowResConsistencyConfig(strength=strength))(bind)(batch)
    return [(bind(batch)(noise(step.index), step), predict(noise(step.index), step)) for step in STEPS]


@pytest.mark.parametrize("kind", ["epsilon", "sample", "velocity"])
@given(strength=st.floats(0, 1))
def test_the_equation_of_the_paper_with_a_matrix_and_its_pseudo_inverse(
    kind: PredictionKind, strength: float
) -> None:
    """Wang et al. 2022, equation 13, with NumPy in float64; A takes the mean of two rows."""
    mean = np.array([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])
    inverse = np.linalg.pinv(mean)
    for plain, prediction in guided(strength, kind):
        x_0, y = plain.sample.double().numpy(), LOW_RES.double().numpy()
        expected = x_0 + strength * inverse @ (y - mean @ x_0)
        np.testing.assert_allclose(prediction.sample, expected, rtol=1e-5, atol=1e-5)


def test_without_strength_a_prediction_stays_as_it_is() -> None:
    for plain, prediction in guided(0):
        assert torch.equal(prediction.value, plain.value)
        assert torch.equal(prediction.sample, plain.sample)


def test_a_cascade_adds_detail_and_keeps_every_colour() -> None:
    steps = ["stages.base.sampler.steps=3", "stages.upsample.sampler.steps=4"]
    prompts = ["a red square, flat", "a green circle, 3d"]
    kept = [*assemble("emoji-64", steps).states(prompts)]
    free = [*assemble("emoji-64", [*steps, "stages.upsample.guidance=[]"]).states(prompts)]
    small = next(state.sample for state in reversed(kept) if state.stage == 0)
    off = [
        (torch.nn.functional.avg_pool2d(walk[-1].x, 2) - small.clamp(-1, 1)).abs().mean()
        for walk in (kept, free)
    ]
    assert off[0] < 1 / 255  # the small picture is in 8 bits, and the last x_0 is clipped
    assert off[1] > 5 * off[0]


@pytest.mark.parametrize("spec", ["emoji", "dit-xl-2-256"])
def test_a_model_that_enlarges_nothing_is_refused(spec: str) -> None:
    with pytest.raises(Exception, match=r"low-res-consistency\) needs image\.upsamples true"):
        assemble(spec, ["guidance=[low-res-consistency]"])
