"""Guidance by a worse denoiser."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from glidepath.core.conditioning import Conditioning
from glidepath.core.denoiser import Denoiser, Predict
from glidepath.core.errors import PartError
from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.prediction import Prediction, PredictionKind
from glidepath.plugins.guidance.autoguidance import Autoguidance
from glidepath.plugins.guidance.classifier_free import ClassifierFreeGuidance
from glidepath.plugins.guidance.configs import AutoguidanceConfig, ClassifierFreeConfig
from glidepath.plugins.guidance.interval import Interval
from glidepath.plugins.guidance.modifier_configs import IntervalConfig

from .steps import BATCH, LEVELS, STEPS, Labelled, noise, walk


class Worse(Denoiser):
    """Predicts another noise, and remembers how it was prepared and asked."""

    learned_variance = False
    image_shape = (3, 4, 5)

    def __init__(self, predicts: PredictionKind = "epsilon", num_classes: int | None = 10) -> None:
        super().__init__()
        self.predicts = predicts
        self.num_classes = num_classes
        self.reads = frozenset() if num_classes is None else frozenset({"labels"})
        self.weight = nn.Parameter(torch.ones(1))
        self.prepared: list[tuple[Conditioning, NoiseLevels]] = []
        self.asked: list[int] = []

    def value(self, x: Tensor, step: Step) -> Tensor:
        return torch.cat([noise(1000 + step.index)] * (len(x) // 2))

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        raise NotImplementedError

    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        self.prepared.append((conditioning, levels))

        def predict(x: Tensor, step: Step) -> Prediction:
            self.asked.append(len(x))
            return self.interpret(self.value(x, step), x, step)

        return predict


def guidance(worse: Denoiser, scale: float = 3.0) -> Autoguidance:
    return Autoguidance(AutoguidanceConfig(scale=scale, denoiser=None), denoiser=worse)


@pytest.mark.parametrize("kind", ["epsilon", "sample", "velocity"])
@pytest.mark.parametrize("of_worse", ["epsilon", "sample", "velocity"])
@given(scale=st.floats(0, 10))
def test_each_step_moves_away_from_the_worse_denoiser(
    kind: PredictionKind, of_worse: PredictionKind, scale: float
) -> None:
    """D = D_worse + scale (D - D_worse) in x_0, whatever each of them predicts (Karras et al. 2024)."""
    worse, denoiser = Worse(of_worse), Labelled(kind)
    guided = walk(guidance(worse, scale), denoiser=denoiser)
    for step, prediction in zip(STEPS, guided, strict=True):
        x = noise(step.index).double()
        exact = Step(step.index, step.t, LEVELS.alpha[step.index], LEVELS.sigma[step.index])
        good = Prediction(denoiser.value([5, 7], step).double(), kind, x, exact).sample
        bad = Prediction(worse.value(x, step).double(), of_worse, x, exact).sample
        expected = bad + scale * (good - bad)
        torch.testing.assert_close(prediction.sample.double(), expected, rtol=1e-4, atol=1e-3)
        assert prediction.kind == kind


def test_both_denoisers_hear_the_same_and_are_prepared_once_for_the_same_levels() -> None:
    worse = Worse()
    walk(guidance(worse))
    ((heard, levels),) = worse.prepared
    assert heard.conditions == BATCH.conditions
    assert levels is LEVELS
    assert worse.asked == [2, 2, 2, 2]


def test_a_worse_denoiser_without_classes_hears_no_labels() -> None:
    worse = Worse(num_classes=None)
    walk(guidance(worse))
    ((heard, _),) = worse.prepared
    assert heard.get("labels") is None
    assert heard.batch == 2


def test_scale_1_leaves_the_worse_denoiser_out_to_the_last_bit() -> None:
    worse = Worse()
    for ours, plain in zip(walk(guidance(worse, 1.0)), walk(), strict=True):
        assert torch.equal(ours.value, plain.value)
    assert worse.prepared == []


def test_outside_an_interval_the_worse_denoiser_is_not_asked() -> None:
    worse, denoiser = Worse(), Labelled()
    walk(guidance(worse), Interval(IntervalConfig(low=0.5, high=1.0)), denoiser=denoiser)
    assert worse.asked == [2]
    assert denoiser.batches == [2, 2, 2, 2]


def test_outside_of_every_step_the_worse_denoiser_is_not_prepared() -> None:
    worse = Worse()
    walk(guidance(worse), Interval(IntervalConfig(low=50.0)))
    assert worse.prepared == []


def test_it_stacks_on_classifier_free_guidance_and_under_it() -> None:
    """Over it, the guided prediction moves away from the worse; under it, both halves do."""
    cfg = ClassifierFreeGuidance(ClassifierFreeConfig(scale=2.0))
    denoiser, worse = Labelled(), Worse()
    over, under = walk(cfg, guidance(worse)), walk(guidance(worse), cfg)
    for step in STEPS:
        cond, uncond = (denoiser.value(labels, step) for labels in ([5, 7], [1, 2]))
        bad = worse.value(noise(0), step)
        torch.testing.assert_close(over[step.index].value, bad + 3 * (2 * cond - uncond - bad))
        moved = [bad + 3 * (half - bad) for half in (cond, uncond)]
        torch.testing.assert_close(under[step.index].value, 2 * moved[0] - moved[1], rtol=1e-4, atol=1e-4)


def test_the_variance_is_that_of_the_pipelines_own_denoiser() -> None:
    for prediction in walk(guidance(Worse())):
        assert prediction.variance_fraction is not None
        assert prediction.variance_fraction.unique().tolist() == [0.5]


def test_the_worse_denoiser_is_a_network_of_the_guidance() -> None:
    worse = Worse(num_classes=4)
    assert guidance(worse).networks() == {"denoiser": worse}
    assert guidance(worse).num_classes == 4


def test_without_levels_it_cannot_prepare() -> None:
    with pytest.raises(PartError, match="needs the noise levels for it"):
        guidance(Worse())(Labelled())(BATCH)
