"""What this plugin supplies: ADM's networks, codec and presets.

Imports no torch, and the parameters of a part only where it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.registry.component import Component, Kind, Need, Preset
from glidepath.registry.hooks import hookimpl

if TYPE_CHECKING:
    from glidepath.plugins.adm.configs import AdmUNetConfig
    from glidepath.testing import Trial

GROUPS = 32
"""Every normalisation has so many groups, so every width is a multiple of it."""


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
    from glidepath.plugins.adm import classifier_components  # which reads this module

    return (
        Component(
            kind="denoiser",
            name="adm-unet",
            target="glidepath.plugins.adm.unet:AdmUNet",
            config="glidepath.plugins.adm.configs:AdmUNetConfig",
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
        *classifier_components.COMPONENTS,
    )


@hookimpl
def kinds() -> Iterable[Kind]:
    """The classifiers that a guidance asks."""
    from glidepath.plugins.adm import classifier_components

    return classifier_components.KINDS


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
    from glidepath.plugins.adm import classifier_components

    folder = Path(__file__).with_name("presets")
    return [
        Preset(name=name, file=folder / f"{name}.yaml", summary=summary)
        for name, summary in {**_PRESETS, **classifier_components.PRESETS}.items()
    ]
