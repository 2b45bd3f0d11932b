"""What is wrong with the parameters of a network that no single one of them shows. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glidepath.plugins.adm.classifier_config import AdmClassifierConfig
    from glidepath.plugins.adm.configs import AdmUNetConfig

GROUPS = 32
"""Every normalisation has so many groups, so every width is a multiple of it."""


def unet_faults(config: AdmUNetConfig) -> list[tuple[str, str]]:
    """What is wrong with a configuration that no parameter shows by itself: (parameter, what) pairs."""
    return [*_faults_of_labels(config), *_faults_of_sizes(config), *_faults_of_widths(config)]


def classifier_faults(config: AdmClassifierConfig) -> list[tuple[str, str]]:
    """What is wrong with a configuration that no parameter shows by itself: (parameter, what) pairs."""
    found = unet_faults(config.unet)
    if config.pool == "attention" and config.head_channels is None:
        found.append(("head_channels", "a pool of attention needs the channels of each of its heads"))
    if config.dims != 2 and config.pool != "adaptive":
        found.append(("pool", f"{config.pool} is for images: with dims {config.dims}, pool is adaptive"))
    return found


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
