"""The checkpoints of GLIDE and of ADM that OpenAI published, and what their tensors do not show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs

from glidepath.plugins.convert.models import ClassifierModel, ClipImage, ClipText, Diffusion, Model, Text
from glidepath.plugins.convert.trunk import Trunk

ATTENTION_SIZES = (32, 16, 8)
"""The sizes inside the network at which all published models but one have attention."""


@attrs.frozen(kw_only=True)
class Unseen:
    """What no tensor shows.

    image_size: pixels along each side.
    head_channels: of each attention head; None where `heads` says how many there are.
    text_heads: of GLIDE's text transformer, and of either half of CLIP.
    steps: that the published sampling takes.
    """

    image_size: int
    heads: int = 1
    head_channels: int | None = 64
    attention_order: Literal["legacy", "new"] = "legacy"
    schedule: Literal["linear", "cosine"] = "linear"
    sampler: Literal["ddpm", "ddim"] = "ddpm"
    steps: int | str = 250
    text_heads: int = 8


@attrs.frozen(kw_only=True)
class Published:
    """A published model.

    file: what it was published as. preset: ours of it, "" for none.
    """

    name: str
    file: str
    model: Model
    unseen: Unseen
    preset: str = ""


def _trunk(size: int, channels: int, res_blocks: int, mult: Sequence[float], sizes: Sequence[int]) -> Trunk:
    return Trunk(
        channels=channels,
        res_blocks=res_blocks,
        channel_mult=tuple(mult),
        attention=tuple(sorted(size // it for it in sizes)),
    )


def _adm(
    size: int,
    channels: int,
    mult: Sequence[float],
    *,
    res_blocks: int = 2,
    classes: int | None = 1000,
    upsamples: bool = False,
    sizes: Sequence[int] = ATTENTION_SIZES,
) -> Diffusion:
    trunk = _trunk(size, channels, res_blocks, mult, sizes)
    trunk = attrs.evolve(trunk, input_channels=6 if upsamples else 3)
    return Diffusion(trunk=trunk, num_classes=classes, upsamples=upsamples)


def _glide(
    size: int, mult: Sequence[float], res_blocks: int, *, upsamples: bool, inpaints: bool
) -> Diffusion:
    trunk = _trunk(size, 192, res_blocks, mult, ATTENTION_SIZES)
    channels = 3 + (3 if upsamples else 0) + (4 if inpaints else 0)
    return Diffusion(
        trunk=attrs.evolve(trunk, input_channels=channels, text_width=512),
        text=Text(vocabulary=50257, width=512, layers=16, context=128),
        upsamples=upsamples,
        inpaints=inpaints,
    )


def _classifier(size: int, mult: Sequence[float], res_blocks: int) -> ClassifierModel:
    trunk = _trunk(size, 128, res_blocks, mult, ATTENTION_SIZES)
    positions = (size >> (len(mult) - 1)) ** 2 + 1
    return ClassifierModel(trunk=trunk, pool="attention", classes=1000, positions=positions)


_MULT_64, _MULT_128, _MULT_256 = (1, 2, 3, 4), (1, 1, 2, 3, 4), (1, 1, 2, 2, 4, 4)
_MULT_512 = (0.5, 1, 1, 2, 2, 4, 4)
_BASE = Unseen(image_size=64, schedule="cosine", steps=100)
_UPSAMPLE = Unseen(image_size=256, sampler="ddim", steps="fast27")
_FOUR_HEADS = Unseen(image_size=128, heads=4, head_channels=None)

PUBLISHED: tuple[Published, ...] = (
    Published(
        name="GLIDE base",
        file="base.pt",
        model=_glide(64, _MULT_64, 3, upsamples=False, inpaints=False),
        unseen=_BASE,
        preset="glide-base",
    ),
    Published(
        name="GLIDE upsample",
        file="upsample.pt",
        model=_glide(256, _MULT_256, 2, upsamples=True, inpaints=False),
        unseen=_UPSAMPLE,
        preset="glide-upsample",
    ),
    Published(
        name="GLIDE base-inpaint",
        file="base_inpaint.pt",
        model=_glide(64, _MULT_64, 3, upsamples=False, inpaints=True),
        unseen=_BASE,
        preset="glide-base-inpaint",
    ),
    Published(
        name="GLIDE upsample-inpaint",
        file="upsample_inpaint.pt",
        model=_glide(256, _MULT_256, 2, upsamples=True, inpaints=True),
        unseen=attrs.evolve(_UPSAMPLE, sampler="ddpm"),
        preset="glide-upsample-inpaint",
    ),
    Published(
        name="GLIDE CLIP text encoder",
        file="clip_text_enc.pt",
        model=ClipText(vocabulary=65536, context=77, width=512, layers=12, embedding=512),
        unseen=Unseen(image_size=64, text_heads=8),
    ),
    Published(
        name="GLIDE CLIP image encoder",
        file="clip_image_enc.pt",
        model=ClipImage(image_size=64, patch_size=4, width=768, layers=12, embedding=512, timesteps=1000),
        unseen=Unseen(image_size=64, text_heads=12),
    ),
    Published(
        name="ADM 64x64",
        file="64x64_diffusion.pt",
        model=_adm(64, 192, _MULT_64, res_blocks=3),
        unseen=Unseen(image_size=64, attention_order="new", schedule="cosine"),
        preset="adm-64",
    ),
    Published(
        name="ADM 128x128",
        file="128x128_diffusion.pt",
        model=_adm(128, 256, _MULT_128),
        unseen=_FOUR_HEADS,
        preset="adm-128",
    ),
    Published(
        name="ADM 256x256",
        file="256x256_diffusion.pt",
        model=_adm(256, 256, _MULT_256),
        unseen=Unseen(image_size=256),
        preset="adm-256",
    ),
    Published(
        name="ADM 256x256 unconditional",
        file="256x256_diffusion_uncond.pt",
        model=_adm(256, 256, _MULT_256, classes=None),
        unseen=Unseen(image_size=256),
        preset="adm-256-uncond",
    ),
    Published(
        name="ADM 512x512",
        file="512x512_diffusion.pt",
        model=_adm(512, 256, _MULT_512),
        unseen=Unseen(image_size=512),
        preset="adm-512",
    ),
    Published(
        name="ADM upsampler 64x64 to 256x256",
        file="64_256_upsampler.pt",
        model=_adm(256, 192, _MULT_256, upsamples=True),
        unseen=attrs.evolve(_FOUR_HEADS, image_size=256),
        preset="adm-64-256",
    ),
    Published(
        name="ADM upsampler 128x128 to 512x512",
        file="128_512_upsampler.pt",
        model=_adm(512, 192, _MULT_256, upsamples=True, sizes=(32, 16)),
        unseen=Unseen(image_size=512),
        preset="adm-128-512",
    ),
    Published(
        name="ADM classifier 64x64",
        file="64x64_classifier.pt",
        model=_classifier(64, _MULT_64, 4),
        unseen=Unseen(image_size=64),
    ),
    Published(
        name="ADM classifier 128x128",
        file="128x128_classifier.pt",
        model=_classifier(128, _MULT_128, 2),
        unseen=Unseen(image_size=128),
    ),
    Published(
        name="ADM classifier 256x256",
        file="256x256_classifier.pt",
        model=_classifier(256, _MULT_256, 2),
        unseen=Unseen(image_size=256),
    ),
    Published(
        name="ADM classifier 512x512",
        file="512x512_classifier.pt",
        model=_classifier(512, _MULT_512, 2),
        unseen=Unseen(image_size=512),
    ),
)
