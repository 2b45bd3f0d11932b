"""ADM's UNet, rendered once more from its published description: what `adm-unet` is held against.

It shares nothing with ours but the names of the tensors: no layers, no layout, nothing prepared. Attention is
written out, head by head; everything runs in the dtype of the weights.

Dimensions: B samples, C channels, T positions, L text positions, c channels of a head.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

from glidepath.plugins.adm.configs import AdmUNetConfig

GROUPS = 32


@attrs.frozen(eq=False)
class Rendering:
    """The network of some weights, by the names of the published checkpoints.

    config: says what no name and no shape does: where sizes change, and how heads are laid out.
    """

    weights: Mapping[str, Tensor]
    config: AdmUNetConfig

    @torch.no_grad()
    def __call__(
        self,
        x: Tensor,
        t: Tensor,
        labels: Tensor | None = None,
        pooled: Tensor | None = None,
        tokens: Tensor | None = None,
    ) -> Tensor:
        """x [B, C, *spatial], t [B], labels [B], pooled [B, 4 channels], tokens [B, L, W] -> as x, or 2C."""
        dtype = self.weights["out.2.weight"].dtype
        embedding = self.linear("time_embed.0", sinusoids(t, self.config.channels).to(dtype))
        embedding = self.linear("time_embed.2", F.silu(embedding))
        if labels is not None:
            embedding = embedding + self.weights["label_emb.weight"][labels]
        if pooled is not None:
            embedding = embedding + pooled.to(dtype)
        text = None if tokens is None else tokens.to(dtype)
        h, skips = x.to(dtype), []
        levels, blocks = len(self.config.channel_mult), self.config.res_blocks
        for index in range(levels * (blocks + 1)):
            resampling = "down" if index > 0 and index % (blocks + 1) == 0 else ""
            h = self.stage(f"input_blocks.{index}", h, embedding, text, resampling)
            skips.append(h)
        h = self.stage("middle_block", h, embedding, text)
        for index in range(levels * (blocks + 1)):
            last = index % (blocks + 1) == blocks and index < (levels - 1) * (blocks + 1)
            h = torch.cat([h, skips.pop()], dim=1)
            h = self.stage(f"output_blocks.{index}", h, embedding, text, "up" if last else "")
        return self.conv("out.2", F.silu(self.norm("out.0", h)), padding=1)

    def stage(
        self, name: str, h: Tensor, embedding: Tensor, text: Tensor | None, resampling: str = ""
    ) -> Tensor:
        """Layers in a row, of which the last changes the size where `resampling` says so."""
        start = f"{name}."
        layers = sorted({key[len(start) :].split(".")[0] for key in self.weights if key.startswith(start)})
        for index, layer in enumerate(f"{start}{it}" for it in layers):
            if f"{layer}.qkv.weight" in self.weights:
                h = self.attention(layer, h, text)
            elif f"{layer}.in_layers.0.weight" in self.weights:
                resamples = resampling == "down" or (resampling == "up" and index > 0)
                h = self.res_block(layer, h, embedding, resampling if resamples else "")
                resampling = "" if resamples else resampling
            elif f"{layer}.op.weight" in self.weights:
                h, resampling = self.conv(f"{layer}.op", h, padding=1, stride=2), ""
            elif f"{layer}.conv.weight" in self.weights:
                h, resampling = self.conv(f"{layer}.conv", doubled(h), padding=1), ""
            else:
                h = self.conv(layer, h, padding=1)
        # what changes the size without a convolution has no tensors
        return {"": lambda it: it, "up": doubled, "down": halved}[resampling](h)

    def res_block(self, name: str, x: Tensor, embedding: Tensor, resampling: str) -> Tensor:
        """A residual block that may change the size between its first activation and convolution."""
        h = F.silu(self.norm(f"{name}.in_layers.0", x))
        if resampling == "up":
            h, x = doubled(h), doubled(x)
        elif resampling == "down":
            h, x = halved(h), halved(x)
        h = self.conv(f"{name}.in_layers.2", h, padding=1)
        heard = self.linear(f"{name}.emb_layers.1", F.silu(embedding))
        heard = heard.reshape(*heard.shape, *[1] * self.config.dims)
        if self.config.scale_shift_norm:
            scale, shift = heard[:, : h.shape[1]], heard[:, h.shape[1] :]
            h = self.norm(f"{name}.out_layers.0", h) * (1 + scale) + shift
        else:
            h = self.norm(f"{name}.out_layers.0", h + heard)
        h = self.conv(f"{name}.out_layers.3", F.silu(h), padding=1)
        if f"{name}.skip_connection.weight" in self.weights:
            x = self.conv(f"{name}.skip_connection", x)
        return x + h

    def attention(self, name: str, x: Tensor, text: Tensor | None) -> Tensor:
        """Every position attends to the text and to all positions, head by head."""
        flat = self.norm(f"{name}.norm", x).flatten(2)
        qkv = self.pointwise(f"{name}.qkv", flat)
        width = x.shape[1]
        heads = self.config.heads
        if name.startswith("output_blocks") and self.config.heads_upsample is not None:
            heads = self.config.heads_upsample
        c = self.config.head_channels or width // heads
        results = []
        for head in range(width // c):
            if self.config.attention_order == "legacy":
                q, k, v = qkv[:, 3 * c * head : 3 * c * (head + 1)].split(c, dim=1)
            else:
                q, k, v = (some[:, c * head : c * (head + 1)] for some in qkv.chunk(3, dim=1))
            if text is not None and f"{name}.encoder_kv.weight" in self.weights:
                both = self.pointwise(f"{name}.encoder_kv", text.transpose(1, 2))
                text_k, text_v = both[:, 2 * c * head : 2 * c * (head + 1)].split(c, dim=1)
                k, v = torch.cat([text_k, k], dim=2), torch.cat([text_v, v], dim=2)
            scores = torch.einsum("bct,bcs->bts", q * c**-0.25, k * c**-0.25)
            results.append(torch.einsum("bts,bcs->bct", scores.softmax(dim=2), v))
        return x + self.pointwise(f"{name}.proj_out", torch.cat(results, dim=1)).reshape(x.shape)

    def linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def pointwise(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self.weights[f"{name}.weight"].flatten(1), self.weights[f"{name}.bias"]
        return torch.einsum("oc,bct->bot", weight, x) + bias[:, None]

    def conv(self, name: str, x: Tensor, padding: int = 0, stride: int = 1) -> Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        convolve = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[self.config.dims]
        strides = [stride] * self.config.dims
        if self.config.dims == 3:
            strides[0] = 1  # frames keep their number
        return convolve(x, weight, bias, padding=padding, stride=strides)

    def norm(self, name: str, x: Tensor) -> Tensor:
        grouped = x.reshape(x.shape[0], GROUPS, -1)
        centred = grouped - grouped.mean(dim=2, keepdim=True)
        normal = centred / (centred.square().mean(dim=2, keepdim=True) + 1e-5).sqrt()
        weight, bias = (self.weights[f"{name}.{one}"] for one in ("weight", "bias"))
        alike = (-1, *[1] * (x.ndim - 2))
        return normal.reshape(x.shape) * weight.reshape(alike) + bias.reshape(alike)


def sinusoids(t: Tensor, width: int) -> Tensor:
    """[B] -> [B, width] float32, cosines first; an odd width ends in 0. Phases are float32, as published."""
    half = width // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
    phases = t.float()[:, None] * frequencies
    return torch.cat([phases.cos(), phases.sin(), torch.zeros(len(t), width % 2)], dim=1)


def doubled(x: Tensor) -> Tensor:
    """Each element twice, along every dimension; of three, along the last two."""
    for dim in _changing(x):
        x = x.repeat_interleave(2, dim=dim)
    return x


def halved(x: Tensor) -> Tensor:
    """The mean of every two, along every dimension; of three, along the last two."""
    for dim in _changing(x):
        x = x.unflatten(dim, (-1, 2)).mean(dim=dim + 1)
    return x


def _changing(x: Tensor) -> range:
    return range(3 if x.ndim == 5 else 2, x.ndim)
