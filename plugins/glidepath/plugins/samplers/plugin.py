"""What this plugin supplies, and the parameters of each part. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Literal

import attrs
from attrs.validators import ge, gt, in_, le, optional

from glidepath.core.spacing import spacing_fault
from glidepath.registry.component import Component, Need, doc
from glidepath.registry.hooks import hookimpl

_STEPS = (
    "which timesteps are visited: a number of them (20), sections ('10,10,5'), 'fast27', 'ddim50', "
    "'leading50', 'leading50+1', 'trailing50', 'uniform50', or a list ([0, 10, 500])"
)
_SIGMAS = (
    "how the noise levels lie between the noisiest and the cleanest of the steps: schedule, at the timesteps "
    "themselves; time, evenly in time, at fractions of timesteps; karras, more of them at low noise (evenly "
    "in sigma^(1/7), sigma over alpha); exponential, evenly in log sigma"
)
_TIMESTEPS = (
    "of which time the denoiser hears where sigmas are spaced anew: exact, a fraction; rounded, the nearest "
    "timestep of its training"
)
_END = (
    "where the last step ends: clean, at the image; first, at the noise level of timestep 0 (elsewhere: "
    "final_sigmas_type: sigma_min, or set_alpha_to_one: false)"
)
_CLIP = "clip each predicted x_0 to [-1, 1]; false for latent spaces"
_TEMPERATURE = "what the first noise is multiplied by; GLIDE's upsampler uses 0.997"
_SOLVER = "midpoint or heun: how the integral of the second order is closed; the paper prefers midpoint"
_LOWER_ORDER_FINAL = (
    "below 15 steps, end with steps of a lower order; the very last is of the first order anyway where it "
    "ends at the image"
)


@attrs.frozen(kw_only=True)
class WalkConfig:
    """What every sampler of this plugin has."""

    steps: int | str | tuple[int, ...] = attrs.field(default=20, metadata=doc(_STEPS))
    sigmas: Literal["schedule", "time", "karras", "exponential"] = attrs.field(
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
    end: Literal["clean", "first"] = attrs.field(default="clean", metadata=doc(_END))
    clip: bool = attrs.field(default=True, metadata=doc(_CLIP))
    temperature: float = attrs.field(default=1.0, validator=gt(0), metadata=doc(_TEMPERATURE))


@attrs.frozen(kw_only=True)
class EulerConfig(WalkConfig):
    """One straight line for each step."""


@attrs.frozen(kw_only=True)
class EulerAncestralConfig(WalkConfig):
    """One straight line for each step, and noise drawn anew."""

    eta: float = attrs.field(
        default=1.0,
        validator=[ge(0), le(1)],
        metadata=doc("how much of the noise is drawn anew, from 0 (none: euler) to 1 (as much as DDPM)"),
    )


@attrs.frozen(kw_only=True)
class HeunConfig(WalkConfig):
    """The mean of the slopes at both ends of each step."""


@attrs.frozen(kw_only=True)
class DpmppConfig(WalkConfig):
    """A polynomial through the last predictions."""

    solver: Literal["midpoint", "heun"] = attrs.field(default="midpoint", metadata=doc(_SOLVER))
    lower_order_final: bool = attrs.field(default=True, metadata=doc(_LOWER_ORDER_FINAL))


@attrs.frozen(kw_only=True)
class Dpmpp3Config(WalkConfig):
    """A parabola through the last three predictions."""

    solver: Literal["midpoint", "heun"] = attrs.field(
        default="midpoint", metadata=doc(f"of the steps that are of the second order. {_SOLVER}")
    )
    lower_order_final: bool = attrs.field(default=True, metadata=doc(_LOWER_ORDER_FINAL))


@attrs.frozen(kw_only=True)
class DpmppSdeConfig(WalkConfig):
    """A polynomial through the last predictions, and noise drawn anew."""

    solver: Literal["midpoint", "heun"] = attrs.field(default="midpoint", metadata=doc(_SOLVER))
    lower_order_final: bool = attrs.field(default=True, metadata=doc(_LOWER_ORDER_FINAL))
    eta: float = attrs.field(
        default=1.0,
        validator=ge(0),
        metadata=doc("how much noise is drawn anew: 0 is dpmpp-2m, 1 the paper's stochastic equation"),
    )


@attrs.frozen(kw_only=True)
class UniPcConfig(WalkConfig):
    """A predictor, and a corrector without a prediction of its own."""

    order: int = attrs.field(
        default=2, validator=in_((1, 2, 3)), metadata=doc("of the predictor; 2 with guidance, 3 without")
    )
    solver: Literal["bh1", "bh2"] = attrs.field(
        default="bh2", metadata=doc("the paper's B(h): bh1, h; bh2, e^h - 1, better where h is large")
    )


@attrs.frozen(kw_only=True)
class PndmConfig:
    """A combination of the last four predictions."""

    steps: int | str | tuple[int, ...] = attrs.field(
        default="leading50",
        metadata=doc(f"{_STEPS}; evenly in time, as the weights are those of even steps"),
    )
    warm_up: Literal["runge-kutta", "heun"] = attrs.field(
        default="runge-kutta",
        metadata=doc(
            "how the first steps are made, which have no past: runge-kutta, three steps of four predictions "
            "each; heun, one more prediction at the first step (elsewhere: skip_prk_steps, PLMS)"
        ),
    )
    end: Literal["clean", "first"] = attrs.field(default="clean", metadata=doc(_END))
    clip: bool = attrs.field(default=True, metadata=doc(_CLIP))
    temperature: float = attrs.field(default=1.0, validator=gt(0), metadata=doc(_TEMPERATURE))


def _needs(config: WalkConfig | PndmConfig) -> dict[str, Need]:
    def fault(num_steps: int) -> str:
        return spacing_fault(config.steps, num_steps)

    # optional: a schedule that does not say its number of steps still refuses the spacing itself, when built
    needs = {"schedule.num_steps": Need(field="steps", test=fault, optional=True)}
    if isinstance(config, PndmConfig) or (config.sigmas != "schedule" and config.sigma_max is None):
        needs["schedule.zero_terminal_snr"] = Need(
            field="" if isinstance(config, PndmConfig) else "sigmas", test=_needs_signal, optional=True
        )
    return needs


def _order(order: int, _config: object) -> dict[str, object]:
    """By which power of the step its error falls, for all of a walk: its first steps have no past."""
    return {"sampler.order": order}


def _faults(config: WalkConfig | PndmConfig) -> list[tuple[str, str]]:
    if isinstance(config, PndmConfig) or config.sigma_max is None or config.sigmas != "schedule":
        return []
    return [("sigma_max", "sigma_max bounds noise levels that are spaced anew; set sigmas: karras, say")]


def _needs_signal(zero_terminal_snr: bool) -> str:
    return "at zero_terminal_snr the first sigma over alpha is infinite" if zero_terminal_snr else ""


_EDM = (
    'Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models", '
    "arXiv:2206.00364"
)
_DPMPP = (
    'Lu et al. 2022, "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models", '
    "arXiv:2211.01095"
)
_HERE = "glidepath.plugins.samplers"


@hookimpl
def components() -> Iterable[Component]:
    """The samplers."""
    return tuple(_samplers())


def _samplers() -> Iterator[Component]:
    rows: tuple[tuple[str, str, type, int, str, tuple[str, ...]], ...] = (
        (
            "euler",
            "euler:EulerSampler",
            EulerConfig,
            1,
            "straight lines in sigma over alpha: DDIM without noise, with a choice of noise levels",
            (f"{_EDM}, equation 4 and appendix D.1",),
        ),
        (
            "euler-ancestral",
            "euler:EulerAncestralSampler",
            EulerAncestralConfig,
            1,
            "Euler's method with noise drawn anew at each step: DDIM at eta 1",
            (
                'Song et al. 2021, "Denoising Diffusion Implicit Models", arXiv:2010.02502, equation 16',
                f"{_EDM}, appendix D.1",
            ),
        ),
        (
            "heun",
            "heun:HeunSampler",
            HeunConfig,
            2,
            "second order, two predictions for each step",
            (f"{_EDM}, algorithm 1",),
        ),
        (
            "dpmpp-2m",
            "dpmpp:DpmppSampler",
            DpmppConfig,
            2,
            "second order at one prediction for each step",
            (f"{_DPMPP}, algorithm 2",),
        ),
        (
            "dpmpp-3m",
            "dpmpp:Dpmpp3Sampler",
            Dpmpp3Config,
            2,
            "three predictions joined in each step, for images without much guidance",
            (f"{_DPMPP}, the program published with it (multistep, order 3)",),
        ),
        (
            "dpmpp-2m-sde",
            "dpmpp:DpmppSdeSampler",
            DpmppSdeConfig,
            1,
            "second order of the stochastic equation: noise drawn anew at each step",
            (f"{_DPMPP}, equations 18 and 19",),
        ),
        (
            "unipc",
            "unipc:UniPcSampler",
            UniPcConfig,
            2,
            "predictor and corrector at one prediction for each step",
            (
                'Zhao et al. 2023, "UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of '
                'Diffusion Models", arXiv:2302.04867, algorithms 5 and 6',
            ),
        ),
        (
            "pndm",
            "pndm:PndmSampler",
            PndmConfig,
            2,
            "fourth order in epsilon, for 50 even steps (Stable Diffusion's PLMS)",
            (
                'Liu et al. 2022, "Pseudo Numerical Methods for Diffusion Models on Manifolds", '
                "arXiv:2202.09778, algorithm 2",
            ),
        ),
    )
    for name, target, config, order, summary, references in rows:
        yield Component(
            kind="sampler",
            name=name,
            target=f"{_HERE}.{target}",
            config=config,
            summary=summary,
            provides=partial(_order, order),
            needs=_needs,
            check=_faults,
            references=references,
        )
