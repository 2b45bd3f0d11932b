"""Schedules in continuous time: the straight path of a flow, and noise that grows while the image stays."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glidepath.core import NoiseSchedule, PartError
from glidepath.plugins.schedules.configs import EdmConfig, FlowConfig
from glidepath.plugins.schedules.edm import EdmSchedule
from glidepath.plugins.schedules.flow import FlowSchedule
from glidepath.registry import SpecError, load_catalogue, make_plan, read_spec

T = torch.linspace(0.05, 0.95, 7, dtype=torch.float64)
TINY: dict[str, Any] = {
    "use": "adm-unet",
    "image_size": 8,
    "channels": 32,
    "channel_mult": [1],
    "attention_resolutions": [8],
    "head_channels": 16,
    "text_width": None,
}


def flow(**parameters: Any) -> FlowSchedule:
    return FlowSchedule(FlowConfig(**parameters))


@given(shift=st.floats(0.1, 12))
def test_a_shift_multiplies_sigma_over_alpha_on_the_straight_path(shift: float) -> None:
    alpha, sigma = flow(shift=shift).alpha_sigma(T)
    torch.testing.assert_close(alpha + sigma, torch.ones_like(T))
    torch.testing.assert_close(sigma / alpha, shift * T / (1 - T))


@pytest.mark.parametrize(
    ("size", "mu"),
    [((32, 32), 0.5), ((128, 128), 1.15), ((64, 64), 0.5 + 0.65 * 768 / 3840), ((64, 256), 1.15)],
)
def test_a_dynamic_shift_grows_with_the_tokens_of_the_latent(size: tuple[int, int], mu: float) -> None:
    """Flux: mu is 0.5 at 256 tokens, of 2 x 2 values each, and 1.15 at 4,096."""
    for dynamic, shift in (("exponential", math.exp(mu)), ("linear", mu)):
        alpha, sigma = flow(dynamic=dynamic).for_size(size).alpha_sigma(T)
        torch.testing.assert_close(sigma / alpha, shift * T / (1 - T))


def test_a_size_whose_shift_leaves_nothing_but_noise_is_refused_by_its_name() -> None:
    few = flow(dynamic="exponential", base_tokens=16, max_tokens=64)
    assert bool((few.for_size((80, 80)).alpha_sigma(T)[0] > 0).all())
    with pytest.raises(PartError, match=r"an x of 128x96 has 3072 patches, .* max_tokens, 64, and beyond"):
        few.for_size((96, 128))


def test_a_schedule_whose_noise_does_not_depend_on_the_size_is_the_same_for_every_size() -> None:
    for schedule in (flow(shift=3.0), EdmSchedule(EdmConfig())):
        assert schedule.for_size((4, 4)) is schedule


def test_the_levels_of_edm_are_those_of_equation_5() -> None:
    low, high, count = 0.002 ** (1 / 7), 80 ** (1 / 7), 18
    expected = [(high + i / (count - 1) * (low - high)) ** 7 for i in range(count)] + [0]
    levels = EdmSchedule(EdmConfig()).levels(count)
    torch.testing.assert_close(levels.sigma, torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(levels.t, levels.sigma[:-1].log() / 4)
    assert levels.alpha.tolist() == [1] * 19


@pytest.mark.parametrize("schedule", [flow(shift=3.0), EdmSchedule(EdmConfig())])
def test_the_time_of_a_noise_level_is_the_time_that_has_it(schedule: NoiseSchedule) -> None:
    alpha, sigma = schedule.alpha_sigma(T)
    torch.testing.assert_close(schedule.time_of(sigma.log() - alpha.log()), T)
    beyond = schedule.time_of(torch.tensor([-99.0, math.inf], dtype=torch.float64))
    torch.testing.assert_close(beyond, torch.tensor([0.0, 1.0], dtype=torch.float64))


def test_a_list_of_times_is_visited_as_it_stands() -> None:
    assert flow().levels([0.25, 1, 0.5]).sigma.tolist() == [1, 0.5, 0.25, 0]


@pytest.mark.parametrize("spacing", ["leading50", "10,10", 0, True, [], [0.0], [1.5]])
def test_other_spacings_do_not_exist_in_continuous_time(spacing: Any) -> None:
    with pytest.raises(ValueError, match=r"continuous time|at least one"):
        flow().levels(spacing)


@pytest.mark.parametrize(
    ("changes", "place", "message"),
    [
        ({"denoiser.predicts": "epsilon"}, "schedule", "prediction.kind velocity or sample or flow"),
        ({"sampler": {"use": "ddim", "steps": "leading10"}}, "sampler.steps", "continuous time"),
        ({"sampler": {"use": "euler", "sigmas": "karras"}}, "sampler.sigmas", "infinite"),
        ({"sampler": {"use": "pndm", "steps": 10}}, "sampler", "infinite"),
        (
            {"sampler": {"use": "euler", "sigmas": [9, 1], "timesteps": "rounded"}},
            "sampler.timesteps",
            "no nearest timestep",
        ),
        ({"schedule.dynamic": "linear", "schedule.shift": 2}, "schedule.shift", "size of the latent"),
    ],
)
def test_what_a_flow_cannot_do_is_refused_before_anything_is_built(
    changes: dict[str, Any], place: str, message: str
) -> None:
    catalogue = load_catalogue()
    denoiser = {**TINY, "predicts": "flow"}
    spec: dict[str, Any] = {"schedule": {"use": "flow"}, "denoiser": denoiser, "sampler": {"use": "euler"}}
    make_plan(read_spec(spec, catalogue=catalogue), catalogue)
    for path, value in changes.items():
        *above, name = path.split(".")
        (spec[above[0]] if above else spec)[name] = value
    with pytest.raises(SpecError, match=message) as caught:
        make_plan(read_spec(spec, catalogue=catalogue), catalogue)
    assert [problem.path for problem in caught.value.problems] == [place]
