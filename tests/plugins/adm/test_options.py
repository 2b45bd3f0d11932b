"""Every option of the network, alone and with others, gives what another rendering of it gives in float64.

The bound is the strictest of those of the recorded networks, which have some of these options and not others.
"""

from __future__ import annotations

import attrs
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from glidepath.core.conditioning import Conditioning, TextEmbedding
from glidepath.plugins.adm.configs import AdmUNetConfig

from .rendering import Rendering
from .test_kernels_in_networks import apart, random_network

TOLERANCE = 1e-5
SIZES = {1: (24,), 2: (16, 24), 3: (3, 16, 8)}
"""Of x, by the number of its dimensions."""

TEXT = AdmUNetConfig(
    image_size=16,
    channels=32,
    channel_mult=(1, 2),
    res_blocks=1,
    attention_resolutions=(8,),
    head_channels=16,
    text_width=24,
)
CLASSES = attrs.evolve(TEXT, text_width=None, num_classes=5)
NETWORKS = {
    "text": TEXT,
    "text and classes": attrs.evolve(TEXT, num_classes=5),
    "a text that is pooled alone": attrs.evolve(TEXT, text_attention=False),
    "the new order, with a text": attrs.evolve(TEXT, attention_order="new"),
    "heads by number": attrs.evolve(TEXT, head_channels=None, heads=4),
    "other heads on the way up": attrs.evolve(TEXT, head_channels=None, heads=2, heads_upsample=8),
    "other heads on the way up, in the new order": attrs.evolve(
        CLASSES, head_channels=None, heads=1, heads_upsample=4, attention_order="new"
    ),
    "width by head before heads by number": attrs.evolve(CLASSES, heads=3, heads_upsample=5),
    "a timestep that is added": attrs.evolve(TEXT, scale_shift_norm=False),
    "a timestep that is added, and resampling by convolutions": attrs.evolve(
        CLASSES, scale_shift_norm=False, resblock_updown=False
    ),
    "resampling without convolutions": attrs.evolve(TEXT, resblock_updown=False, conv_resample=False),
    "attention at both sizes, two blocks a level": attrs.evolve(
        TEXT, attention_resolutions=(16, 8), res_blocks=2
    ),
    "attention in the middle alone": attrs.evolve(TEXT, attention_resolutions=()),
    "a first level of half the width": attrs.evolve(CLASSES, channels=64, channel_mult=(0.5, 1, 1.5)),
    "one level": attrs.evolve(CLASSES, channel_mult=(2,), attention_resolutions=(16,)),
    "four levels": attrs.evolve(TEXT, channel_mult=(1, 1, 2, 1), attention_resolutions=(16, 2)),
    "grey images without a learned variance": attrs.evolve(CLASSES, in_channels=1, learned_variance=False),
    "no condition": attrs.evolve(CLASSES, num_classes=None),
    "an upsampler of classes": attrs.evolve(CLASSES, upsamples=True),
    "an upsampler that inpaints": attrs.evolve(TEXT, upsamples=True, inpaints=True),
    "an odd width, whose sinusoids end in a zero": attrs.evolve(TEXT, channels=5, channel_mult=(6.4, 12.8)),
    "one dimension": attrs.evolve(TEXT, dims=1),
    "one dimension, resampling by convolutions, a timestep that is added": attrs.evolve(
        CLASSES, dims=1, resblock_updown=False, scale_shift_norm=False
    ),
    "one dimension, an upsampler that inpaints": attrs.evolve(TEXT, dims=1, upsamples=True, inpaints=True),
    "frames": attrs.evolve(CLASSES, dims=3),
    "frames, resampling by convolutions, the new order": attrs.evolve(
        TEXT, dims=3, resblock_updown=False, attention_order="new"
    ),
    "frames, resampling without convolutions": attrs.evolve(
        TEXT, dims=3, resblock_updown=False, conv_resample=False
    ),
    "frames, upsampling": attrs.evolve(CLASSES, dims=3, upsamples=True),
}


@pytest.mark.thorough
@pytest.mark.parametrize("network", NETWORKS)
@torch.no_grad()
def test_a_network_gives_what_another_rendering_of_it_gives(network: str) -> None:
    config = NETWORKS[network]
    unet, t = random_network(config), torch.tensor([980, 3])
    x = torch.randn(2, config.in_channels, *SIZES[config.dims], generator=torch.Generator().manual_seed(1))
    conditioning, text = given(config), text_of(config)
    made = unet(x, t, conditioning)
    again = Rendering(unet.double().state_dict(), config)(
        beside(x, conditioning),
        t,
        conditioning.get("labels"),
        *(() if text is None else (text.pooled, text.tokens)),
    )
    assert apart(made, again) < TOLERANCE


def given(config: AdmUNetConfig) -> Conditioning:
    generator = torch.Generator().manual_seed(2)
    channels = config.in_channels
    size = SIZES[config.dims]
    smaller = [max(2, side // 4) for side in size]
    known = (torch.rand(2, 1, *size, generator=generator) > 0.5).float()
    return Conditioning.of(
        2,
        text=text_of(config),
        labels=None if config.num_classes is None else torch.tensor([4, 0]),
        low_res=torch.rand(2, channels, *smaller, generator=generator) if config.upsamples else None,
        image=torch.rand(2, channels, *size, generator=generator) if config.inpaints else None,
        mask=known if config.inpaints else None,
    )


def text_of(config: AdmUNetConfig) -> TextEmbedding | None:
    if config.text_width is None:
        return None
    generator = torch.Generator().manual_seed(3)
    pooled = torch.randn(2, 4 * config.channels, generator=generator)
    tokens = torch.randn(2, 7, config.text_width, generator=generator)
    return TextEmbedding(pooled, tokens, torch.ones(2, 7, dtype=torch.bool))


def beside(x: Tensor, conditioning: Conditioning) -> Tensor:
    """x, the known pixels and their mask, the image to enlarge: what the published networks take in."""
    channels = [x]
    if conditioning.get("image") is not None and conditioning.get("mask") is not None:
        channels += [conditioning.get("image") * conditioning.get("mask"), conditioning.get("mask")]
    if conditioning.get("low_res") is not None:
        size = tuple(x.shape[2:])
        mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(size)]
        channels.append(F.interpolate(conditioning.get("low_res"), size=size, mode=mode, align_corners=False))
    return torch.cat(channels, dim=1)
