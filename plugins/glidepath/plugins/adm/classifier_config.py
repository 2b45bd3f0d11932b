"""The parameters of a classifier, and of guidance by it. Imports no torch; imported where one is used."""

from __future__ import annotations

from typing import Any, Literal

import attrs
from attrs.validators import deep_iterable, ge, gt, in_, le, min_len, optional

from glidepath.plugins.adm.configs import AdmUNetConfig
from glidepath.registry import doc, part


@attrs.frozen(kw_only=True)
class AdmClassifierConfig:
    """ADM's classifier: the way down of its UNet, and a head. The defaults are the one for 256 pixels."""

    image_size: int = attrs.field(
        default=256, validator=ge(1), metadata=doc("pixels along each side of the images that it reads")
    )
    in_channels: int = attrs.field(default=3, validator=ge(1), metadata=doc("channels of the images"))
    num_classes: int = attrs.field(default=1000, validator=ge(1), metadata=doc("how many classes there are"))
    channels: int = attrs.field(
        default=128,
        validator=ge(1),
        metadata=doc(
            "the unit of width: channel_mult multiplies it, and the timestep embedding is 4 times as wide"
        ),
    )
    res_blocks: int = attrs.field(
        default=2, validator=ge(1), metadata=doc("residual blocks of each level (the published depth)")
    )
    channel_mult: tuple[float, ...] = attrs.field(
        default=(1, 1, 2, 2, 4, 4),
        validator=deep_iterable(gt(0), min_len(1)),
        metadata=doc("width of each level, in channels; each level after the first halves the size"),
    )
    attention_resolutions: tuple[int, ...] = attrs.field(
        default=(32, 16, 8),
        metadata=doc(
            "sizes inside the network at which attention follows each residual block; "
            "the middle of the network always has it"
        ),
    )
    heads: int = attrs.field(
        default=1, validator=ge(1), metadata=doc("attention heads, where head_channels is none")
    )
    head_channels: int | None = attrs.field(
        default=64,
        validator=optional(ge(1)),  # type: ignore[arg-type]  # attrs infers int from the default
        metadata=doc("channels of each attention head; none: heads says how many heads there are instead"),
    )
    attention_order: Literal["legacy", "new"] = attrs.field(
        default="legacy",
        metadata=doc(
            "how trained weights lay out queries, keys and values: legacy head by head, "
            "new all queries first, then all keys, then all values; a pool of attention is always new"
        ),
    )
    scale_shift_norm: bool = attrs.field(
        default=True,
        metadata=doc("the timestep scales and shifts in each block; false: it is added"),
    )
    resblock_updown: bool = attrs.field(
        default=True, metadata=doc("residual blocks change the size; false: a layer of its own does")
    )
    conv_resample: bool = attrs.field(
        default=True, metadata=doc("where resblock_updown is false: change the size with a convolution")
    )
    dropout: float = attrs.field(
        default=0.0,
        validator=[ge(0), le(1)],
        metadata=doc("share of the activations that training drops, in each residual block", free=True),
    )
    pool: Literal["adaptive", "attention", "spatial", "spatial_v2"] = attrs.field(
        default="attention",
        metadata=doc(
            "how the image becomes one vector. attention: by attention over its positions, for images of "
            "image_size alone (published); adaptive: their mean; spatial, spatial_v2: the means of every "
            "stage, and a hidden layer, which spatial_v2 normalises"
        ),
    )
    dims: int = attrs.field(
        default=2,
        validator=in_((1, 2, 3)),
        metadata=doc("spatial dimensions: 2 for images; of 3, the first (frames, depth) keeps its size"),
    )
    precision: Literal["float32", "float16", "bfloat16"] = attrs.field(
        default="float32",
        metadata=doc(
            "of the convolutions and attention before the head, whatever runtime.dtype says; embeddings, "
            "norms' parameters and the head are float32 always. Gradients of float16 may overflow",
            free=True,
        ),
    )

    @property
    def unet(self) -> AdmUNetConfig:
        """A UNet with the same way down."""
        shared = {field.name for field in attrs.fields(type(self))} - {"num_classes", "pool", "precision"}
        return AdmUNetConfig(**{name: getattr(self, name) for name in shared})


@attrs.frozen(kw_only=True)
class ClassifierGuidanceConfig:
    """Guidance by the gradient of a classifier."""

    scale: float = attrs.field(
        default=1.0,
        validator=ge(0),
        metadata=doc(
            "what the gradient is multiplied by, 0 for none. ADM uses 1.0 at 64 pixels, 0.5 at 128, 1.0 at "
            "256, 4.0 at 512, and 10.0 at 256 with a denoiser that knows no classes"
        ),
    )
    label: int | None = attrs.field(
        default=None,
        validator=optional(ge(0)),
        metadata=doc("the class of every image, where no labels are given to the pipeline"),
    )
    classifier: Any = attrs.field(
        metadata=part("classifier", "says which class a noisy image is of; give it weights")
    )
