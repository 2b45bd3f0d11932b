"""The spread that guidance added is taken back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glidepath.core.prediction import Prediction, PredictionKind
from glidepath.plugins.guidance.classifier_free import ClassifierFreeGuidance
from glidepath.plugins.guidance.configs import ClassifierFreeConfig
from glidepath.plugins.guidance.modifier_configs import RescaleConfig
from glidepath.plugins.guidance.rescale import Rescale

from .steps import STEPS, Labelled, noise, walk

CFG = ClassifierFreeGuidance(ClassifierFreeConfig(scale=4.0))
KINDS: tuple[PredictionKind, ...] = ("epsilon", "sample", "velocity")


@pytest.mark.parametrize("kind", KINDS)
@given(phi=st.floats(0, 1))
def test_the_formula_of_the_paper_in_the_form_that_was_predicted(kind: PredictionKind, phi: float) -> None:
    """Lin et al. 2024, section 3.4, rendered in float64."""
    denoiser = Labelled(kind)
    for step, prediction in zip(
        STEPS, walk(CFG, Rescale(RescaleConfig(phi=phi)), denoiser=denoiser), strict=True
    ):
        positive, negative = (denoiser.value(labels, step).double() for labels in ([5, 7], [1, 2]))
        for row in range(2):
            guided = negative[row] + 4 * (positive[row] - negative[row])
            rescaled = guided * positive[row].std() / guided.std()
            expected = phi * rescaled + (1 - phi) * guided
            torch.testing.assert_close(prediction.value[row].double(), expected, rtol=1e-5, atol=1e-5)
        assert prediction.kind == kind


@pytest.mark.parametrize("kind", KINDS)
def test_at_phi_1_the_spread_is_what_it_was_without_guidance(kind: PredictionKind) -> None:
    denoiser = Labelled(kind)
    for step, prediction in zip(
        STEPS, walk(CFG, Rescale(RescaleConfig(phi=1.0)), denoiser=denoiser), strict=True
    ):
        before = denoiser.value([5, 7], step)
        torch.testing.assert_close(prediction.value.flatten(1).std(1), before.flatten(1).std(1))


def test_phi_0_is_no_guidance_at_all() -> None:
    denoiser = Labelled()
    assert Rescale(RescaleConfig(phi=0.0))(denoiser) is denoiser


def test_a_prediction_that_nothing_guided_stays_as_it_is_to_the_last_bit() -> None:
    for plain, rescaled in zip(walk(), walk(Rescale(RescaleConfig())), strict=True):
        assert torch.equal(plain.value, rescaled.value)


def test_a_weight_by_step_multiplies_phi() -> None:
    phis = [0.0, 0.5, 1.0, 0.2]
    weighted = Rescale(RescaleConfig(phi=0.5)).scaled_by_step(lambda step: phis[step.index] * 2)
    predictions = walk(CFG, weighted)
    for step, phi in zip(STEPS, phis, strict=True):
        expected = walk(CFG, Rescale(RescaleConfig(phi=phi)))[step.index]
        assert torch.equal(predictions[step.index].value, expected.value)


def test_weights_of_weights_multiply() -> None:
    twice = Rescale(RescaleConfig(phi=1.0)).scaled_by_step(lambda _: 0.5).scaled_by_step(lambda _: 0.5)
    for ours, other in zip(walk(CFG, twice), walk(CFG, Rescale(RescaleConfig(phi=0.25))), strict=True):
        assert torch.equal(ours.value, other.value)


def test_what_else_was_predicted_is_kept() -> None:
    for prediction in walk(CFG, Rescale(RescaleConfig())):
        assert prediction.variance_fraction is not None
        assert prediction.unguided is not None


def test_a_prediction_without_any_spread_gives_numbers() -> None:
    class Flat(Labelled):
        def value(self, labels: object, step: object) -> torch.Tensor:
            return torch.full((len(labels), *noise(0).shape[1:]), 2.0)  # type: ignore[arg-type]

    for prediction in walk(CFG, Rescale(RescaleConfig(phi=1.0)), denoiser=Flat()):
        assert prediction.value.isfinite().all()


@pytest.mark.parametrize("constant", [0.0, 0.5, -0.3, 1e-3, 7e4])
def test_where_a_prediction_has_no_spread_there_is_none_to_take_back(constant: float) -> None:
    """In one sample of two: the other one is rescaled."""
    step = STEPS[1]
    guided = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    guided[0] = constant
    before = Prediction(0.1 * torch.randn_like(guided), "epsilon", guided, step)
    rescale = Rescale(RescaleConfig(phi=0.7))
    after = rescale(lambda _: lambda _x, _step: before.guided(guided))(noise)(guided, step).value
    assert torch.equal(after[0], guided[0])
    factor = 0.7 * before.value[1].std() / guided[1].std() + 0.3
    torch.testing.assert_close(after[1], factor * guided[1])
