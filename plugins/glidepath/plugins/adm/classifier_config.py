"""What the plugin supplies for classifier guidance, and the parameters of each part. Imports no torch."""

from __future__ import annotations

from typing import Any, Literal

import attrs
from attrs.validators import deep_iterable, ge, gt, in_, le, min_len, optional

from glidepath.plugins.adm import plugin
from glidepath.registry.component import Component, Kind, doc, part


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
    def unet(self) -> plugin.AdmUNetConfig:
        """A UNet with the same way down."""
        shared = {field.name for field in attrs.fields(type(self))} - {"num_classes", "pool", "precision"}
        return plugin.AdmUNetConfig(**{name: getattr(self, name) for name in shared})


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


def faults(config: AdmClassifierConfig) -> list[tuple[str, str]]:
    """What is wrong with a configuration that no parameter shows by itself: (parameter, what) pairs."""
    found = plugin.faults(config.unet)
    if config.pool == "attention" and config.head_channels is None:
        found.append(("head_channels", "a pool of attention needs the channels of each of its heads"))
    if config.dims != 2 and config.pool != "adaptive":
        found.append(("pool", f"{config.pool} is for images: with dims {config.dims}, pool is adaptive"))
    return found


_PAPER = 'Dhariwal & Nichol 2021, "Diffusion Models Beat GANs on Image Synthesis", arXiv:2105.05233'
_HERE = "glidepath.plugins.adm"

KINDS = (
    Kind(
        name="classifier",
        interface=f"{_HERE}.classifier:Classifier",
        summary="says which class a noisy image is of, inside a guidance",
    ),
)

_SMALL = {
    "image_size": 16,
    "num_classes": 5,
    "channels": 32,
    "channel_mult": [1, 2],
    "res_blocks": 1,
    "attention_resolutions": [8],
    "head_channels": 16,
}
"""Parameters with which a classifier is tried."""

COMPONENTS = (
    Component(
        kind="classifier",
        name="adm-classifier",
        target=f"{_HERE}.classifier_network:AdmClassifier",
        config=AdmClassifierConfig,
        summary="ADM's classifier of noisy images: the way down of its UNet, and a head",
        check=faults,
        lacks=lambda _config: [("weights", "has no weights yet: it guides to no class")],
        example=_SMALL,
        references=(f"{_PAPER}, section 4 and appendix H",),
    ),
    Component(
        kind="guidance",
        name="classifier",
        target=f"{_HERE}.classifier_guidance:ClassifierGuidance",
        config=ClassifierGuidanceConfig,
        summary="pulls each step to where a classifier sees the label",
        provides=lambda _config: {"guidance.weight": True},
        example={"classifier": {"use": "glidepath/adm-classifier", **_SMALL}},
        neutral={"scale": 0},
        references=(f"{_PAPER}, section 4, algorithms 1 and 2",),
    ),
)

PRESETS = {
    "adm-g-64": "ADM-G, 64 x 64: adm-64 guided by a classifier; you give the weights",
    "adm-g-128": "ADM-G, 128 x 128: adm-128 guided by a classifier; you give the weights",
    "adm-g-256": "ADM-G, 256 x 256: adm-256 guided by a classifier; you give the weights",
    "adm-g-256-uncond": "ADM-G, 256 x 256: adm-256-uncond, steered to a class by a classifier alone",
    "adm-g-512": "ADM-G, 512 x 512: adm-512 guided by a classifier; you give the weights",
}
"""What the files beside those of the denoisers hold."""
