"""Classifier-free guidance without what oversaturates."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from glidepath.core.guidance import fold
from glidepath.core.prediction import PredictionKind
from glidepath.plugins.guidance.adaptive_projected import AdaptiveProjectedGuidance
from glidepath.plugins.guidance.classifier_free import ClassifierFreeGuidance
from glidepath.plugins.guidance.configs import AdaptiveProjectedConfig, ClassifierFreeConfig

from .steps import BATCH, LEVELS, STEPS, Labelled, noise, walk


def guidance(**how: float | None) -> AdaptiveProjectedGuidance:
    return AdaptiveProjectedGuidance(AdaptiveProjectedConfig(**how))  # type: ignore[arg-type]


def samples(denoiser: Labelled, labels: list[int]) -> list[Tensor]:
    """The x_0 that the denoiser predicts under some labels, [B, ...] float64 for each step."""
    found = []
    for step in STEPS:
        alpha, sigma = LEVELS.alpha[step.index], LEVELS.sigma[step.index]
        value, x = denoiser.value(labels, step).double(), noise(step.index).double()
        found.append(
            {
                "epsilon": lambda v, x, a, s: (x - s * v) / a,
                "sample": lambda v, x, a, s: v,
                "velocity": lambda v, x, a, s: a * x - s * v,
            }[denoiser.kind](value, x, alpha, sigma)
        )
    return found


@pytest.mark.parametrize("kind", ["epsilon", "sample", "velocity"])
@given(
    scale=st.floats(0, 15),
    eta=st.floats(0, 2),
    threshold=st.none() | st.floats(0.1, 50),
    momentum=st.floats(-0.9, 0.9),
)
def test_the_algorithm_of_the_paper(
    kind: PredictionKind, scale: float, eta: float, threshold: float | None, momentum: float
) -> None:
    """Sadat et al. 2024, algorithm 1, rendered in float64 with vectors for images."""
    denoiser = Labelled(kind)
    guided = walk(
        guidance(scale=scale, eta=eta, norm_threshold=threshold, momentum=momentum), denoiser=denoiser
    )
    if scale == 1:
        return
    average = torch.zeros(2, 60, dtype=torch.float64)
    for prediction, cond, uncond in zip(
        guided, samples(denoiser, [5, 7]), samples(denoiser, [1, 2]), strict=True
    ):
        average = (cond - uncond).flatten(1) + momentum * average
        for row in range(2):
            difference, x_0 = average[row], cond[row].flatten()
            if threshold is not None:
                difference = difference * min(1.0, threshold / float(difference.norm()))
            along = (difference @ x_0) / (x_0 @ x_0) * x_0
            expected = x_0 + (scale - 1) * (difference - along + eta * along)
            ours = prediction.sample[row].flatten().double()
            assert (ours - expected).norm() < 1e-5 * (1 + expected.norm() + scale * difference.norm())


@pytest.mark.parametrize("kind", ["epsilon", "sample", "velocity"])
def test_all_of_the_difference_without_memory_is_classifier_free_guidance(kind: PredictionKind) -> None:
    ours = walk(guidance(scale=5.0, eta=1.0, momentum=0.0), denoiser=Labelled(kind))
    others = walk(ClassifierFreeGuidance(ClassifierFreeConfig(scale=5.0)), denoiser=Labelled(kind))
    for one, other in zip(ours, others, strict=True):
        torch.testing.assert_close(one.sample, other.sample, rtol=1e-4, atol=1e-4)


def test_scale_1_predicts_with_the_prompt_alone_to_the_last_bit() -> None:
    denoiser = Labelled()
    for ours, plain in zip(walk(guidance(scale=1.0), denoiser=denoiser), walk(), strict=True):
        assert torch.equal(ours.value, plain.value)
    assert denoiser.batches == [2, 2, 2, 2]


def test_without_eta_the_image_gains_nothing_along_itself() -> None:
    denoiser = Labelled("sample")
    guided = walk(guidance(scale=5.0, momentum=0.0), denoiser=denoiser)
    for prediction, cond in zip(guided, samples(denoiser, [5, 7]), strict=True):
        along = ((prediction.sample - cond) * cond).flatten(1).sum(1) / cond.square().flatten(1).sum(1)
        assert along.abs().max() < 1e-5


def test_a_walk_remembers_and_the_guidance_does_not() -> None:
    """One object serves several walks at once."""
    apg = guidance(scale=5.0, momentum=-0.7)
    alone = walk(apg)
    first, second = (fold([apg], Labelled(), LEVELS)(BATCH) for _ in range(2))
    for step, expected in zip(STEPS, alone, strict=True):
        for predict in (first, second):
            assert torch.equal(predict(noise(step.index), step).value, expected.value)


def test_what_else_was_predicted_is_kept() -> None:
    denoiser = Labelled()
    for step, prediction in zip(STEPS, walk(guidance(), denoiser=denoiser), strict=True):
        assert prediction.variance_fraction is not None
        assert prediction.variance_fraction.shape == prediction.x.shape
        assert prediction.unguided is not None
        assert torch.equal(prediction.unguided.value, denoiser.value([5, 7], step))
    assert denoiser.batches == [4, 4, 4, 4]
