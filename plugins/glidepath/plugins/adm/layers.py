"""The layers of the ADM UNet: norm, resampling, residual block, attention block.

Shapes: B samples, C channels, *spatial one to three dimensions, T positions (all of *spatial), L text
positions, W text width, H heads, c channels of a head (H c = C).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glidepath.plugins.adm.kernels import Kernels, convolve_upsampled, learns_upsampled
from glidepath.plugins.adm.norm import GroupNorm

AttentionOrder = Literal["legacy", "new"]
KeysValues = tuple[Tensor, Tensor]
"""Keys and values of a text, [1 or B, H, L, c] each."""

_CONV: dict[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_AVERAGE_POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def conv(
    dims: int, inputs: int, outputs: int, kernel: int, *, stride: int | tuple[int, ...] = 1
) -> nn.Module:
    """A convolution over `dims` spatial dimensions, padded so that stride 1 keeps the size."""
    return _CONV[dims](inputs, outputs, kernel, stride=stride, padding=kernel // 2)


def zeroed(module: nn.Module) -> nn.Module:
    """The module with all its parameters 0: a residual branch that ends in it starts as nothing."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def timestep_embedding(t: Tensor, width: int) -> Tensor:
    """Sinusoids of a timestep, cosines first: [N] integer or float -> [N, width] float32.

    Frequencies are 10000^(-i / half), i = 0..half - 1, half = width // 2; an odd width ends in zeros.
    """
    half = width // 2
    # in this order: another rounds the frequencies otherwise, which near t = 1000 moves phases by 1e-4
    steps = torch.arange(half, dtype=torch.float32, device=t.device)
    phase = t.to(torch.float32)[:, None] * torch.exp(-math.log(10000) * steps / half)
    return F.pad(torch.cat([phase.cos(), phase.sin()], dim=1), (0, width % 2))


class Wide(nn.Module):
    """Keeps its parameters in float32 when the network around it is moved to 16 bits.

    The programs of ADM and GLIDE do so with the embeddings of time and class, and with the head. It costs
    next to nothing: the embeddings are computed once for a batch, and the head is small.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        def widely(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.itemsize >= tensor.itemsize else tensor.to(moved.device)

        super()._apply(widely, recurse)  # type: ignore[no-untyped-call]
        return self


class WideSequential(Wide, nn.Sequential):
    """Layers in a row that stay in float32."""


class WideEmbedding(Wide, nn.Embedding):
    """A table that stays in float32."""


def upsample(x: Tensor) -> Tensor:
    """Each element twice along every spatial dimension, of three along the inner two (nearest neighbour)."""
    return F.interpolate(x, scale_factor=(1.0, 2.0, 2.0) if x.ndim == 5 else 2.0, mode="nearest")


def convolved(x: Tensor, convolution: nn.Module, kernels: Kernels | None) -> Tensor:
    """`convolution(x)`, sooner where there are kernels that suit it."""
    if kernels is not None and kernels.suit(x, convolution):
        return kernels.convolve(x, convolution)
    result: Tensor = convolution(x)
    return result


def convolved_upsampled(x: Tensor, convolution: nn.Module, kernels: Kernels | None) -> Tensor:
    """`convolution(upsample(x))`, sooner where there are kernels that suit it."""
    if kernels is not None and kernels.suit(x, convolution, upsampled=True):
        return kernels.convolve_upsampled(x, convolution)
    if learns_upsampled(x, convolution):
        return convolve_upsampled(x, convolution)
    result: Tensor = convolution(upsample(x))
    return result


def downsample(x: Tensor) -> Tensor:
    """The mean of every two elements along each spatial dimension, of three along the inner two."""
    return _AVERAGE_POOL[x.ndim - 2](x, _halving(x.ndim - 2))


def _halving(dims: int) -> int | tuple[int, ...]:
    """The stride that halves the size. The first of three dimensions (frames, depth) keeps its own."""
    return (1, 2, 2) if dims == 3 else 2


class Upsample(nn.Module):
    """Twice the size (of three dimensions the inner two): nearest neighbour, then a convolution, if any."""

    def __init__(self, channels: int, dims: int, *, with_conv: bool) -> None:
        super().__init__()
        self.conv = conv(dims, channels, channels, 3) if with_conv else nn.Identity()

    def forward(self, x: Tensor, kernels: Kernels | None = None) -> Tensor:
        """[B, C, *spatial] -> [B, C, *2 spatial]."""
        if isinstance(self.conv, nn.Identity):
            return upsample(x)
        return convolved_upsampled(x, self.conv, kernels)


class Downsample(nn.Module):
    """Half the size (of three dimensions the inner two), by a convolution of stride 2 or by averaging."""

    def __init__(self, channels: int, dims: int, *, with_conv: bool) -> None:
        super().__init__()
        self.op = conv(dims, channels, channels, 3, stride=_halving(dims)) if with_conv else None

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, *spatial] -> [B, C, *spatial / 2]."""
        if self.op is None:
            return downsample(x)
        result: Tensor = self.op(x)
        return result


class ResBlock(nn.Module):
    """A residual block under the timestep embedding; it may change the size of the image (`resample`).

    Its embedding arrives projected (by `project`), because that can be done once for all steps.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        embedding: int,
        *,
        dims: int,
        dropout: float,
        scale_shift: bool,
        resample: Literal["up", "down"] | None = None,
    ) -> None:
        super().__init__()
        self.scale_shift = scale_shift
        self.resample = resample
        self.projected_width = 2 * outputs if scale_shift else outputs
        self.in_layers = nn.Sequential(
            GroupNorm(inputs), nn.SiLU(inplace=True), conv(dims, inputs, outputs, 3)
        )
        self.emb_layers = WideSequential(nn.SiLU(), nn.Linear(embedding, self.projected_width))
        self.out_layers = nn.Sequential(
            GroupNorm(outputs),
            nn.SiLU(inplace=True),
            nn.Dropout(dropout),
            zeroed(conv(dims, outputs, outputs, 3)),
        )
        self.skip_connection = nn.Identity() if inputs == outputs else conv(dims, inputs, outputs, 1)

    def project(self, activated: Tensor) -> Tensor:
        """The embedding after its SiLU, which all blocks share: [..., width] -> [..., projected_width]."""
        linear = cast(nn.Linear, self.emb_layers[1])  # or what an adapter puts around it
        result: Tensor = linear(activated.to(linear.weight.dtype))
        return result

    def forward(self, x: Tensor, embedding: Tensor, kernels: Kernels | None = None) -> Tensor:
        """x: [B, C_in, *spatial]; embedding: [1 or B, projected_width]; returns [B, C_out, *spatial]."""
        in_norm, in_activation, in_conv = self.in_layers
        out_norm, out_activation, dropout, out_conv = self.out_layers
        # what is made here alone is written over: fresh memory costs more than the arithmetic
        h = in_activation(in_norm(x))
        if self.resample == "up":
            h, x = convolved_upsampled(h, in_conv, kernels), upsample(x)
        elif self.resample == "down":
            h, x = in_conv(downsample(h)), downsample(x)
        else:
            h = convolved(h, in_conv, kernels)
        embedding = embedding.to(h.dtype)[(...,) + (None,) * (h.ndim - 2)]
        h = out_norm(h, *embedding.chunk(2, dim=1)) if self.scale_shift else out_norm(h + embedding)
        h = convolved(dropout(out_activation(h)), out_conv, kernels)
        return h.add_(self.skip_connection(x))


class Pointwise(nn.Conv1d):
    """A convolution of one element, by the shapes of its parameters, that takes its channels last.

    That is how attention wants its queries, keys and values: no copies to transpose them.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)

    def forward(self, input: Tensor) -> Tensor:
        """[..., C_in] -> [..., C_out]."""
        return F.linear(input, self.weight.squeeze(-1), self.bias)


def split_heads(x: Tensor, heads: int, pieces: int, order: AttentionOrder) -> tuple[Tensor, ...]:
    """[B, T, pieces H c] -> `pieces` tensors [B, H, T, c]: queries, keys, values that x holds side by side.

    order: `legacy` where the channels of x are [head][piece][c], `new` where they are [piece][head][c].
    """
    batch, positions, _ = x.shape
    if order == "legacy":
        return tuple(x.reshape(batch, positions, heads, pieces, -1).permute(3, 0, 2, 1, 4))
    return tuple(x.reshape(batch, positions, pieces, heads, -1).permute(2, 0, 3, 1, 4))


def attend(q: Tensor, k: Tensor, v: Tensor, text: KeysValues | None = None) -> Tensor:
    """Softmax attention, text before the image's own positions: q, k, v [B, H, T, c] -> [B, T, H c].

    Vaswani et al. 2017, equation 1; the scale is c^-1/2.
    """
    if text is not None:
        k, v = (
            torch.cat([extra.to(own.dtype).expand(own.shape[0], -1, -1, -1), own], dim=2)
            for extra, own in zip(text, (k, v), strict=True)
        )
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class AttentionBlock(nn.Module):
    """Attention of every position to all positions, and to a text where there is one (GLIDE, section 4.1)."""

    def __init__(self, channels: int, heads: int, *, text_width: int | None, order: AttentionOrder) -> None:
        super().__init__()
        self.heads = heads
        self.order = order
        self.norm = GroupNorm(channels)
        self.qkv = Pointwise(channels, 3 * channels)
        if text_width is not None:
            self.encoder_kv = Pointwise(text_width, 2 * channels)
        self.proj_out = zeroed(Pointwise(channels, channels))

    def text_keys_values(self, tokens: Tensor) -> KeysValues:
        """tokens [B, L, W] -> what `forward` takes as text."""
        # head by head, whatever the order of the image's own: only GLIDE has them, and it has no other order
        projected = self.encoder_kv(tokens.to(self.encoder_kv.weight.dtype))
        k, v = split_heads(projected, self.heads, 2, "legacy")
        return k, v

    def forward(self, x: Tensor, text: KeysValues | None = None) -> Tensor:
        """[B, C, *spatial] -> the same."""
        h = self.norm(x).flatten(2).transpose(1, 2)
        q, k, v = split_heads(self.qkv(h), self.heads, 3, self.order)
        h = self.proj_out(attend(q, k, v, text))
        result: Tensor = x + h.transpose(1, 2).reshape(x.shape)
        return result
