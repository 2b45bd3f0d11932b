"""What this plugin supplies. Imports no torch, and the parameters of a part only where it is used."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from glidepath.registry import Component, Need, hookimpl

if TYPE_CHECKING:
    from glidepath.plugins.guidance.configs import AdaptiveProjectedConfig, ClassifierFreeConfig
    from glidepath.plugins.guidance.modifier_configs import IntervalConfig


def _faults_of_interval(config: IntervalConfig) -> list[tuple[str, str]]:
    if config.low < config.high:
        return []
    return [("low", f"low must be below high: no noise level above {config.low} and up to {config.high}")]


def _extrapolates(_config: object) -> dict[str, object]:
    return {"guidance.unguided": True, "guidance.weight": True}


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


def _needs_bounds(_config: object) -> dict[str, Need]:
    why = "it scales x_0 back into [-1, 1]"
    return {"codec.bounded": Need(value=True, why=why, optional=True)}


def _needs_low_res(_config: object) -> dict[str, Need]:
    why = "it compares pixels with those of the picture that is enlarged"
    return {
        "image.upsamples": Need(value=True, why=why),
        "codec.bounded": Need(value=True, why=why, optional=True),
    }


def _needs_unguided(_config: object) -> dict[str, Need]:
    why = "it compares a guided prediction with what it was before"
    return {"before.guidance.unguided": Need(value=True, why=why)}


_HERE = "glidepath.plugins.guidance"
_GLIDE = 'Nichol et al. 2021, "GLIDE", arXiv:2112.10741, section 2.3'
_CFG = 'Ho & Salimans 2022, "Classifier-Free Diffusion Guidance", arXiv:2207.12598, equation 6'
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
_PIX2PIX = (
    'Brooks et al. 2023, "InstructPix2Pix: Learning to Follow Image Editing Instructions", arXiv:2211.09800, '
    "section 3.2.1"
)
_IMAGEN = (
    'Saharia et al. 2022, "Photorealistic Text-to-Image Diffusion Models with Deep Language Understanding", '
    "arXiv:2205.11487, section 2.3"
)
_DDNM = (
    'Wang et al. 2022, "Zero-Shot Image Restoration Using Denoising Diffusion Null-Space Model", '
    "arXiv:2212.00490, equation 13"
)
_APG = (
    'Sadat et al. 2024, "Eliminating Oversaturation and Artifacts of High Guidance Scales in Diffusion '
    'Models", arXiv:2410.02416, algorithm 1'
)
_AUTO = (
    'Karras et al. 2024, "Guiding a Diffusion Model with a Bad Version of Itself", arXiv:2406.02507, '
    "section 4"
)


def _needs_null(config: ClassifierFreeConfig | AdaptiveProjectedConfig) -> dict[str, Need]:
    if config.scale == 1:
        return {}
    why = "without a label for no class there is nothing to compare with"
    # optional: only a denoiser that reads class labels says whether it has one
    return {"labels.null": Need(value=True, why=why, optional=True)}


@hookimpl
def components() -> Iterable[Component]:
    """Guidances."""
    return (
        Component(
            kind="guidance",
            name="apg",
            target=f"{_HERE}.adaptive_projected:AdaptiveProjectedGuidance",
            config=f"{_HERE}.configs:AdaptiveProjectedConfig",
            summary="classifier-free guidance that does not oversaturate at high scales",
            provides=_extrapolates,
            needs=_needs_null,
            neutral={"scale": 1},
            references=(_APG,),
        ),
        Component(
            kind="guidance",
            name="autoguidance",
            target=f"{_HERE}.autoguidance:Autoguidance",
            config=f"{_HERE}.configs:AutoguidanceConfig",
            summary="pulls each step away from what a worse denoiser predicts",
            provides=_extrapolates,
            example={
                "denoiser": {
                    "use": "glidepath-diffusion/adm-unet",
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
            name="classifier-free",
            target=f"{_HERE}.classifier_free:ClassifierFreeGuidance",
            config=f"{_HERE}.configs:ClassifierFreeConfig",
            summary="pulls each step further from the prediction without a prompt",
            provides=_extrapolates,
            needs=_needs_null,
            neutral={"scale": 1},
            references=(_GLIDE, _CFG),
        ),
        Component(
            kind="guidance",
            name="dynamic-threshold",
            target=f"{_HERE}.dynamic_threshold:DynamicThreshold",
            config=f"{_HERE}.modifier_configs:DynamicThresholdConfig",
            summary="scales each predicted x_0 back into [-1, 1] instead of clipping it all",
            provides=_no_weight,
            needs=_needs_bounds,
            references=(_IMAGEN,),
        ),
        Component(
            kind="guidance",
            name="interval",
            target=f"{_HERE}.interval:Interval",
            config=f"{_HERE}.modifier_configs:IntervalConfig",
            summary="the guidance before it acts at some noise levels only, and costs nothing at others",
            needs=_needs_weight,
            check=_faults_of_interval,
            example={"low": 0.5, "high": 5.0},
            neutral={"low": 0.0, "high": math.inf},
            references=(_INTERVAL,),
        ),
        Component(
            kind="guidance",
            name="low-res-consistency",
            target=f"{_HERE}.low_res_consistency:LowResConsistency",
            config=f"{_HERE}.modifier_configs:LowResConsistencyConfig",
            summary="makes each predicted x_0 average to the picture that an upsampler enlarges",
            provides=_weight,
            needs=_needs_low_res,
            neutral={"strength": 0},
            references=(_DDNM,),
        ),
        Component(
            kind="guidance",
            name="per-condition",
            target=f"{_HERE}.per_condition:PerConditionGuidance",
            config=f"{_HERE}.configs:PerConditionConfig",
            summary="classifier-free guidance with a scale for each condition (InstructPix2Pix)",
            provides=_extrapolates,
            example={"scales": {"text": 3}},
            neutral={"scales": {"text": 1}},
            references=(_PIX2PIX,),
        ),
        Component(
            kind="guidance",
            name="rescale",
            target=f"{_HERE}.rescale:Rescale",
            config=f"{_HERE}.modifier_configs:RescaleConfig",
            summary="takes back the spread that guidance added, which overexposes images",
            provides=_weight,
            needs=_needs_unguided,
            neutral={"phi": 0},
            references=(_FLAWED,),
        ),
        Component(
            kind="guidance",
            name="scale-schedule",
            target=f"{_HERE}.scale_schedule:ScaleSchedule",
            config=f"{_HERE}.modifier_configs:ScaleScheduleConfig",
            summary="the guidance before it acts more at some steps than at others",
            needs=_needs_weight,
            neutral={"shape": "constant"},
            references=(_SCHEDULERS, _MUSE, _MDT),
        ),
    )
