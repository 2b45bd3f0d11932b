"""The two transformers of GLIDE's noised CLIP, with its checkpoints' parameter names.

Shapes: B samples, L positions, W width of a transformer, H heads, c channels of a head (H c = W), D width of
the embeddings, S side of an image.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PIXEL_MEAN = (122.77093945, 116.74601272, 104.09373519)
"""Of red, green and blue, from 0 to 255, over CLIP's training images."""

PIXEL_STD = (68.50053285, 66.63215831, 70.32316309)
"""The standard deviation of each."""


class TextTransformer(nn.Module):
    """A causal transformer over tokens; a text's features are read from its last token."""

    def __init__(self, *, rows: int, context: int, width: int, layers: int, heads: int, outputs: int) -> None:
        super().__init__()
        self.layers = layers
        self.blocks = nn.ModuleDict({"input": _TextInput(rows, context, width)})
        for index in range(layers):
            self.blocks[f"block_{index}"] = _Block(width, heads, layers, causal=True)
        self.blocks["output"] = _Output(width, outputs)

    def forward(self, ids: Tensor, last: Tensor) -> Tensor:
        """Features [B, D] of ids [B, L] int64, L up to the context, and the position [B] int64 of the last.

        What follows the last token is not seen by it.
        """
        x = self.blocks["input"](ids)
        for index in range(self.layers):
            x = self.blocks[f"block_{index}"](x)
        rows = torch.arange(len(ids), device=ids.device)
        features: Tensor = self.blocks["output"](x[rows, last])
        return features


class ImageTransformer(nn.Module):
    """A transformer over patches and one more position, which says how noisy the image is.

    The image's features are read from that position.
    """

    def __init__(
        self,
        *,
        size: int,
        patch: int,
        width: int,
        layers: int,
        heads: int,
        outputs: int,
        timesteps: int,
    ) -> None:
        super().__init__()
        self.layers = layers
        self.blocks = nn.ModuleDict({"input": _ImageInput(size, patch, width, timesteps)})
        for index in range(layers):
            self.blocks[f"block_{index}"] = _Block(width, heads, layers, causal=False)
        self.blocks["output"] = _Output(width, outputs)

    def forward(self, x: Tensor, t: Tensor | None) -> Tensor:
        """Features [B, D] of images x [B, 3, S, S] in [-1, 1] at timesteps t [B] int64; None without."""
        h = self.blocks["input"](x, t)
        for index in range(self.layers):
            h = self.blocks[f"block_{index}"](h, first_only=index == self.layers - 1)
        features: Tensor = self.blocks["output"](h[:, 0])
        return features


class _TextInput(nn.Module):
    def __init__(self, rows: int, context: int, width: int) -> None:
        super().__init__()
        self.w_voc = _normal(rows, width, std=0.02)
        self.w_pos = _normal(context, width, std=0.01)

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.w_voc) + self.w_pos[: ids.shape[1]]


class _ImageInput(nn.Module):
    """Patches, projected; before them a vector that the timestep chooses, or a single one without noise."""

    pixel_scale: Tensor
    pixel_shift: Tensor

    def __init__(self, size: int, patch: int, width: int, timesteps: int) -> None:
        super().__init__()
        self.patch = patch
        if timesteps:
            self.w_t = _normal(timesteps, width, std=0.02)
        else:
            self.pred_state = _normal(width, std=0.02)
        self.patch_proj = _normal(width, 3, patch, patch, std=(3 * patch * patch) ** -0.5)
        self.w_pos = _normal((size // patch) ** 2 + 1, width, std=0.01)
        self.ln = ClipLayerNorm(width)
        mean, deviation = (torch.tensor(it).reshape(3, 1, 1) for it in (PIXEL_MEAN, PIXEL_STD))
        # from [-1, 1] to [0, 255] to mean 0 and deviation 1, in one multiplication and one addition
        self.register_buffer("pixel_scale", 127.5 / deviation, persistent=False)
        self.register_buffer("pixel_shift", (127.5 - mean) / deviation, persistent=False)

    def forward(self, x: Tensor, t: Tensor | None) -> Tensor:
        pixels = torch.addcmul(self.pixel_shift, x, self.pixel_scale)
        patches = F.conv2d(pixels.to(self.patch_proj.dtype), self.patch_proj, stride=self.patch)
        states = self.pred_state.expand(len(x), -1) if t is None else F.embedding(t, self.w_t)
        h = torch.cat([states[:, None], patches.flatten(2).transpose(1, 2)], dim=1) + self.w_pos
        result: Tensor = self.ln(h)
        return result


class _Block(nn.Module):
    """A pre-norm block: x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, width: int, heads: int, layers: int, *, causal: bool) -> None:
        super().__init__()
        self.f_attn = _Attention(width, heads, layers, causal=causal)
        self.f_mlp = _Mlp(width, layers)

    def forward(self, x: Tensor, first_only: bool = False) -> Tensor:
        """[B, L, W] -> the same.

        first_only: -> [B, 1, W], the first position alone: where no other is read later, none is computed.
        """
        attended = self.f_attn(x, first_only)
        x = (x[:, :1] if first_only else x) + attended
        mlp: Tensor = self.f_mlp(x)
        return x + mlp


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int, layers: int, *, causal: bool) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.ln = ClipLayerNorm(width)
        self.f_q = _Linear(width, width)
        self.f_k = _Linear(width, width, bias=False)
        self.f_v = _Linear(width, width)
        self.f_c = _Linear(width, width, gain=(2 * layers) ** -0.5)

    def forward(self, x: Tensor, first_only: bool) -> Tensor:
        h = self.ln(x)
        asking = h[:, :1] if first_only else h
        q, k, v = (
            projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projected in (self.f_q(asking), self.f_k(h), self.f_v(h))
        )
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        result: Tensor = self.f_c(attended.transpose(1, 2).flatten(2))
        return result


class _Mlp(nn.Module):
    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.ln = ClipLayerNorm(width)
        self.f_1 = _Linear(width, 4 * width)
        self.f_2 = _Linear(4 * width, width, gain=(2 * layers) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.f_2(F.gelu(self.f_1(self.ln(x))))
        return result


class _Output(nn.Module):
    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.ln = ClipLayerNorm(width)
        self.f = _Linear(width, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.f(self.ln(x))
        return result


class ClipLayerNorm(nn.Module):
    """LayerNorm computed in float32, in and out in the dtype of the activations: [..., W] -> the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(width))
        self.b = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """[..., W] -> the same."""
        return F.layer_norm(x.float(), self.g.shape, self.g.float(), self.b.float(), 1e-5).to(x.dtype)


class _Linear(nn.Module):
    """gain: what the initial weights are multiplied by; small where a residual branch ends."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True, gain: float = 1.0) -> None:
        super().__init__()
        self.w = _normal(outputs, inputs, std=gain / math.sqrt(inputs))
        self.b = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.w, self.b)


def _normal(*shape: int, std: float) -> nn.Parameter:
    return nn.Parameter(nn.init.normal_(torch.empty(shape), std=std))
