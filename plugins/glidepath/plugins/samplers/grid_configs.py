"""The parameters of the samplers whose noise levels can be spaced anew. Imports no torch."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import attrs
from attrs.validators import ge, gt, le, optional

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

_SIGMAS = (
    "how the noise levels lie between the noisiest and the cleanest of the steps: schedule, at the timesteps "
    "themselves; time, evenly in time, at fractions of timesteps; karras, more of them at low noise (evenly "
    "in sigma^(1/7), sigma over alpha); exponential, evenly in log sigma; a list of numbers, such as "
    "[80, 10, 1, 0.1]: these, sigma over alpha, noisiest first, in place of `steps`"
)
_TIMESTEPS = (
    "the time that the denoiser receives where sigmas are spaced anew: exact, a fraction; rounded, the "
    "nearest timestep of its training"
)


@attrs.frozen(kw_only=True)
class GridConfig:
    """A sampler whose noise levels can be spaced anew; the base of the parameters of most others."""

    steps: int | str | tuple[int | float, ...] = steps_field(20)
    sigmas: Literal["schedule", "time", "karras", "exponential"] | tuple[float, ...] = attrs.field(
        default="schedule", metadata=doc(_SIGMAS)
    )
    sigma_max: float | None = attrs.field(
        default=None,
        validator=optional(gt(0)),
        metadata=doc(
            "the noisiest sigma over alpha, where sigmas are spaced anew; Karras et al. begin at 80; none: "
            "that of the first step"
        ),
    )
    timesteps: Literal["exact", "rounded"] = attrs.field(default="exact", metadata=doc(_TIMESTEPS))
    end: Literal["clean", "first"] = end_field()
    clip: bool | Literal["auto"] = clip_field()
    clip_range: float = clip_range_field()
    temperature: float = temperature_field()
    start: Literal["unit", "sigma_max", "noise"] = start_field()
    known: Literal["x_0", "x_t"] = known_field()


@attrs.frozen(kw_only=True)
class ChurnedConfig(GridConfig):
    """A sampler that may add noise before each step, and so corrects what earlier steps did wrong."""

    s_churn: float = attrs.field(
        default=0.0,
        validator=ge(0),
        metadata=doc(
            "how much noise is added before each of N steps: sigma grows by a share of s_churn / N, at most "
            "sqrt(2) - 1; 0: none, deterministic"
        ),
    )
    s_tmin: float = attrs.field(
        default=0.0, validator=ge(0), metadata=doc("noise is added where sigma over alpha is at least this")
    )
    s_tmax: float = attrs.field(
        default=math.inf,
        validator=gt(0),
        metadata=doc("noise is added where sigma over alpha is at most this; .inf: from the first step"),
    )
    s_noise: float = attrs.field(
        default=1.0,
        validator=gt(0),
        metadata=doc("the standard deviation of what is added; 1.003 to 1.007 keeps more detail"),
    )


@attrs.frozen(kw_only=True)
class EulerConfig(ChurnedConfig):
    """One straight line for each step: DDIM at eta 0."""

    eta: ClassVar[float] = 0.0
    epsilon: ClassVar[Literal["clipped"]] = "clipped"


@attrs.frozen(kw_only=True)
class HeunConfig(ChurnedConfig):
    """One straight line for each step, corrected by the slope at its end."""

    slope: Literal["epsilon", "flow"] = attrs.field(
        default="epsilon",
        metadata=doc(
            "what is averaged over a step. epsilon, along sigma over alpha, as EDM has it; flow, "
            "epsilon - x_0, along sigma over alpha + sigma, as flow matching has it, from noise alone too"
        ),
    )


@attrs.frozen(kw_only=True)
class EulerAncestralConfig(GridConfig):
    """One straight line for each step, and noise drawn anew: DDIM at that eta."""

    epsilon: ClassVar[Literal["clipped"]] = "clipped"

    eta: float = attrs.field(
        default=1.0,
        validator=[ge(0), le(1)],
        metadata=doc("how much of the noise is drawn anew, from 0 (none: euler) to 1 (as much as DDPM)"),
    )
