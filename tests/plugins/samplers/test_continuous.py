"""Every sampler walks along a continuous schedule as it is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from glidepath.core import NoiseLevels, NoiseSchedule, PerSampleNoise, Prediction, Sampler, Step
from glidepath.plugins.schedules.configs import EdmConfig, FlowConfig
from glidepath.plugins.schedules.edm import EdmSchedule
from glidepath.plugins.schedules.flow import FlowSchedule
from glidepath.registry import build_part, load_catalogue, plan_part

DEVIATION = 0.25
"""Of the data, x_0 ~ N(0, DEVIATION^2)."""

CATALOGUE = load_catalogue()
SAMPLERS = [one.component.name for one in CATALOGUE.components("sampler") if "diffusion" in one.distribution]
SCHEDULES = {"flow": FlowSchedule(FlowConfig(shift=2.0)), "edm": EdmSchedule(EdmConfig())}


def exact(x: Tensor, step: Step) -> Prediction:
    """The mean of x_0 given x_t, which no network could better."""
    variance = (step.alpha * DEVIATION) ** 2 + step.sigma**2
    return Prediction(step.alpha * DEVIATION**2 / variance * x, "sample", x, step)


def built(name: str, **parameters: Any) -> Sampler:
    sampler: Sampler = build_part(plan_part("sampler", name, parameters, CATALOGUE), CATALOGUE)
    return sampler


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_reaches_the_data_in_continuous_time(name: str, schedule: str) -> None:
    if (name, schedule) == ("pndm", "flow"):
        pytest.skip("it cannot begin at noise alone")
    sampler = built(name, steps=240)
    levels = sampler.levels(SCHEDULES[schedule])
    noise = PerSampleNoise([(0, index) for index in range(4)])
    x = sampler.first(noise.initial((4, 1, 32, 32), "cpu"), levels)
    *_, last = sampler.states(exact, x, levels, noise)
    # to 4 deviations of an estimate from 4,096 values, and what methods of the first order have left to err
    assert float(last.x.std()) == pytest.approx(DEVIATION, rel=0.06)
    assert float(last.x.mean()) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=list(SCHEDULES))
def test_listed_noise_levels_are_those_of_a_continuous_schedule(schedule: NoiseSchedule) -> None:
    levels = built("euler", sigmas=[40, 3, 0.5, 0]).levels(schedule)
    ratios = levels.sigma / levels.alpha
    torch.testing.assert_close(ratios, torch.tensor([40, 3, 0.5, 0], dtype=torch.float64))
    torch.testing.assert_close(levels.t, schedule.model_time(schedule.time_of(ratios[:-1].log())))


def test_the_first_x_has_the_deviation_that_start_says() -> None:
    levels = NoiseLevels(torch.tensor([9]), torch.tensor([0.5, 1.0]), torch.tensor([2.0, 0.0]))
    noise = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    for start, deviation in (("unit", 4.25**0.5), ("sigma_max", 2.0), ("noise", 1.0)):
        torch.testing.assert_close(
            built("ddim", start=start, temperature=0.5).first(noise, levels), 0.5 * deviation * noise
        )


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_predictor_is_asked_at_the_times_that_it_was_prepared_for(name: str) -> None:
    """Between the points too, where noise is added before each step."""
    churn = {"s_churn": 3.0, "s_tmax": 20.0} if name in ("euler", "heun") else {}
    sampler = built(name, steps=8, **churn)
    levels = sampler.levels(SCHEDULES["edm"])
    rows = []

    def predict(x: Tensor, step: Step) -> Prediction:
        rows.append(step.row)
        assert float(step.t) == float(levels.asked[step.row].float())
        return exact(x, step)

    noise = PerSampleNoise([(0, 0)])
    for _ in sampler.states(predict, noise.initial((1, 1, 2, 2), "cpu"), levels, noise):
        pass
    assert max(rows) >= len(levels) if name == "heun" else set(rows) == set(range(len(levels)))
