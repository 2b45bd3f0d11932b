"""Of three spatial dimensions ADM's networks resample the inner two alone: each frame as an image."""

from __future__ import annotations

import typing

import pytest
import torch
from torch import Tensor, nn

from glidepath.core.conditioning import Conditioning
from glidepath.core.errors import PartError
from glidepath.plugins.adm.classifier_config import AdmClassifierConfig
from glidepath.plugins.adm.classifier_network import AdmClassifier
from glidepath.plugins.adm.configs import AdmUNetConfig
from glidepath.plugins.adm.layers import Downsample, ResBlock, Upsample
from glidepath.plugins.adm.unet import AdmUNet

Resample = typing.Literal["up", "down"]
FRAMES = torch.randn(2, 32, 5, 8, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("layer", [Upsample, Downsample])
@pytest.mark.parametrize("with_conv", [False, True])
@torch.no_grad()
def test_a_layer_resamples_each_frame_as_it_does_an_image(
    layer: type[Upsample | Downsample], with_conv: bool
) -> None:
    of_frames, of_images = layer(32, 3, with_conv=with_conv), layer(32, 2, with_conv=with_conv)
    see_one_frame(of_frames, of_images)
    assert_same(of_frames(FRAMES), torch.stack([of_images(frame) for frame in FRAMES.unbind(2)], dim=2))


@pytest.mark.parametrize("resample", typing.get_args(Resample))
@torch.no_grad()
def test_a_residual_block_resamples_the_inner_dimensions(resample: Resample) -> None:
    block = ResBlock(32, 32, 8, dims=3, dropout=0, scale_shift=True, resample=resample)
    made = block(FRAMES, torch.zeros(1, 64))
    assert made.shape == ((2, 32, 5, 16, 12) if resample == "up" else (2, 32, 5, 4, 3))


@pytest.mark.parametrize("updown", [False, True])
@torch.no_grad()
def test_a_network_takes_any_number_of_frames(updown: bool) -> None:
    config = AdmUNetConfig(
        dims=3,
        image_size=8,
        channels=32,
        channel_mult=(1, 1),
        res_blocks=1,
        attention_resolutions=(4,),
        head_channels=16,
        resblock_updown=updown,
    )
    unet, x, t = AdmUNet(config).eval(), torch.randn(1, 3, 5, 8, 12), torch.tensor([500])
    assert unet(x, t, Conditioning(1)).shape == (1, 6, 5, 8, 12)
    with pytest.raises(PartError, match="takes sizes that are multiples of 2"):
        unet(torch.randn(1, 3, 4, 8, 9), t, Conditioning(1))


@torch.no_grad()
def test_a_classifier_takes_any_number_of_frames() -> None:
    config = AdmClassifierConfig(
        dims=3,
        image_size=8,
        num_classes=4,
        channels=32,
        channel_mult=(1, 1),
        res_blocks=1,
        attention_resolutions=(4,),
        head_channels=16,
        pool="adaptive",
    )
    assert AdmClassifier(config).eval()(torch.randn(2, 3, 5, 8, 8), torch.tensor([1, 2])).shape == (2, 4)


def see_one_frame(of_frames: nn.Module, of_images: nn.Module) -> None:
    """Give the convolutions the same weights, and let that of frames see no neighbours in time."""
    for wide, flat in zip(of_frames.parameters(), of_images.parameters(), strict=True):
        if wide.ndim == 5:
            wide.zero_()
            wide[:, :, 1] = flat
        else:
            wide.copy_(flat)


def assert_same(made: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(made, wanted, rtol=1e-5, atol=1e-6)
