"""The parameters of a classifier, and of guidance by it. Imports no torch; imported where one is used."""

from __future__ import annotations

from typing import Any, Literal

import attrs
from attrs.validators import ge, optional

from glidepath.plugins.adm import shared_fields as shared
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
    channels: int = shared.channels(128)
    res_blocks: int = attrs.field(
        default=2, validator=ge(1), metadata=doc("residual blocks of each level (the published depth)")
    )
    channel_mult: tuple[float, ...] = shared.channel_mult((1, 1, 2, 2, 4, 4))
    attention_resolutions: tuple[int, ...] = shared.attention_resolutions()
    heads: int = shared.heads()
    head_channels: int | None = shared.head_channels()
    attention_order: Literal["legacy", "new"] = attrs.field(
        default="legacy",
        metadata=doc(
            "how trained weights lay out queries, keys and values: legacy head by head, "
            "new all queries first, then all keys, then all values; a pool of attention is always new"
        ),
    )
    scale_shift_norm: bool = shared.scale_shift_norm()
    resblock_updown: bool = shared.resblock_updown()
    conv_resample: bool = shared.conv_resample()
    dropout: float = shared.dropout()
    pool: Literal["adaptive", "attention", "spatial", "spatial_v2"] = attrs.field(
        default="attention",
        metadata=doc(
            "how the image becomes one vector. attention: by attention over its positions, for images of "
            "image_size alone (published); adaptive: their mean; spatial, spatial_v2: the means of every "
            "stage, and a hidden layer, which spatial_v2 normalises"
        ),
    )
    dims: int = shared.dims()
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
