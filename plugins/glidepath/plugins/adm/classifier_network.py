"""ADM's classifier of noisy images: the way down of its UNet, and a head.

Dhariwal & Nichol 2021, section 4. The names of the parameters are those of the published checkpoints.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glidepath.core import PartError
from glidepath.plugins.adm.classifier import Classifier
from glidepath.plugins.adm.classifier_config import AdmClassifierConfig
from glidepath.plugins.adm.faults import classifier_faults
from glidepath.plugins.adm.layers import (
    Pointwise,
    ResBlock,
    attend,
    conv,
    split_heads,
    timestep_embedding,
    zeroed,
)
from glidepath.plugins.adm.norm import GroupNorm
from glidepath.plugins.adm.stages import Stage, build_down, build_middle

HIDDEN = 2048
"""The width of the hidden layer of the spatial heads."""


class AdmClassifier(Classifier):
    """Which class a noisy image is of.

    The stages run in the precision of the configuration; embeddings and head in float32.

    Raises:
        PartError: the configuration does not fit together (`faults` says how).
    """

    def __init__(self, config: AdmClassifierConfig) -> None:
        super().__init__()
        for field, fault in classifier_faults(config):
            raise PartError(f"classifier adm-classifier: {field}: {fault}")
        self.config = config
        self.num_classes = config.num_classes
        width = 4 * config.channels
        self.time_embed = nn.Sequential(nn.Linear(config.channels, width), nn.SiLU(), nn.Linear(width, width))
        stages, widths = build_down(config.unet)
        self.input_blocks = nn.ModuleList(stages)
        self.middle_block = build_middle(config.unet)
        self.out = _head(config, widths[-1], sum(widths) + widths[-1])
        _set_precision((self.input_blocks, self.middle_block), getattr(torch, config.precision))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """x: [B, C, *spatial] float; t: [B] integer or float timesteps; returns logits [B, K] float32.

        Raises:
            PartError: x does not fit this network.
        """
        self._check_input(x)
        first = next(self.input_blocks.parameters())
        linear = self.time_embed[0]
        assert isinstance(linear, nn.Linear)
        with torch.autocast(x.device.type, enabled=False):
            sinusoids = timestep_embedding(t, self.config.channels).to(linear.weight.dtype)
            embedding = F.silu(self.time_embed(sinusoids))
        h, seen = x.to(first.dtype), []
        for stage in (*self.input_blocks, self.middle_block):
            assert isinstance(stage, Stage)
            projected = iter([layer.project(embedding) for layer in stage if isinstance(layer, ResBlock)])
            h = stage(h, projected, iter((None,)))
            seen.append(h)
        logits: Tensor = self.out(self._read(seen)).float()
        return logits

    def _read(self, seen: list[Tensor]) -> Tensor:
        """What the head reads of the stages."""
        dtype = next(self.out.parameters()).dtype
        if self.config.pool.startswith("spatial"):
            return torch.cat([h.to(dtype).mean(dim=(2, 3)) for h in seen], dim=1)
        return seen[-1].to(dtype)

    def _check_input(self, x: Tensor) -> None:
        config = self.config
        if x.ndim != 2 + config.dims or x.shape[1] != config.in_channels:
            wanted = f"[B, {config.in_channels}{', size' * config.dims}]"
            raise PartError(f"adm-classifier takes x of {wanted}, got {list(x.shape)}")
        sizes, multiple = x.shape[2:], config.unet.size_multiple
        if config.pool == "attention" and any(size != config.image_size for size in sizes):
            raise PartError(
                f"adm-classifier with pool attention takes images of its image_size {config.image_size} "
                f"alone, got {list(sizes)}"
            )
        if any(size % multiple for size in sizes[-2:]):  # of three, the inner two change
            raise PartError(
                f"adm-classifier takes sizes that are multiples of {multiple} (a halving for each entry of "
                f"channel_mult after the first), got {list(sizes)}"
            )


class AttentionPool(nn.Module):
    """The image as one vector: what its mean attends to, as one more position (Radford et al. 2021)."""

    def __init__(self, positions: int, channels: int, head_channels: int, outputs: int) -> None:
        super().__init__()
        self.heads = channels // head_channels
        self.positional_embedding = nn.Parameter(torch.randn(channels, positions + 1) / channels**0.5)
        self.qkv_proj = Pointwise(channels, 3 * channels)
        self.c_proj = Pointwise(channels, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, *spatial] -> [B, outputs]."""
        h = x.flatten(2)
        h = torch.cat([h.mean(dim=-1, keepdim=True), h], dim=-1) + self.positional_embedding.to(h.dtype)
        q, k, v = split_heads(self.qkv_proj(h.transpose(1, 2)), self.heads, 3, "new")
        result: Tensor = self.c_proj(attend(q[:, :, :1], k, v))[:, 0]
        return result


def _head(config: AdmClassifierConfig, channels: int, all_channels: int) -> nn.Sequential:
    """From the last stage's channels, or from the means of all stages, to logits."""
    classes = config.num_classes
    if config.pool == "adaptive":
        pool = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}[config.dims]
        last = zeroed(conv(config.dims, channels, classes, 1))
        return nn.Sequential(GroupNorm(channels), nn.SiLU(), pool(1), last, nn.Flatten())
    if config.pool == "attention":
        assert config.head_channels is not None  # `faults` refuses it
        positions = config.unet.sizes[-1] ** config.dims
        attention = AttentionPool(positions, channels, config.head_channels, classes)
        return nn.Sequential(GroupNorm(channels), nn.SiLU(), attention)
    hidden: list[nn.Module] = [nn.Linear(all_channels, HIDDEN)]
    hidden += [nn.ReLU()] if config.pool == "spatial" else [GroupNorm(HIDDEN), nn.SiLU()]
    return nn.Sequential(*hidden, nn.Linear(HIDDEN, classes))


def _set_precision(networks: Any, dtype: torch.dtype) -> None:
    """Convolutions, and the projections of attention, in `dtype`; norms and linear layers stay float32."""
    for network in networks:
        for module in network.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
                module.to(dtype)
