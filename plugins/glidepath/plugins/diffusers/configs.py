"""The parameters of the parts that every model has. Imports no torch; imported where a part is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import attrs
from attrs.validators import ge, gt, optional

from glidepath.registry import asset, doc, parts

CONFIG = "config.json of the network, as diffusers and transformers save it"
_TOKENIZER = "the folder of its tokenizer; none: no prompt can be read until it is given"


@attrs.frozen(kw_only=True)
class NetworkConfig:
    """A denoiser of diffusers. What its config.json says is not said again."""

    config: Path = attrs.field(converter=Path, metadata=asset(CONFIG))
    predicts: Literal["epsilon", "sample", "velocity", "flow"] = attrs.field(
        default="epsilon", metadata=doc("what it predicts (elsewhere: prediction_type; flow matching: flow)")
    )
    arguments: dict[str, str | tuple[str, ...] | None] = attrs.field(
        factory=dict,
        metadata=doc(
            "which argument of the network's `forward` gets what: a condition by its name, `text.tokens`, "
            "`text.mask`, `text.pooled`, `image_ids`, `text_ids`, `joint_mask` or `guidance`; `A + B` is "
            "both joined along their width, "
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
    preconditioned: bool | None = attrs.field(
        default=None,
        metadata=doc(
            "whether it is preconditioned as in Karras et al. 2022, table 1, for data of unit variance: it "
            "returns minus the velocity, and its schedule has `time: log-ratio`; none: as is known of its "
            "class"
        ),
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
class AutoencoderConfig:
    """An autoencoder of diffusers, between pixels and latents."""

    config: Path = attrs.field(converter=Path, metadata=asset(CONFIG))
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

    config: Path = attrs.field(converter=Path, metadata=asset(CONFIG))
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

    config: Path = attrs.field(converter=Path, metadata=asset(CONFIG))
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
