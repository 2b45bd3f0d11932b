"""The parameters of each part. Imports no torch; imported where a part is used, not where it is listed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import attrs
from attrs.validators import ge, gt, le, optional

from glidepath.registry import asset, doc, part, parts

_CONFIG = "config.json of the network, as diffusers and transformers save it"
_TOKENIZER = "the folder of its tokenizer; none: no prompt can be read until it is given"


@attrs.frozen(kw_only=True)
class NetworkConfig:
    """A denoiser of diffusers. What its config.json says is not said again."""

    config: Path = attrs.field(converter=Path, metadata=asset(_CONFIG))
    predicts: Literal["epsilon", "sample", "velocity", "flow"] = attrs.field(
        default="epsilon", metadata=doc("what it predicts (elsewhere: prediction_type; flow matching: flow)")
    )
    arguments: dict[str, str | tuple[str, ...] | None] = attrs.field(
        factory=dict,
        metadata=doc(
            "which argument of the network's `forward` gets what: a condition by its name, `text.tokens`, "
            "`text.mask`, `text.pooled`, `image_ids`, `text_ids`, `joint_mask` or `guidance`; "
            "`added_cond_kwargs.NAME` is an entry of a dictionary, [NAME] a list of one. They are laid over "
            "those that are known of the network's class; null takes one away"
        ),
    )
    patches: bool | None = attrs.field(
        default=None,
        metadata=doc(
            "whether it takes the image as a sequence of patches of 2 x 2 (Flux); none: as is known of "
            "its class"
        ),
    )
    time_scale: float | None = attrs.field(
        default=None,
        validator=optional(gt(0)),
        metadata=doc("what t is multiplied by before the network gets it; none: what is known of its class"),
    )
    beside: tuple[str, ...] | None = attrs.field(
        default=None,
        metadata=doc("conditions that join x as more channels; none: as is known of its class and channels"),
    )
    size: int | None = attrs.field(
        default=None,
        validator=optional(ge(1)),
        metadata=doc("side of the latent images where none is asked for; none: that of config.json"),
    )
    controls: Any = attrs.field(
        default=(),
        metadata=parts("control", "networks that say what the image is to follow, as ControlNets do"),
    )
    distilled_guidance: float = attrs.field(
        default=3.5,
        validator=ge(0),
        metadata=doc("the scale that a network distilled from guided ones is told (argument `guidance`)"),
    )


@attrs.frozen(kw_only=True)
class ControlNetConfig:
    """A ControlNet of a UNet, of SD 3 or of Flux."""

    config: Path = attrs.field(converter=Path, metadata=asset(_CONFIG))
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
class AutoencoderConfig:
    """An autoencoder of diffusers, between pixels and latents."""

    config: Path = attrs.field(converter=Path, metadata=asset(_CONFIG))
    dtype: Literal["float32", "bfloat16", "float16"] = attrs.field(
        default="float32",
        metadata=doc(
            "the precision of its weights, in which it encodes and decodes. float32 does so in the place of "
            "float16 where config.json says it (force_upcast), or what comes out is not finite",
            free=True,
        ),
    )
    tiled: bool = attrs.field(
        default=False,
        metadata=doc("encode and decode in overlapping tiles: less memory, and seams may be seen", free=True),
    )
    sliced: bool = attrs.field(
        default=False, metadata=doc("encode and decode one image at a time: less memory", free=True)
    )


@attrs.frozen(kw_only=True)
class ClipTextConfig:
    """The text encoder of a CLIP, with its tokenizer."""

    config: Path = attrs.field(converter=Path, metadata=asset(_CONFIG))
    tokenizer: Path | None = attrs.field(
        default=None, converter=attrs.converters.optional(Path), metadata=asset(_TOKENIZER)
    )
    skip: int = attrs.field(
        default=0,
        validator=ge(0),
        metadata=doc("how many of the last layers the token vectors leave out (elsewhere: clip skip)"),
    )
    final_norm: bool = attrs.field(
        default=True, metadata=doc("normalise the token vectors at the end; false: SDXL, SD 3")
    )
    padding: str = attrs.field(
        default="",
        metadata=doc(
            "the token that fills a prompt up: '!' for OpenCLIP's (Stable Diffusion 2, the second of SDXL "
            "and SD 3); empty: as its tokenizer says"
        ),
    )


@attrs.frozen(kw_only=True)
class T5TextConfig:
    """The encoder of a T5, with its tokenizer."""

    config: Path = attrs.field(converter=Path, metadata=asset(_CONFIG))
    tokenizer: Path | None = attrs.field(
        default=None, converter=attrs.converters.optional(Path), metadata=asset(_TOKENIZER)
    )
    context: int = attrs.field(
        default=256, validator=ge(1), metadata=doc("tokens of a prompt that are read; those after are lost")
    )
    masked: bool = attrs.field(
        default=False, metadata=doc("padding is masked, also for the denoiser (PixArt); false: it is read")
    )
    lowercase: bool = attrs.field(
        default=False, metadata=doc("read text in lower case, without spaces around it (PixArt)")
    )


@attrs.frozen(kw_only=True)
class ZeroTextConfig:
    """Token vectors that are all zero: in place of an encoder that is left out, such as the T5 of SD 3."""

    width: int = attrs.field(validator=ge(1), metadata=doc("width of the token vectors"))
    context: int = attrs.field(default=256, validator=ge(1), metadata=doc("how many tokens"))


@attrs.frozen(kw_only=True)
class JoinedTextConfig:
    """Several text encoders as one."""

    encoders: Any = attrs.field(metadata=parts("text_encoder", "the encoders, numbered from 0"))
    tokens: tuple[tuple[int, ...], ...] = attrs.field(
        metadata=doc(
            "how token vectors are joined: those of a group along their width, groups along the positions, "
            "after zeros have made them as wide as the widest. SDXL: [[0, 1]]; SD 3: [[0, 1], [2]]; Flux: "
            "[[1]]"
        )
    )
    pooled: tuple[int, ...] = attrs.field(
        metadata=doc("whose pooled vectors are joined. SDXL: [1]; SD 3: [0, 1]; Flux: [0]")
    )
    zeros_for_none: bool = attrs.field(
        default=False,
        metadata=doc("zeros stand for no prompt, in place of the embedding of an empty one (SDXL's base)"),
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
class SizeIdsConfig:
    """What SDXL is told of sizes, in pixels, height before width."""

    original: tuple[int, int] | None = attrs.field(
        default=None, metadata=doc("the size that the picture is said to have had; none: that of the image")
    )
    crop: tuple[int, int] = attrs.field(
        default=(0, 0), metadata=doc("how much is said to have been cut off, at the top and on the left")
    )
    score: float | None = attrs.field(
        default=None,
        metadata=doc("how much it is to please, in place of the image's size: 6 for SDXL's refiner"),
    )
    negative_score: float = attrs.field(
        default=2.5, metadata=doc("the same for the unconditional prediction, where there is a score")
    )


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

    config: Path = attrs.field(converter=Path, metadata=asset(_CONFIG))
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
