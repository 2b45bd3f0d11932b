"""What this plugin supplies: ADM's networks, codec and presets; the parameters of `adm-unet`.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import attrs
from attrs.validators import deep_iterable, ge, gt, in_, le, min_len, optional

from glidepath.registry.component import Component, Kind, Need, Preset, doc
from glidepath.registry.hooks import hookimpl

if TYPE_CHECKING:
    from glidepath.testing import Trial

GROUPS = 32
"""Every normalisation has so many groups, so every width is a multiple of it."""


@attrs.frozen(kw_only=True)
class AdmUNetConfig:
    """The UNet of ADM and GLIDE. The defaults are GLIDE's base model at 64 pixels, without its text."""

    image_size: int = attrs.field(
        default=64,
        validator=ge(1),
        metadata=doc(
            "pixels along each side of the images that it is made for; it runs on other sizes too, and only "
            "attention_resolutions is read against this one"
        ),
    )
    in_channels: int = attrs.field(
        default=3, validator=ge(1), metadata=doc("channels of the images, which it takes and predicts")
    )
    upsamples: bool = attrs.field(
        default=False,
        metadata=doc(
            "an upsampler: it also sees a smaller image, enlarged to the size of its own, and makes it sharp"
        ),
    )
    inpaints: bool = attrs.field(
        default=False,
        metadata=doc(
            "it also sees the known pixels of an image, and which those are; without them it makes all of it"
        ),
    )
    channels: int = attrs.field(
        default=192,
        validator=ge(1),
        metadata=doc(
            "the unit of width: channel_mult multiplies it, and the timestep embedding is 4 times as wide"
        ),
    )
    res_blocks: int = attrs.field(
        default=3,
        validator=ge(1),
        metadata=doc("residual blocks of each level going down; going up, one more"),
    )
    channel_mult: tuple[float, ...] = attrs.field(
        default=(1, 2, 3, 4),
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
    heads_upsample: int | None = attrs.field(
        default=None,
        validator=optional(ge(1)),
        metadata=doc("attention heads on the way up, where head_channels is none; none: as many as heads"),
    )
    attention_order: Literal["legacy", "new"] = attrs.field(
        default="legacy",
        metadata=doc(
            "how trained weights lay out queries, keys and values: legacy (GLIDE, ADM) head by head, "
            "new all queries first, then all keys, then all values"
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
    num_classes: int | None = attrs.field(
        default=None,
        validator=optional(ge(1)),
        metadata=doc("how many class labels there are; none: it takes no label"),
    )
    null_class: bool = attrs.field(
        default=False,
        metadata=doc(
            "one more label stands for no class, as a denoiser has it that was trained to do without some of "
            "its labels; classifier-free guidance needs it"
        ),
    )
    text_width: int | None = attrs.field(
        default=None,
        validator=optional(ge(1)),
        metadata=doc("width of the text encoder's token vectors; none: it hears no text"),
    )
    text_attention: bool = attrs.field(
        default=True,
        metadata=doc(
            "the tokens of a text enter every attention layer; false: only its pooled vector is heard, in "
            "the timestep embedding, as a class would be"
        ),
    )
    learned_variance: bool = attrs.field(
        default=True, metadata=doc("predict the variance of each step too, in as many channels again")
    )
    predicts: Literal["epsilon", "sample", "velocity"] = attrs.field(
        default="epsilon",
        metadata=doc("what it learned to predict: the noise, the clean image, or the velocity"),
    )
    dims: int = attrs.field(
        default=2,
        validator=in_((1, 2, 3)),
        metadata=doc("spatial dimensions: 2 for images; of 3, the first (frames, depth) keeps its size"),
    )
    patch_size: int = attrs.field(
        default=1,
        validator=ge(1),
        metadata=doc(
            "run on patches of so many pixels a side, folded into channels: faster and coarser; "
            "published weights have 1"
        ),
    )

    @property
    def sizes(self) -> list[int]:
        """The size of each level inside the network, outermost first."""
        return [self.image_size // self.patch_size >> level for level in range(len(self.channel_mult))]

    @property
    def widths(self) -> list[int]:
        """The channels of each level, outermost first."""
        return [int(multiple * self.channels) for multiple in self.channel_mult]

    @property
    def input_channels(self) -> int:
        """The channels that enter: of x, of the known pixels and their mask, of the enlarged image."""
        inpainting = self.in_channels + 1 if self.inpaints else 0
        return self.in_channels + inpainting + (self.in_channels if self.upsamples else 0)

    @property
    def size_multiple(self) -> int:
        """Every size that the network takes is a multiple of this one."""
        return int(self.patch_size * 2 ** (len(self.channel_mult) - 1))


def faults(config: AdmUNetConfig) -> list[tuple[str, str]]:
    """What is wrong with a configuration that no parameter shows by itself: (parameter, what) pairs."""
    return [*_faults_of_labels(config), *_faults_of_sizes(config), *_faults_of_widths(config)]


def _faults_of_labels(config: AdmUNetConfig) -> Iterator[tuple[str, str]]:
    if config.null_class and config.num_classes is None:
        yield "null_class", "null_class is a label beside those of num_classes, and that is none"


def _faults_of_sizes(config: AdmUNetConfig) -> Iterator[tuple[str, str]]:
    if config.patch_size > 1 and config.dims != 2:
        yield "patch_size", f"patches are for images: with dims {config.dims}, patch_size is 1"
    if config.image_size % config.size_multiple:
        yield (
            "image_size",
            f"image_size {config.image_size} is not a multiple of {config.size_multiple}: patch_size, and a "
            "halving for each entry of channel_mult after the first",
        )
        return
    for resolution in config.attention_resolutions:
        if resolution not in config.sizes:
            reached = ", ".join(str(size) for size in config.sizes)
            yield (
                "attention_resolutions",
                f"{resolution} is no size inside this network; those are {reached}",
            )


def _faults_of_widths(config: AdmUNetConfig) -> Iterator[tuple[str, str]]:
    for multiple, width in zip(config.channel_mult, config.widths, strict=True):
        if width == 0 or width % GROUPS:
            yield (
                "channel_mult",
                f"{multiple:g} x {config.channels} channels = {width}, which is not a multiple of {GROUPS} "
                "(the groups of its norms)",
            )
    attending = {
        width
        for size, width in zip(config.sizes, config.widths, strict=True)
        if size in config.attention_resolutions
    }
    for width in sorted(attending | {config.widths[-1]}):
        for field in ["head_channels"] if config.head_channels else ["heads", "heads_upsample"]:
            value = getattr(config, field)
            if value is not None and width % value:
                yield field, f"{value} does not divide the {width} channels of a level with attention"


def _provides(config: AdmUNetConfig) -> dict[str, object]:
    # beside a text, the null condition is that of the text, and the label stays
    by_class_alone = config.num_classes is not None and config.text_width is None
    classes = {"labels.null": config.null_class} if by_class_alone else {}
    return {
        **classes,
        "image.channels": config.in_channels,
        "image.size": config.image_size,
        "image.upsamples": config.upsamples,
        "prediction.kind": config.predicts,
        "prediction.learned_variance": config.learned_variance,
    }


def _needs(config: AdmUNetConfig) -> dict[str, Need]:
    if config.text_width is None:
        return {"text.width": Need(field="text_width", optional=True, test=_hears_no_text)}
    return {
        "text.width": Need(
            value=config.text_width,
            field="text_width",
            why="text_width is the width of the token vectors that its attention takes in",
        ),
        "text.pooled": Need(
            value=4 * config.channels,
            field="channels",
            why="the pooled text is added to the timestep embedding, which is 4 x channels wide",
        ),
    }


def _hears_no_text(_width: object) -> str:
    return "text_width is none, so the denoiser hears no text"


@hookimpl
def components() -> Iterable[Component]:
    """The denoiser, the codec, and what guides by a classifier."""
    from glidepath.plugins.adm import classifier_config  # which reads this module

    return (
        Component(
            kind="denoiser",
            name="adm-unet",
            target="glidepath.plugins.adm.unet:AdmUNet",
            config=AdmUNetConfig,
            summary="the UNet of ADM and GLIDE: from text, class labels or neither; upsampling, inpainting",
            provides=_provides,
            needs=_needs,
            check=faults,
            lacks=lambda _config: [("weights", "has no weights yet: it makes noise")],
            example={
                "image_size": 8,
                "channels": 32,
                "channel_mult": [1, 2],
                "res_blocks": 1,
                "attention_resolutions": [4],
                "head_channels": 16,
                "text_width": 32,
            },
            references=(
                'Dhariwal & Nichol 2021, "Diffusion Models Beat GANs on Image Synthesis", arXiv:2105.05233',
                'Nichol et al. 2021, "GLIDE", arXiv:2112.10741, section 2.2',
                'Luhman & Luhman 2022, "Improving Diffusion Model Efficiency Through Patching", '
                "arXiv:2207.04316",
            ),
        ),
        Component(
            kind="codec",
            name="truncating",
            target="glidepath.plugins.adm.codec:TruncatingCodec",
            summary="pixels: 8 bits to [-1, 1] and back, fractions cut off as ADM does",
            references=("Dhariwal & Nichol 2021, the program published with it (guided-diffusion)",),
        ),
        *classifier_config.COMPONENTS,
    )


@hookimpl
def kinds() -> Iterable[Kind]:
    """The classifiers that a guidance asks."""
    from glidepath.plugins.adm import classifier_config

    return classifier_config.KINDS


@hookimpl
def checks(kind: str) -> Iterable[type[Trial]]:
    """How the conformance kit uses a classifier."""
    if kind != "classifier":
        return ()
    from glidepath.plugins.adm.conformance import ClassifierTrial

    return (ClassifierTrial,)


_PRESETS = {
    "adm-64": "ADM, 64 x 64, one of 1000 classes; you give the weights",
    "adm-128": "ADM, 128 x 128, one of 1000 classes; you give the weights",
    "adm-256": "ADM, 256 x 256, one of 1000 classes; you give the weights",
    "adm-256-uncond": "ADM, 256 x 256, without classes; you give the weights",
    "adm-512": "ADM, 512 x 512, one of 1000 classes; you give the weights",
    "adm-64-256": "ADM's upsampler, 64 x 64 to 256 x 256 (ADM-U); you give the weights",
    "adm-128-512": "ADM's upsampler, 128 x 128 to 512 x 512 (ADM-U); you give the weights",
    "adm-u-256": "ADM-U at 256 x 256: adm-64, then adm-64-256",
    "adm-u-512": "ADM-U at 512 x 512: adm-128, then adm-128-512",
}


@hookimpl
def presets() -> Iterable[Preset]:
    """The published models."""
    from glidepath.plugins.adm import classifier_config

    folder = Path(__file__).with_name("presets")
    return [
        Preset(name=name, file=folder / f"{name}.yaml", summary=summary)
        for name, summary in {**_PRESETS, **classifier_config.PRESETS}.items()
    ]
