"""The parameters of the samplers that visit timesteps themselves.

Imports no torch; imported where a sampler is used, not where it is listed.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs
from attrs.validators import ge, le

from glidepath.plugins.samplers.fields import (
    clip_field,
    clip_range_field,
    end_field,
    known_field,
    start_field,
    steps_field,
    temperature_field,
)
from glidepath.registry import doc


@attrs.frozen(kw_only=True)
class DdpmConfig:
    """Ancestral sampling."""

    steps: int | str | tuple[int | float, ...] = steps_field(150)
    variance: Literal["auto", "learned-range", "learned", "fixed-small", "fixed-large"] = attrs.field(
        default="auto",
        metadata=doc(
            "of the noise that each step adds. auto: learned-range where the denoiser learns its variance, "
            "fixed-small where it does not; learned-range: between the two fixed ones, where the denoiser "
            "says; learned: the second half of the denoiser's output is the log-variance itself; "
            "fixed-small: that of q(x_s | x_t, x_0); fixed-large: beta"
        ),
    )
    clip: bool | Literal["auto"] = clip_field()
    clip_range: float = clip_range_field()
    temperature: float = temperature_field()
    start: Literal["unit", "sigma_max", "noise"] = start_field()
    known: Literal["x_0", "x_t"] = known_field()


@attrs.frozen(kw_only=True)
class DdimConfig:
    """Implicit sampling, deterministic unless eta is raised. It visits the timesteps themselves."""

    sigmas: ClassVar[Literal["schedule"]] = "schedule"
    sigma_max: ClassVar[None] = None
    timesteps: ClassVar[Literal["exact"]] = "exact"

    steps: int | str | tuple[int | float, ...] = steps_field(50)
    eta: float = attrs.field(
        default=0.0,
        validator=[ge(0), le(1)],
        metadata=doc(
            "how much of the noise is drawn anew, from 0 (none: deterministic) to 1 (as much as DDPM)"
        ),
    )
    epsilon: Literal["clipped", "predicted"] = attrs.field(
        default="clipped",
        metadata=doc(
            "which noise is kept where x_0 is clipped: clipped, the one that follows from the clipped x_0, "
            "as ADM and GLIDE have it; predicted, the denoiser's own, as diffusers has it, also where the "
            "guidance dynamic-threshold clips"
        ),
    )
    end: Literal["clean", "first"] = end_field()
    clip: bool | Literal["auto"] = clip_field()
    clip_range: float = clip_range_field()
    temperature: float = temperature_field()
    start: Literal["unit", "sigma_max", "noise"] = start_field()
    known: Literal["x_0", "x_t"] = known_field()


@attrs.frozen(kw_only=True)
class PndmConfig:
    """A combination of the last four predictions."""

    steps: int | str | tuple[int | float, ...] = steps_field(
        "leading50", "; evenly in time, as the weights are those of even steps"
    )
    warm_up: Literal["runge-kutta", "heun"] = attrs.field(
        default="runge-kutta",
        metadata=doc(
            "how the first steps are made, which have no past: runge-kutta, three steps of four predictions "
            "each; heun, one more prediction at the first step (elsewhere: skip_prk_steps, PLMS)"
        ),
    )
    end: Literal["clean", "first"] = end_field()
    clip: bool | Literal["auto"] = clip_field()
    clip_range: float = clip_range_field()
    temperature: float = temperature_field()
    start: Literal["unit", "sigma_max", "noise"] = start_field()
    known: Literal["x_0", "x_t"] = known_field()
