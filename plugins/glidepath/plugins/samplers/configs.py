"""The parameters of each sampler. Imports no torch; imported where one is used, not where it is listed."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import attrs
from attrs.validators import ge, gt, in_, le, optional

from glidepath.registry import WholeAtLeast, doc

_STEPS = (
    "which timesteps are visited: a number of them (20), sections ('10,10,5'), 'fast27', 'ddim50', "
    "'leading50', 'leading50+1', 'trailing50', 'uniform50', or a list ([0, 10, 500])"
)
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
_END = (
    "where the last step ends: clean, at the image; first, at the noise level of timestep 0 (elsewhere: "
    "final_sigmas_type: sigma_min, or set_alpha_to_one: false)"
)
_CLIP = "clip each predicted x_0 to [-clip_range, clip_range]; false for latent spaces"
_CLIP_RANGE = "where each predicted x_0 is clipped (elsewhere: clip_sample_range)"
_TEMPERATURE = "what the first noise is multiplied by; GLIDE's upsampler uses 0.997"
_SOLVER = "midpoint or heun: how the integral of the second order is closed; the paper prefers midpoint"
_LOWER_ORDER_FINAL = (
    "below 15 steps, end with steps of a lower order; the very last is of the first order anyway where it "
    "ends at the image"
)


def _steps(default: int | str, more: str = "") -> Any:
    return attrs.field(default=default, validator=WholeAtLeast(1), metadata=doc(_STEPS + more))


def _end() -> Any:
    return attrs.field(default="clean", metadata=doc(_END))


def _clip() -> Any:
    return attrs.field(default=True, metadata=doc(_CLIP))


def _clip_range() -> Any:
    return attrs.field(default=1.0, validator=gt(0), metadata=doc(_CLIP_RANGE, unbounded=True))


def _temperature() -> Any:
    return attrs.field(default=1.0, validator=gt(0), metadata=doc(_TEMPERATURE))


@attrs.frozen(kw_only=True)
class GridConfig:
    """A sampler whose noise levels can be spaced anew; the base of the parameters of most others."""

    steps: int | str | tuple[int, ...] = _steps(20)
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
    end: Literal["clean", "first"] = _end()
    clip: bool = _clip()
    clip_range: float = _clip_range()
    temperature: float = _temperature()


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
class DdpmConfig:
    """Ancestral sampling."""

    steps: int | str | tuple[int, ...] = _steps(150)
    variance: Literal["auto", "learned-range", "learned", "fixed-small", "fixed-large"] = attrs.field(
        default="auto",
        metadata=doc(
            "of the noise that each step adds. auto: learned-range where the denoiser learns its variance, "
            "fixed-small where it does not; learned-range: between the two fixed ones, where the denoiser "
            "says; learned: the second half of the denoiser's output is the log-variance itself; "
            "fixed-small: that of q(x_s | x_t, x_0); fixed-large: beta"
        ),
    )
    clip: bool = _clip()
    clip_range: float = _clip_range()
    temperature: float = _temperature()


@attrs.frozen(kw_only=True)
class DdimConfig:
    """Implicit sampling, deterministic unless eta is raised. It visits the timesteps themselves."""

    sigmas: ClassVar[Literal["schedule"]] = "schedule"
    sigma_max: ClassVar[None] = None
    timesteps: ClassVar[Literal["exact"]] = "exact"

    steps: int | str | tuple[int, ...] = _steps(50)
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
    end: Literal["clean", "first"] = _end()
    clip: bool = _clip()
    clip_range: float = _clip_range()
    temperature: float = _temperature()


@attrs.frozen(kw_only=True)
class EulerConfig(ChurnedConfig):
    """One straight line for each step: DDIM at eta 0."""

    eta: ClassVar[float] = 0.0
    epsilon: ClassVar[Literal["clipped"]] = "clipped"


@attrs.frozen(kw_only=True)
class HeunConfig(ChurnedConfig):
    """One straight line for each step, corrected by the slope at its end."""


@attrs.frozen(kw_only=True)
class EulerAncestralConfig(GridConfig):
    """One straight line for each step, and noise drawn anew: DDIM at that eta."""

    epsilon: ClassVar[Literal["clipped"]] = "clipped"

    eta: float = attrs.field(
        default=1.0,
        validator=[ge(0), le(1)],
        metadata=doc("how much of the noise is drawn anew, from 0 (none: euler) to 1 (as much as DDPM)"),
    )


@attrs.frozen(kw_only=True)
class DpmppConfig(GridConfig):
    """A polynomial through the last predictions."""

    solver: Literal["midpoint", "heun"] = attrs.field(default="midpoint", metadata=doc(_SOLVER))
    lower_order_final: bool = attrs.field(default=True, metadata=doc(_LOWER_ORDER_FINAL))


@attrs.frozen(kw_only=True)
class Dpmpp3Config(GridConfig):
    """A parabola through the last three predictions."""

    solver: Literal["midpoint", "heun"] = attrs.field(
        default="midpoint", metadata=doc(f"of the steps that are of the second order. {_SOLVER}")
    )
    lower_order_final: bool = attrs.field(default=True, metadata=doc(_LOWER_ORDER_FINAL))


@attrs.frozen(kw_only=True)
class DpmppSdeConfig(GridConfig):
    """A polynomial through the last predictions, and noise drawn anew."""

    solver: Literal["midpoint", "heun"] = attrs.field(default="midpoint", metadata=doc(_SOLVER))
    lower_order_final: bool = attrs.field(default=True, metadata=doc(_LOWER_ORDER_FINAL))
    eta: float = attrs.field(
        default=1.0,
        validator=ge(0),
        metadata=doc("how much noise is drawn anew: 0 is dpmpp-2m, 1 the paper's stochastic equation"),
    )


@attrs.frozen(kw_only=True)
class UniPcConfig(GridConfig):
    """A predictor, and a corrector without a prediction of its own."""

    order: int = attrs.field(
        default=2, validator=in_((1, 2, 3)), metadata=doc("of the predictor; 2 with guidance, 3 without")
    )
    solver: Literal["bh1", "bh2"] = attrs.field(
        default="bh2", metadata=doc("the paper's B(h): bh1, h; bh2, e^h - 1, better where h is large")
    )
    predict_x0: bool = attrs.field(
        default=True,
        metadata=doc(
            "true: the form for a predicted x_0; false: that for epsilon, for images without guidance"
        ),
    )
    corrector: bool = attrs.field(
        default=True,
        metadata=doc("correct each step by the prediction at its end; false: the predictor alone"),
    )


@attrs.frozen(kw_only=True)
class PndmConfig:
    """A combination of the last four predictions."""

    steps: int | str | tuple[int, ...] = _steps(
        "leading50", "; evenly in time, as the weights are those of even steps"
    )
    warm_up: Literal["runge-kutta", "heun"] = attrs.field(
        default="runge-kutta",
        metadata=doc(
            "how the first steps are made, which have no past: runge-kutta, three steps of four predictions "
            "each; heun, one more prediction at the first step (elsewhere: skip_prk_steps, PLMS)"
        ),
    )
    end: Literal["clean", "first"] = _end()
    clip: bool = _clip()
    clip_range: float = _clip_range()
    temperature: float = _temperature()
