"""What this plugin supplies, and the parameters of each part. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import attrs
from attrs.validators import deep_iterable, ge, gt, le, lt, min_len, optional

from glidepath.registry.component import Component, Need, doc, part
from glidepath.registry.hooks import hookimpl


@attrs.frozen(kw_only=True)
class RescaleConfig:
    """The spread that guidance added, taken back."""

    phi: float = attrs.field(
        default=0.7,
        validator=[ge(0), le(1)],
        metadata=doc("how much of the spread is taken back, from 0 (nothing) to 1 (all)"),
    )


@attrs.frozen(kw_only=True)
class IntervalConfig:
    """Guidance at some noise levels only. A level is sigma / alpha."""

    low: float = attrs.field(
        default=0.0,
        validator=ge(0),
        metadata=doc("guide at noise levels (sigma / alpha) above this one; 0: down to the image"),
    )
    high: float = attrs.field(
        default=math.inf,
        validator=gt(0),
        metadata=doc("guide at noise levels up to this one; .inf: from the first step"),
    )


@attrs.frozen(kw_only=True)
class ScaleScheduleConfig:
    """A weight for each step."""

    shape: Literal["constant", "linear", "inverse-linear", "cosine", "power-cosine"] = attrs.field(
        default="linear",
        metadata=doc(
            "the weight of a step, where u rises from 1 / steps at the first step to 1 at the last. "
            "constant: 1; linear: u; inverse-linear: 1 - u; cosine: (1 - cos(pi u)) / 2; "
            "power-cosine: (1 - cos(pi u^power)) / 2"
        ),
    )
    power: float = attrs.field(
        default=4.0, validator=gt(0), metadata=doc("of power-cosine: the larger, the later guidance sets in")
    )
    floor: float = attrs.field(
        default=0.0, validator=ge(0), metadata=doc("no weight is lower (clamp-linear, clamp-cosine)")
    )
    values: tuple[float, ...] | None = attrs.field(
        default=None,
        validator=optional(deep_iterable(ge(0), min_len(1))),  # type: ignore[arg-type]  # attrs infers None
        metadata=doc(
            "weights in place of a shape, first step first; fewer than there are steps are spread evenly"
        ),
    )


@attrs.frozen(kw_only=True)
class DynamicThresholdConfig:
    """Each predicted x_0 brought back to [-1, 1] by what most of its pixels need."""

    percentile: float = attrs.field(
        default=0.995,
        validator=[gt(0), le(1)],
        metadata=doc("the share of the values of |x_0| that end within the bounds; the rest is clipped"),
    )


@attrs.frozen(kw_only=True)
class AdaptiveProjectedConfig:
    """Classifier-free guidance without what oversaturates."""

    scale: float = attrs.field(
        default=3.0,
        validator=ge(0),
        metadata=doc("as for classifier-free guidance; 1 follows the prompt without guidance"),
    )
    eta: float = attrs.field(
        default=0.0,
        validator=ge(0),
        metadata=doc(
            "how much is kept of the difference that lies along the prediction itself; 1: all, as in "
            "classifier-free guidance"
        ),
    )
    norm_threshold: float | None = attrs.field(
        default=None,
        validator=optional(gt(0)),
        metadata=doc(
            "the longest that the difference of a sample may be, as the Euclidean norm of all its values; "
            "none: any length"
        ),
    )
    momentum: float = attrs.field(
        default=-0.5,
        validator=[gt(-1), lt(1)],
        metadata=doc(
            "what is kept of earlier steps' differences; below 0 pushes away from them, 0 forgets them"
        ),
    )


@attrs.frozen(kw_only=True)
class AutoguidanceConfig:
    """Guidance by a worse denoiser."""

    scale: float = attrs.field(
        default=2.0,
        validator=ge(0),
        metadata=doc("0 is the worse denoiser, 1 the pipeline's own, 2 as far again beyond it"),
    )
    denoiser: Any = attrs.field(
        metadata=part(
            "denoiser",
            "the worse denoiser: smaller, or trained for less time, on the same data; give it weights",
        ),
    )


def _faults_of_interval(config: IntervalConfig) -> list[tuple[str, str]]:
    if config.low < config.high:
        return []
    return [("low", f"low must be below high: no noise level above {config.low} and up to {config.high}")]


def _contrast(_config: object) -> dict[str, object]:
    return {"guidance.contrast": True, "guidance.weight": True}


def _weight(_config: object) -> dict[str, object]:
    return {"guidance.weight": True}


def _no_weight(_config: object) -> dict[str, object]:
    return {"guidance.weight": False}


def _needs_weight(_config: object) -> dict[str, Need]:
    return {
        "before.guidance.weight": Need(
            value=True, why="it changes how much the guidance before it acts at each step"
        )
    }


def _needs_contrast(_config: object) -> dict[str, Need]:
    why = "it compares a guided prediction with what it was before"
    return {"before.guidance.contrast": Need(value=True, why=why)}


_HERE = "glidepath.plugins.guidance"
_FLAWED = (
    'Lin et al. 2024, "Common Diffusion Noise Schedules and Sample Steps are Flawed", arXiv:2305.08891, '
    "section 3.4"
)
_INTERVAL = (
    'Kynkäänniemi et al. 2024, "Applying Guidance in a Limited Interval Improves Sample and Distribution '
    'Quality in Diffusion Models", arXiv:2404.07724, section 3'
)
_SCHEDULERS = (
    'Wang et al. 2024, "Analysis of Classifier-Free Guidance Weight Schedulers", arXiv:2404.13040 '
    "(linear, inverse linear, cosine, clamped, power-cosine)"
)
_MUSE = (
    'Chang et al. 2023, "Muse: Text-To-Image Generation via Masked Generative Transformers", '
    "arXiv:2301.00704 (linear)"
)
_MDT = (
    'Gao et al. 2023, "Masked Diffusion Transformer is a Strong Image Synthesizer", arXiv:2303.14389 '
    "(power-cosine)"
)
_IMAGEN = (
    'Saharia et al. 2022, "Photorealistic Text-to-Image Diffusion Models with Deep Language Understanding", '
    "arXiv:2205.11487, section 2.3"
)
_APG = (
    'Sadat et al. 2024, "Eliminating Oversaturation and Artifacts of High Guidance Scales in Diffusion '
    'Models", arXiv:2410.02416, algorithm 1'
)
_AUTO = (
    'Karras et al. 2024, "Guiding a Diffusion Model with a Bad Version of Itself", arXiv:2406.02507, '
    "section 4"
)


def _needs_null(config: AdaptiveProjectedConfig) -> dict[str, Need]:
    if config.scale == 1:
        return {}
    why = "without a label for no class there is nothing to compare with"
    # optional: only a denoiser that hears class labels says whether it has one
    return {"labels.null": Need(value=True, why=why, optional=True)}


@hookimpl
def components() -> Iterable[Component]:
    """Guidances."""
    return (
        Component(
            kind="guidance",
            name="apg",
            target=f"{_HERE}.adaptive_projected:AdaptiveProjectedGuidance",
            config=AdaptiveProjectedConfig,
            summary="classifier-free guidance that does not oversaturate at high scales",
            provides=_contrast,
            needs=_needs_null,
            neutral={"scale": 1},
            references=(_APG,),
        ),
        Component(
            kind="guidance",
            name="autoguidance",
            target=f"{_HERE}.autoguidance:Autoguidance",
            config=AutoguidanceConfig,
            summary="pulls each step away from what a worse denoiser predicts",
            provides=_contrast,
            example={
                "denoiser": {
                    "use": "glidepath/adm-unet",
                    "image_size": 8,
                    "channels": 32,
                    "channel_mult": [1],
                    "res_blocks": 1,
                    "attention_resolutions": [8],
                    "head_channels": 16,
                    "text_width": 32,
                }
            },
            neutral={"scale": 1},
            references=(_AUTO,),
        ),
        Component(
            kind="guidance",
            name="dynamic-threshold",
            target=f"{_HERE}.dynamic_threshold:DynamicThreshold",
            config=DynamicThresholdConfig,
            summary="scales each predicted x_0 back into [-1, 1] instead of clipping it all",
            provides=_no_weight,
            references=(_IMAGEN,),
        ),
        Component(
            kind="guidance",
            name="interval",
            target=f"{_HERE}.interval:Interval",
            config=IntervalConfig,
            summary="the guidance before it acts at some noise levels only, and costs nothing at others",
            needs=_needs_weight,
            check=_faults_of_interval,
            example={"low": 0.5, "high": 5.0},
            neutral={"low": 0.0, "high": math.inf},
            references=(_INTERVAL,),
        ),
        Component(
            kind="guidance",
            name="rescale",
            target=f"{_HERE}.rescale:Rescale",
            config=RescaleConfig,
            summary="takes back the spread that guidance added, which overexposes images",
            provides=_weight,
            needs=_needs_contrast,
            neutral={"phi": 0},
            references=(_FLAWED,),
        ),
        Component(
            kind="guidance",
            name="scale-schedule",
            target=f"{_HERE}.scale_schedule:ScaleSchedule",
            config=ScaleScheduleConfig,
            summary="the guidance before it acts more at some steps than at others",
            needs=_needs_weight,
            neutral={"shape": "constant"},
            references=(_SCHEDULERS, _MUSE, _MDT),
        ),
    )
