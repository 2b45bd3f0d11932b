"""What this package supplies. Imports no torch: glidepath imports it whenever it lists or checks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glidepath.core import PartError, spacing_fault
from glidepath.registry import Command, Component, Kind, Need, Preset, hookimpl

if TYPE_CHECKING:
    from glidepath.core import Pipeline
    from glidepath.registry import Plan
    from glidepath_rectified_flow.config import EulerConfig, FlowConfig

NOISY = 20.0
"""A walk that begins below this sigma / alpha begins from an image that is still to be seen."""


def provides_flow(config: FlowConfig) -> dict[str, object]:
    """What others may rely on: the timesteps, and that alpha + sigma is 1."""
    return {"schedule.num_steps": config.num_steps, "schedule.flow": True}


def needs_of_euler(config: EulerConfig) -> dict[str, Need]:
    """Its spacing must exist among the schedule's timesteps."""
    fault = partial(spacing_fault, config.steps)
    return {"schedule.num_steps": Need(field="steps", test=fault, optional=True)}


def needs_of_matching(_config: None) -> dict[str, Need]:
    """There is nothing to match on a schedule that preserves variance."""
    return {"schedule.flow": Need(value=True, why="it matches denoisers of other schedules to the flow")}


_FLOW = 'Liu et al. 2023, "Flow Straight and Fast", arXiv:2209.03003'
_SD3 = 'Esser et al. 2024, "Scaling Rectified Flow Transformers", arXiv:2403.03206'
_HERE = "glidepath_rectified_flow"


@hookimpl
def kinds() -> Iterable[Kind]:
    """Ways to lay timesteps along the path: a kind of part that stands inside a schedule."""
    return [
        Kind(
            name="warp",
            interface=f"{_HERE}.warps:Warp",
            summary="how timesteps lie between image and noise, inside a schedule",
        )
    ]


@hookimpl
def components() -> Iterable[Component]:
    """A schedule, its two warps, a sampler and a guidance."""
    return [
        Component(
            kind="schedule",
            name="rectified-flow",
            target=f"{_HERE}.schedule:FlowSchedule",
            config=f"{_HERE}.config:FlowConfig",
            summary="the straight path: alpha = 1 - u, sigma = u",
            provides=provides_flow,
            references=[f"{_FLOW}, equation 1"],
        ),
        Component(
            kind="warp",
            name="even",
            target=f"{_HERE}.warps:EvenWarp",
            summary="timesteps at equal distances",
        ),
        Component(
            kind="warp",
            name="shifted",
            target=f"{_HERE}.warps:ShiftedWarp",
            config=f"{_HERE}.config:ShiftedConfig",
            summary="timesteps drawn towards the noise, for larger images",
            references=[f"{_SD3}, equation 23"],
        ),
        Component(
            kind="sampler",
            name="flow-euler",
            target=f"{_HERE}.euler:EulerSampler",
            config=f"{_HERE}.config:EulerConfig",
            summary="Euler's method along the velocity of the flow",
            needs=needs_of_euler,
            references=[f"{_FLOW}, algorithm 1"],
        ),
        Component(
            kind="guidance",
            name="matched-input",
            target=f"{_HERE}.matched:MatchedInput",
            summary="lets a denoiser that was trained on a variance-preserving schedule predict on the flow",
            needs=needs_of_matching,
            references=['Karras et al. 2022, "Elucidating the Design Space", arXiv:2206.00364, equation 7'],
        ),
    ]


@hookimpl
def presets() -> Iterable[Preset]:
    """The embedded model along the flow."""
    file = Path(__file__).with_name("flow-shapes.yaml")
    return [Preset(name="flow-shapes", file=file, summary="the embedded model along a rectified flow")]


@hookimpl
def commands() -> Iterable[Command]:
    """`glidepath straightness`."""
    target = f"{_HERE}.straightness:main"
    return [Command(name="straightness", target=target, summary="how straight the paths of a spec are")]


@hookimpl
def checks(kind: str) -> Iterable[Callable[[Any], Any]]:
    """How a warp is tried, and what every warp has to keep, whoever supplies it."""
    if kind != "warp":
        return []
    from glidepath_rectified_flow import conformance  # which imports torch

    return [
        conformance.WarpTrial,
        conformance.keeps_the_ends,
        conformance.rises,
        conformance.keeps_its_inverse,
    ]


@hookimpl
def on_assemble(plan: Plan) -> None:
    """Refuse what no `needs` can say: that something stands first in a list, or is missing from it."""
    schedule, guidance = plan.parts.get("schedule"), plan.parts.get("guidance", ())
    if schedule is None:  # a generator, which has none
        return
    assert not isinstance(schedule, tuple)
    assert isinstance(guidance, tuple)
    matching = [index for index, one in enumerate(guidance) if _is_ours(one, "matched-input")]
    if matching and matching != [0]:
        raise PartError("matched-input changes what the denoiser is given: it stands once, first in guidance")
    if _is_ours(schedule, "rectified-flow") and "trained_on" in schedule.parts and not matching:
        raise PartError(
            "the denoiser was trained on another schedule (schedule.trained_on): let guidance begin with "
            "matched-input"
        )


@hookimpl
def on_built(pipeline: Pipeline, plan: Plan) -> None:
    """Warn of a walk that begins where an image is still to be seen (Lin et al. 2024, arXiv:2305.08891)."""
    schedule = plan.parts.get("schedule")
    if schedule is None or not _is_ours(schedule, "rectified-flow"):
        return
    levels = pipeline.levels()
    ratio = float(levels.sigma[0] / levels.alpha[0])
    if ratio < NOISY:
        warnings.warn(
            f"the walk begins at sigma / alpha = {ratio:.3g}, where noise hides no image yet; sampler.steps "
            "should visit the last timestep, as '30' and 'trailing30' do",
            stacklevel=2,
        )


def _is_ours(planned: Any, name: str) -> bool:
    return bool(planned.registered.full_name == f"glidepath-rectified-flow/{name}")
