"""Continuous schedules visit the levels of diffusers and k-diffusion; the samplers walk along them likewise.

The closed formula of the recordings stands for a network: it is read as a flow, or as EDM's F inside its
preconditioning (Karras et al. 2022, equation 7).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from glidepath.core import NoiseSchedule, Prediction, Sampler, Step
from glidepath.plugins.samplers.ddim import DdimSampler
from glidepath.plugins.samplers.dpmpp import Dpmpp3Sampler, DpmppSampler, DpmppSdeSampler
from glidepath.plugins.samplers.grid_configs import EulerConfig, HeunConfig
from glidepath.plugins.samplers.heun import HeunSampler
from glidepath.plugins.samplers.multistep_configs import (
    Dpmpp3Config,
    DpmppConfig,
    DpmppSdeConfig,
    UniPcConfig,
)
from glidepath.plugins.samplers.unipc import UniPcSampler
from glidepath.plugins.schedules.configs import EdmConfig, FlowConfig
from glidepath.plugins.schedules.edm import EdmSchedule
from glidepath.plugins.schedules.flow import FlowSchedule

from .recorded import DATA, RecordedNoise, described, difference

FILE = "continuous"
TOLERANCE = 1e-5  # of all tensors of these files but one
RUNS = described(FILE)["runs"]
GRIDS = described(FILE)["grids"]
FLOW_GRIDS = [name for name in GRIDS if name.startswith("flow_")]
RATIO_GRIDS = [name for name in GRIDS if name not in FLOW_GRIDS]


def recorded(name: str) -> dict[str, Tensor]:
    tensors = load_file(DATA / f"{FILE}.safetensors")
    return {key.partition(".")[2]: value for key, value in tensors.items() if key.partition(".")[0] == name}


@pytest.mark.parametrize("name", FLOW_GRIDS)
def test_the_levels_of_a_flow_are_those_of_diffusers(name: str) -> None:
    settings, expected = GRIDS[name], recorded(name)
    levels = flow_of(settings).levels(settings["steps"])
    torch.testing.assert_close(levels.sigma.float(), expected["sigmas"], rtol=TOLERANCE, atol=0)
    torch.testing.assert_close(levels.t.float(), expected["timesteps"], rtol=TOLERANCE, atol=0)


@pytest.mark.parametrize("name", RATIO_GRIDS)
def test_the_levels_of_edm_are_those_of_k_diffusion(name: str) -> None:
    given, expected = GRIDS[name]["kwargs"], recorded(name)["sigmas"]
    config = EdmConfig(sigma_min=given["sigma_min"], sigma_max=given["sigma_max"], rho=given.get("rho", 7.0))
    sigmas = "exponential" if name.startswith("exponential") else "schedule"
    levels = DdimSampler(EulerConfig(steps=given["n"], sigmas=sigmas)).levels(EdmSchedule(config))
    torch.testing.assert_close(levels.sigma.float(), expected, rtol=TOLERANCE, atol=0)


@pytest.mark.parametrize("run", RUNS)
def test_a_walk_in_continuous_time_is_that_of_diffusers(run: str) -> None:
    settings, tensors = RUNS[run], recorded(run)
    is_flow = not run.startswith("edm")
    schedule = flow_of(settings) if is_flow else edm_of(settings)
    sampler = SAMPLERS[run.partition("-")[0]](settings)
    levels = sampler.levels(schedule)
    if run.startswith("flow_heun"):  # which records a trial within each step but the last
        count = len(tensors["samples"])
        tensors["samples"] = tensors["samples"][[*range(1, count - 1, 2), count - 1]]
        for name in ("sigmas", "timesteps"):
            tensors[name] = torch.cat([tensors[name][:1], tensors[name][1::2]])
    torch.testing.assert_close(levels.sigma.float(), tensors["sigmas"], rtol=TOLERANCE, atol=0)
    torch.testing.assert_close(levels.t.float(), tensors["timesteps"].float(), rtol=TOLERANCE, atol=TOLERANCE)
    x = sampler.first(tensors["x_T"], levels)
    given = settings.get("kwargs", {})
    predict = flow if is_flow else preconditioned(given.get("sigma_data", 0.5), "prediction_type" in given)
    noise = RecordedNoise(tensors.get("noise", torch.zeros(0)))
    ours = torch.stack([state.x for state in sampler.states(predict, x, levels, noise)])
    assert difference(ours, tensors["samples"]) < (2e-5 if run == "flow_heun-shift1" else TOLERANCE)


def flow_of(settings: dict[str, Any]) -> NoiseSchedule:
    """Our schedule for one of diffusers' schedulers of flows."""
    given = settings.get("kwargs", {})
    grid = {"FlowMatch": "flow-match-euler", "DPMSolver": "dpm-solver", "UniPC": "unipc"}
    name = next(ours for theirs, ours in grid.items() if settings["class"].startswith(theirs))
    config = FlowConfig(
        shift=given.get("shift", given.get("flow_shift", 1.0)),
        shift_terminal=given.get("shift_terminal"),
        spacing=next((name for name in ("karras", "exponential") if given.get(f"use_{name}_sigmas")), "even"),  # type: ignore[arg-type]
        grid=name,  # type: ignore[arg-type]
    )
    mu = settings.get("set_timesteps", {}).get("mu")
    if mu is None:
        return FlowSchedule(config)
    # there mu is the caller's, and the table of timesteps is not shifted; here 256 tokens have it
    sized = attrs.evolve(
        config, dynamic=given.get("time_shift_type", "exponential"), base_shift=mu, grid="flow-match-euler"
    )
    return FlowSchedule(sized).for_size((32, 32))


def edm_of(settings: dict[str, Any]) -> EdmSchedule:
    return EdmSchedule(EdmConfig(sigma_max=settings["kwargs"].get("sigma_max", 80.0)))


def flow(x: Tensor, step: Step) -> Prediction:
    return Prediction(formula(x, step.t), "flow", x, step)


def formula(x: Tensor, t: Tensor) -> Tensor:
    return 0.1 * x + torch.sin(t.double() / 100).float()


def preconditioned(sigma_data: float, negative: bool) -> Callable[[Tensor, Step], Prediction]:
    """EDM's D; where F is said to be a velocity, diffusers turns its sign."""

    def predict(x: Tensor, step: Step) -> Prediction:
        total = step.sigma**2 + sigma_data**2
        output = formula(x / total.sqrt(), step.t)
        of_output = step.sigma * sigma_data / total.sqrt() * (-1 if negative else 1)
        return Prediction(sigma_data**2 / total * x + of_output * output, "sample", x, step)

    return predict


def _common(settings: dict[str, Any]) -> dict[str, Any]:
    given = settings.get("kwargs", {})
    sigmas = settings.get("set_timesteps", {}).get("sigmas")
    return {
        "steps": settings["steps"] if sigmas is None else tuple(sigmas),
        "sigmas": "exponential" if given.get("sigma_schedule") == "exponential" else "schedule",
        "end": "first" if given.get("final_sigmas_type") == "sigma_min" else "clean",
        "clip": False,
    }


def _euler(settings: dict[str, Any]) -> Sampler:
    return DdimSampler(EulerConfig(**_common(settings), start="noise"))


def _edm_dpm(settings: dict[str, Any]) -> Sampler:
    given = settings["kwargs"]
    if given.get("algorithm_type") == "sde-dpmsolver++":
        return DpmppSdeSampler(DpmppSdeConfig(**_common(settings)))
    if given.get("solver_order") == 3:
        return Dpmpp3Sampler(Dpmpp3Config(**_common(settings)))
    return DpmppSampler(DpmppConfig(**_common(settings), solver=given.get("solver_type", "midpoint")))


SAMPLERS: dict[str, Callable[[dict[str, Any]], Sampler]] = {
    "flow_euler": _euler,
    "flow_heun": lambda settings: HeunSampler(HeunConfig(**_common(settings), start="noise", slope="flow")),
    "dpm_multi": lambda settings: DpmppSampler(DpmppConfig(**_common(settings), start="noise")),
    "unipc": lambda settings: UniPcSampler(UniPcConfig(**_common(settings), start="noise")),
    "edm_euler": lambda settings: DdimSampler(EulerConfig(**_common(settings))),
    "edm_dpm": _edm_dpm,
}
