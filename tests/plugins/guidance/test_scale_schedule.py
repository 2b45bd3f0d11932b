"""A weight for each step."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glidepath.core.errors import PartError
from glidepath.core.levels import Step
from glidepath.plugins.guidance.classifier_free import ClassifierFreeGuidance
from glidepath.plugins.guidance.configs import ClassifierFreeConfig
from glidepath.plugins.guidance.modifier_configs import ScaleScheduleConfig
from glidepath.plugins.guidance.scale_schedule import ScaleSchedule

from .steps import STEPS, Labelled, walk

CFG = ClassifierFreeGuidance(ClassifierFreeConfig(scale=4.0))


def weights(total: int = 4, **how: object) -> list[float]:
    schedule = ScaleSchedule(ScaleScheduleConfig(**how))  # type: ignore[arg-type]
    zero = torch.tensor(0.0)
    return [schedule.weight(Step(index, zero, zero, zero, total)) for index in range(total)]


@pytest.mark.parametrize(
    ("shape", "paper"),
    [
        ("constant", lambda t: 1.0),
        ("linear", lambda t: 1 - t),
        ("inverse-linear", lambda t: t),
        ("cosine", lambda t: (math.cos(math.pi * t) + 1) / 2),
        ("power-cosine", lambda t: (1 - math.cos(math.pi * (1 - t) ** 4)) / 2),
    ],
)
@given(total=st.integers(1, 50))
def test_the_shapes_of_the_papers(shape: str, paper: Callable[[float], float], total: int) -> None:
    """As functions of t / T, with t from T - 1 down to 0."""
    expected = [paper(t / total) for t in reversed(range(total))]
    assert weights(total, shape=shape) == pytest.approx(expected, abs=1e-9)


def test_a_floor_clamps() -> None:
    assert weights(shape="linear", floor=0.6) == [0.6, 0.6, 0.75, 1.0]


def test_a_larger_power_sets_in_later() -> None:
    assert weights(shape="power-cosine", power=1.0) == pytest.approx(weights(shape="cosine"))
    early, late = (weights(shape="power-cosine", power=power) for power in (1.0, 6.0))
    assert all(a > b for a, b in zip(early[:-1], late[:-1], strict=True))


def test_a_list_gives_each_step_its_weight() -> None:
    assert weights(values=(0.0, 2.0, 0.5, 1.0)) == [0, 2, 0.5, 1]


@given(total=st.integers(1, 40), count=st.integers(1, 40))
def test_a_shorter_list_is_spread_evenly(total: int, count: int) -> None:
    given_weights = tuple(float(index) for index in range(count))
    if count > total:
        with pytest.raises(PartError, match=f"has {count} weights, and the sampler takes {total} steps"):
            weights(total, values=given_weights)
        return
    spread = weights(total, values=given_weights)
    assert spread == sorted(spread)
    uses = [spread.count(weight) for weight in given_weights]
    assert max(uses) - min(uses) <= 1


def test_guidance_follows_the_weights() -> None:
    guided = walk(CFG, ScaleSchedule(ScaleScheduleConfig(values=(0.0, 1.0, 2.0))))
    for index, scale in enumerate([1.0, 1.0, 4.0, 7.0]):
        expected = walk(ClassifierFreeGuidance(ClassifierFreeConfig(scale=scale)))[index]
        torch.testing.assert_close(guided[index].value, expected.value)


def test_a_weight_of_zero_makes_no_second_forward() -> None:
    denoiser = Labelled()
    walk(CFG, ScaleSchedule(ScaleScheduleConfig(values=(0.0, 1.0))), denoiser=denoiser)
    assert denoiser.batches == [2, 2, 4, 4]


def test_a_constant_schedule_is_the_guidance_itself() -> None:
    assert ScaleSchedule(ScaleScheduleConfig(shape="constant")).modify(CFG) is CFG


def test_too_many_weights_are_refused_before_anything_is_predicted() -> None:
    denoiser = Labelled()
    with pytest.raises(PartError, match="has 5 weights"):
        walk(CFG, ScaleSchedule(ScaleScheduleConfig(values=(1.0,) * 5)), denoiser=denoiser)
    assert denoiser.batches == []
    assert len(STEPS) == 4
