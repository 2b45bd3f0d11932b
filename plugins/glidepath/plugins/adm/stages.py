"""How the layers of the ADM UNet stand: down through its levels, across the middle, and up again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import attrs
from torch import Tensor, nn

from glidepath.plugins.adm.configs import AdmUNetConfig
from glidepath.plugins.adm.kernels import Kernels
from glidepath.plugins.adm.layers import AttentionBlock, Downsample, KeysValues, ResBlock, Upsample, conv


class Stage(nn.ModuleList):
    """Layers in a row."""

    def forward(
        self,
        h: Tensor,
        embeddings: Iterator[Tensor],
        text: Iterator[KeysValues | None],
        kernels: Kernels | None = None,
    ) -> Tensor:
        """h: [B, C, *spatial]. Residual blocks take the next embedding, attention blocks the next text.

        kernels: those of the batch, for the layers that convolve.
        """
        for layer in self:
            if isinstance(layer, ResBlock):
                h = layer(h, next(embeddings), kernels)
            elif isinstance(layer, AttentionBlock):
                h = layer(h, next(text))
            elif isinstance(layer, Upsample):
                h = layer(h, kernels)
            else:
                h = layer(h)
        return h


@attrs.frozen(eq=False)
class Stages:
    """The three parts of the network. What each stage of `down` gives, a stage of `up` takes, last first."""

    down: list[Stage]
    middle: Stage
    up: list[Stage]


def build(config: AdmUNetConfig) -> Stages:
    """Lay out the stages between the images and the head."""
    make = _Layers(config)
    down, skips = build_down(config)
    middle = build_middle(config)
    heads_up = config.heads if config.heads_upsample is None else config.heads_upsample
    levels = list(zip(config.sizes, config.widths, strict=True))
    channels = skips[-1]

    up = []
    for level, (size, width) in reversed(list(enumerate(levels))):
        for index in range(config.res_blocks + 1):
            layers: list[nn.Module] = [make.res_block(channels + skips.pop(), width)]
            channels = width
            if size in config.attention_resolutions:
                layers.append(make.attention(channels, heads_up))
            if level > 0 and index == config.res_blocks:
                layers.append(make.upsample(channels))
            up.append(Stage(layers))
    return Stages(down, middle, up)


def build_down(config: AdmUNetConfig) -> tuple[list[Stage], list[int]]:
    """The stages from the images to the smallest size, and how many channels each of them gives."""
    make = _Layers(config)
    levels = list(zip(config.sizes, config.widths, strict=True))
    channels = config.widths[0]
    down = [Stage([conv(config.dims, config.input_channels * config.patch_size**config.dims, channels, 3)])]
    given = [channels]
    for level, (size, width) in enumerate(levels):
        for _ in range(config.res_blocks):
            layers: list[nn.Module] = [make.res_block(channels, width)]
            channels = width
            if size in config.attention_resolutions:
                layers.append(make.attention(channels, config.heads))
            down.append(Stage(layers))
            given.append(channels)
        if level < len(levels) - 1:
            down.append(Stage([make.downsample(channels)]))
            given.append(channels)
    return down, given


def build_middle(config: AdmUNetConfig) -> Stage:
    """What stands at the smallest size; there is always attention in it."""
    make, channels = _Layers(config), config.widths[-1]
    return Stage(
        [
            make.res_block(channels, channels),
            make.attention(channels, config.heads),
            make.res_block(channels, channels),
        ]
    )


@attrs.frozen
class _Layers:
    """Makes the layers that a configuration describes."""

    config: AdmUNetConfig

    def res_block(self, inputs: int, outputs: int, resample: Literal["up", "down"] | None = None) -> ResBlock:
        config = self.config
        return ResBlock(
            inputs,
            outputs,
            4 * config.channels,
            dims=config.dims,
            dropout=config.dropout,
            scale_shift=config.scale_shift_norm,
            resample=resample,
        )

    def attention(self, channels: int, heads: int) -> AttentionBlock:
        config = self.config
        if config.head_channels is not None:
            heads = channels // config.head_channels
        text_width = config.text_width if config.text_attention else None
        return AttentionBlock(channels, heads, text_width=text_width, order=config.attention_order)

    def downsample(self, channels: int) -> nn.Module:
        if self.config.resblock_updown:
            return self.res_block(channels, channels, "down")
        return Downsample(channels, self.config.dims, with_conv=self.config.conv_resample)

    def upsample(self, channels: int) -> nn.Module:
        if self.config.resblock_updown:
            return self.res_block(channels, channels, "up")
        return Upsample(channels, self.config.dims, with_conv=self.config.conv_resample)
