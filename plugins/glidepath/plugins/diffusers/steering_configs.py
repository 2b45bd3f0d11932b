"""The parameters of what steers beside the prompt. Imports no torch; imported where a part is used."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import attrs
from attrs.validators import ge, gt, le, optional

from glidepath.plugins.diffusers.configs import CONFIG
from glidepath.registry import asset, doc, part


@attrs.frozen(kw_only=True)
class ControlNetConfig:
    """A ControlNet of a UNet, of SD 3 or of Flux."""

    config: Path = attrs.field(converter=Path, metadata=asset(CONFIG))
    picture: str = attrs.field(
        default="control", metadata=doc("the condition that has its picture; several have one each")
    )
    scale: float = attrs.field(default=1.0, metadata=doc("what its say is multiplied by; 0: it has none"))
    mode: int | None = attrs.field(
        default=None,
        validator=optional(ge(0)),
        metadata=doc(
            "of several ControlNets in one (union, of Flux), which is asked (elsewhere: control_mode)"
        ),
    )
    begin: float = attrs.field(
        default=0.0,
        validator=[ge(0), le(1)],
        metadata=doc("from which share of the steps on it is asked (elsewhere: control_guidance_start)"),
    )
    end: float = attrs.field(
        default=1.0,
        validator=[ge(0), le(1)],
        metadata=doc("up to which share of the steps it is asked (elsewhere: control_guidance_end)"),
    )


@attrs.frozen(kw_only=True)
class LoraConfig:
    """Low-rank changes to the denoiser and the text encoders. Its weights are the file of the changes."""

    scale: float = attrs.field(default=1.0, metadata=doc("what the changes are multiplied by"))
    low: float = attrs.field(
        default=0.0,
        validator=ge(0),
        metadata=doc("the denoiser is changed where sigma over alpha is above this; text encoders always"),
    )
    high: float = attrs.field(
        default=math.inf,
        validator=gt(0),
        metadata=doc("the denoiser is changed where sigma over alpha is at most this; .inf: from noise on"),
    )
    merge: bool = attrs.field(
        default=True,
        metadata=doc(
            "add the changes to the weights once; false: compute them beside the weights in each step, as is "
            "done anyway where low or high is set"
        ),
    )


@attrs.frozen(kw_only=True)
class IpAdapterConfig:
    """Attention to an image prompt, beside that to the text. Its weights are the published file."""

    scale: float = attrs.field(default=1.0, metadata=doc("what its say is multiplied by; 0: it has none"))


@attrs.frozen(kw_only=True)
class InpaintingConfig:
    """A mask and what it leaves of an image, for networks that were trained for inpainting."""

    folded: bool = attrs.field(
        default=False,
        metadata=doc(
            "false: the mask has one channel, a pixel of it for each position of the latent; true: a channel "
            "for each pixel of a position, as Flux Fill reads it"
        ),
    )


@attrs.frozen(kw_only=True)
class NoisedLowResConfig:
    """The picture that a latent upscaler enlarges, with noise that the network is told of."""

    schedule: Any = attrs.field(
        metadata=part("schedule", "whose noise is added to the picture (elsewhere: low_res_scheduler)")
    )
    level: int = attrs.field(
        default=20,
        validator=ge(0),
        metadata=doc("the timestep of `schedule` whose noise is added (elsewhere: noise_level)"),
    )


@attrs.frozen(kw_only=True)
class ControlPictureConfig:
    """The picture that a ControlNet follows."""

    name: str = attrs.field(
        default="control", metadata=doc("of the condition and of the picture that is asked for")
    )
    encoded: Literal["no", "x_0", "unshifted"] = attrs.field(
        default="no",
        metadata=doc(
            "no: pixels, for ControlNets of UNets; x_0: drawn from the codec's posterior, for those of SD 3 "
            "and Flux; unshifted: the same without the codec's shift, for those of SD 3 that read no pooled "
            "text (force_zeros_for_pooled_projection)"
        ),
    )


@attrs.frozen(kw_only=True)
class PromptMaskConfig:
    """Where an image prompt has its say."""

    name: str = attrs.field(
        default="image_prompt_mask", metadata=doc("of the condition and of the picture that is asked for")
    )


@attrs.frozen(kw_only=True)
class ImagePromptConfig:
    """The image encoder of a CLIP, as IP-adapters read it."""

    config: Path = attrs.field(converter=Path, metadata=asset(CONFIG))
    processor: Path = attrs.field(
        converter=Path,
        metadata=asset("preprocessor_config.json: how pictures are made to fit it"),
    )
    hidden: bool = attrs.field(
        default=False,
        metadata=doc(
            "false: one projected vector; true: those of the last layer but one, which IP-adapters plus, "
            "plus-face and full-face read"
        ),
    )
    name: str = attrs.field(
        default="image_prompt", metadata=doc("of the condition and of the picture that is asked for")
    )
