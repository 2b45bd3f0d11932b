"""The layers of a diffusion transformer.

Peebles & Xie 2023, "Scalable Diffusion Models with Transformers", section 3.2. The names of the parameters
are those of the published checkpoints. Shapes: B samples, N tokens, D width of a token, L tokens of a text.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glidepath.core import TextEmbedding

FREQUENCIES = 256
"""How wide the sinusoids of a timestep are."""

_EPS = 1e-6  # of the layer norms

KeysValues = tuple[Tensor, Tensor, Tensor | None]
"""Keys and values [1 or B, heads, L, D / heads] of a text, and which may be looked at, [1 or B, 1, 1, L]."""


class Mlp(nn.Module):
    """Two linear layers with GELU, in its approximation by tanh, between."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., D]."""
        y: Tensor = self.fc2(F.gelu(self.fc1(x), approximate="tanh"))
        return y


class SelfAttention(nn.Module):
    """Attention of tokens to one another; queries, keys and values one after the other in `qkv`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, D] -> [B, N, D]."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()
        y: Tensor = self.proj(_joined(F.scaled_dot_product_attention(q, k, v)))
        return y


class CrossAttention(nn.Module):
    """Attention of tokens to those of a text (Chen et al. 2023, "PixArt-alpha", section 2.2).

    What it adds is 0 at first, so that training begins from the transformer without text.
    """

    def __init__(self, width: int, heads: int, text_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.kv, self.proj = (
            nn.Linear(width, width),
            nn.Linear(text_width, 2 * width),
            nn.Linear(width, width),
        )

    def keys_values(self, text: TextEmbedding) -> KeysValues:
        """What of a text does not change from step to step."""
        tokens = text.tokens.to(self.kv.weight.dtype)
        keys, values = self.kv(tokens).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()
        mask = text.mask
        # a text without one real token is looked at as a whole: attention to nothing is no number
        seen = None if mask is None else (mask | ~mask.any(1, keepdim=True))[:, None, None]
        return keys, values, seen

    def forward(self, x: Tensor, text: KeysValues) -> Tensor:
        """[B, N, D] -> [B, N, D]."""
        keys, values, seen = text
        q = self.q(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        keys, values = (rows.expand(len(x), *rows.shape[1:]) for rows in (keys, values))
        y: Tensor = self.proj(_joined(F.scaled_dot_product_attention(q, keys, values, attn_mask=seen)))
        return y


class Block(nn.Module):
    """Attention and a feed-forward layer, each scaled and shifted before and gated after (adaLN-Zero).

    The six rows of `adaLN_modulation` are shift, scale and gate of the attention, then of the other.
    """

    def __init__(self, width: int, heads: int, inner: int, text_width: int | None) -> None:
        super().__init__()
        self.attn = SelfAttention(width, heads)
        self.cross_attn = None if text_width is None else CrossAttention(width, heads, text_width)
        self.mlp = Mlp(width, inner)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, modulation: Tensor, text: KeysValues | None) -> Tensor:
        """x: [B, N, D]; modulation: [1 or B, 6 D], what `adaLN_modulation` says; returns [B, N, D]."""
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = modulation[:, None].chunk(6, dim=-1)
        x = torch.addcmul(x, gate, self.attn(modulated(x, shift, scale)))
        if self.cross_attn is not None and text is not None:
            x = x + self.cross_attn(x, text)
        return torch.addcmul(x, gate_mlp, self.mlp(modulated(x, shift_mlp, scale_mlp)))


class FinalLayer(nn.Module):
    """A norm, scaled and shifted, and a linear layer to the values of a patch."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, outputs)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        """x: [B, N, D]; modulation: [1 or B, 2 D]; returns [B, N, outputs]."""
        shift, scale = modulation[:, None].chunk(2, dim=-1)
        y: Tensor = self.linear(modulated(x, shift, scale))
        return y


class TimestepEmbedder(nn.Module):
    """A timestep as sinusoids, through two linear layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        """t: [N] integer or float; returns [N, D]."""
        half = FREQUENCIES // 2
        steps = torch.arange(half, dtype=torch.float32, device=t.device)
        angles = t.float()[:, None] * torch.exp(-math.log(10000) / half * steps)
        sinusoids = torch.cat([angles.cos(), angles.sin()], dim=-1)
        embedding: Tensor = self.mlp(sinusoids.to(next(self.mlp.parameters()).dtype))
        return embedding


class LabelEmbedder(nn.Module):
    """A vector for each class label, and one for none."""

    def __init__(self, labels: int, width: int) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(labels, width)

    def forward(self, labels: Tensor) -> Tensor:
        """[B] -> [B, D]."""
        embedding: Tensor = self.embedding_table(labels)
        return embedding


class PatchEmbedder(nn.Module):
    """Patches that do not overlap as tokens, row by row."""

    def __init__(self, channels: int, width: int, patch_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch_size, stride=patch_size)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, N, D]."""
        tokens: Tensor = self.proj(x).flatten(2).transpose(1, 2)
        return tokens


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x normalised, times 1 + scale, plus shift: [B, N, D] each, or [1 or B, 1, D]."""
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=_EPS), 1 + scale)


def positions(rows: int, columns: int, width: int) -> Tensor:
    """[1, rows * columns, width] float32: sine and cosine of the column, then of the row.

    Vaswani et al. 2017, "Attention Is All You Need", section 3.5; in float64 until the end, as the published
    tables are.
    """
    quarter = width // 4
    frequencies = 10000 ** -(torch.arange(quarter, dtype=torch.float64) / quarter)
    row, column = torch.meshgrid(
        torch.arange(rows, dtype=torch.float64), torch.arange(columns, dtype=torch.float64), indexing="ij"
    )
    angles = [place.reshape(-1, 1) * frequencies for place in (column, row)]
    parts = [wave for angle in angles for wave in (angle.sin(), angle.cos())]
    return torch.cat(parts, dim=1)[None].float()


def _joined(heads: Tensor) -> Tensor:
    """[B, heads, N, D / heads] -> [B, N, D]."""
    return heads.transpose(1, 2).flatten(2)
