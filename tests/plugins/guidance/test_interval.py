"""Guidance at some noise levels only."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glidepath.core.errors import PartError
from glidepath.core.levels import Step
from glidepath.plugins.guidance.classifier_free import ClassifierFreeGuidance
from glidepath.plugins.guidance.configs import ClassifierFreeConfig
from glidepath.plugins.guidance.dynamic_threshold import DynamicThreshold
from glidepath.plugins.guidance.interval import Interval
from glidepath.plugins.guidance.modifier_configs import DynamicThresholdConfig, IntervalConfig

from .steps import Labelled, walk

CFG = ClassifierFreeGuidance(ClassifierFreeConfig(scale=4.0))
RATIOS = [0.96 / 0.28, 0.8 / 0.6, 0.6 / 0.8, 0.28 / 0.96]
"""sigma / alpha of the four steps."""


@given(low=st.floats(0, 5), width=st.floats(0.01, 5))
def test_guidance_acts_within_the_interval_and_not_outside(low: float, width: float) -> None:
    interval = Interval(IntervalConfig(low=low, high=low + width))
    guided, plain, full = walk(CFG, interval), walk(), walk(CFG)
    for index, ratio in enumerate(RATIOS):
        expected = full if low < ratio <= low + width else plain
        assert torch.equal(guided[index].value, expected[index].value)


def test_outside_there_is_no_second_forward() -> None:
    denoiser = Labelled()
    walk(CFG, Interval(IntervalConfig(low=0.5, high=1.0)), denoiser=denoiser)
    assert denoiser.batches == [2, 2, 4, 2]


def test_the_upper_end_is_part_of_it_and_the_lower_is_not() -> None:
    step = Step(0, torch.tensor(0), torch.tensor(0.8), torch.tensor(0.6), 1, 0.75)
    assert Interval(IntervalConfig(low=0.5, high=0.75)).weight(step) == 1
    assert Interval(IntervalConfig(low=0.75, high=1.0)).weight(step) == 0


def test_all_noise_levels_is_the_guidance_itself() -> None:
    assert Interval(IntervalConfig()).modify(CFG) is CFG


def test_intervals_in_a_row_are_what_they_share() -> None:
    denoiser = Labelled()
    walk(CFG, Interval(IntervalConfig(low=0.5)), Interval(IntervalConfig(high=2.0)), denoiser=denoiser)
    assert denoiser.batches == [2, 4, 4, 2]


def test_a_guidance_that_cannot_be_scaled_is_refused() -> None:
    with pytest.raises(PartError, match="DynamicThreshold cannot be scaled"):
        walk(DynamicThreshold(DynamicThresholdConfig()), Interval(IntervalConfig(high=2.0)))


def test_a_step_of_no_grid_has_no_known_noise_level() -> None:
    step = Step(0, torch.tensor(0), torch.tensor(0.8), torch.tensor(0.6))
    with pytest.raises(PartError, match="made outside a grid"):
        Interval(IntervalConfig(high=2.0)).weight(step)
