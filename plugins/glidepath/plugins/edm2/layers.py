"""Layers that keep the magnitude of what they are given.

Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", appendix B; the
equations are theirs. The names of the parameters are those of the published networks.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glidepath.plugins.edm2.configs import Edm2UNetConfig

_EPS = 1e-4  # of the norms
_SILU = 0.596  # the root mean square of SiLU of standard normal values (equation 81)

Resampling = Literal["keep", "down", "up"]


def normalized(x: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """x, whose root mean square over some dimensions becomes 1; over all but the first where none is given.

    Equations 30 and 47.
    """
    dims = tuple(range(1, x.ndim)) if dim is None else dim
    norm: Tensor = torch.linalg.vector_norm(x, dim=dims, keepdim=True, dtype=torch.float32)
    norm = _EPS + norm * math.sqrt(norm.numel() / x.numel())
    return x / norm.to(x.dtype)


def mp_silu(x: Tensor) -> Tensor:
    """SiLU that keeps the magnitude of normal values (equation 81)."""
    return F.silu(x) / _SILU


def mp_sum(a: Tensor, b: Tensor, balance: float) -> Tensor:
    """The sum of two, the second in the share `balance` (equation 88)."""
    return a.lerp(b, balance) / math.hypot(1 - balance, balance)


def mp_cat(a: Tensor, b: Tensor, balance: float) -> Tensor:
    """The channels of both, so that the second makes the share `balance` (equation 103)."""
    of_a, of_b = a.shape[1], b.shape[1]
    scale = math.sqrt(of_a + of_b) / math.hypot(1 - balance, balance)
    return torch.cat(
        [scale * (1 - balance) / math.sqrt(of_a) * a, scale * balance / math.sqrt(of_b) * b], dim=1
    )


def resampled(x: Tensor, weights: tuple[float, ...], how: Resampling) -> Tensor:
    """[B, C, H, W] in half or double the size, through a filter of these weights along each axis."""
    if how == "keep":
        return x
    line = torch.tensor(weights, dtype=torch.float32, device=x.device)
    line = line / line.sum()
    kernel = line.outer(line).to(x.dtype).expand(x.shape[1], 1, -1, -1)
    padding = (len(weights) - 1) // 2
    if how == "down":
        return F.conv2d(x, kernel, stride=2, padding=padding, groups=x.shape[1])
    return F.conv_transpose2d(x, 4 * kernel, stride=2, padding=padding, groups=x.shape[1])


class MPFourier(nn.Module):
    """Waves of random frequency and phase (equation 75): their magnitude is 1."""

    freqs: Tensor
    phases: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("freqs", 2 * math.pi * torch.randn(channels))
        self.register_buffer("phases", 2 * math.pi * torch.rand(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[N] -> [N, channels] float32."""
        angles = x.float()[:, None] * self.freqs.float() + self.phases.float()
        return math.sqrt(2) * angles.cos()


class MPConv(nn.Module):
    """A convolution, or linear layer without a kernel, whose weight is normalised (equation 66).

    In training the stored weight is made of unit magnitude before each forward pass (`renew`), so that the
    learning rate alone says how much an update changes it (equation 67).
    """

    def __init__(self, inputs: int, outputs: int, *kernel: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, *kernel))
        self._unit = -1  # the version of the weight that is of unit magnitude

    def renew(self) -> None:
        """Make the stored weight of unit magnitude, once for each change of it: a batch may come in parts.

        torch's fused optimizers do not count their changes; `torch.autograd.graph.increment_version` does.
        """
        if self.training and self.weight._version != self._unit:
            with torch.no_grad():
                self.weight.copy_(normalized(self.weight))
            self._unit = self.weight._version

    def forward(self, x: Tensor, gain: Tensor | float = 1.0) -> Tensor:
        """[B, inputs, *spatial] -> [B, outputs, *spatial], in the dtype of x."""
        weight = normalized(self.weight.float()) * (gain / math.sqrt(self.weight[0].numel()))
        weight = weight.to(x.dtype)
        if weight.ndim == 2:
            return F.linear(x, weight)
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)


class Block(nn.Module):
    """A residual block, with attention after it (figure 21).

    down: of the way down, which normalises x first; the way up does not.
    """

    def __init__(
        self,
        config: Edm2UNetConfig,
        inputs: int,
        outputs: int,
        embedding: int,
        *,
        down: bool,
        resampling: Resampling = "keep",
        attention: bool = False,
    ) -> None:
        super().__init__()
        self.config, self.down, self.resampling = config, down, resampling
        self.outputs = outputs
        self.heads = outputs // config.head_channels if attention else 0
        self.emb_gain = nn.Parameter(torch.zeros([]))
        self.conv_res0 = MPConv(outputs if down else inputs, outputs, 3, 3)
        self.emb_linear = MPConv(embedding, outputs)
        self.conv_res1 = MPConv(outputs, outputs, 3, 3)
        self.conv_skip = MPConv(inputs, outputs, 1, 1) if inputs != outputs else None
        self.attn_qkv = MPConv(outputs, 3 * outputs, 1, 1) if attention else None
        self.attn_proj = MPConv(outputs, outputs, 1, 1) if attention else None

    def scale(self, embedding: Tensor) -> Tensor:
        """What its inner activations are multiplied by: [N, width] -> [N, outputs]."""
        scale: Tensor = self.emb_linear(embedding, self.emb_gain)
        return scale + 1

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        """x: [B, inputs, H, W]; scale: [1 or B, outputs]; returns [B, outputs, H, W]."""
        config = self.config
        x = resampled(x, config.resample_filter, self.resampling)
        if self.down:
            x = x if self.conv_skip is None else self.conv_skip(x)
            x = normalized(x, dim=1)
        y = self.conv_res0(mp_silu(x))
        y = mp_silu(y * scale[..., None, None].to(y.dtype))
        if self.training and config.dropout:
            y = F.dropout(y, config.dropout)
        y = self.conv_res1(y)
        if not self.down and self.conv_skip is not None:
            x = self.conv_skip(x)
        x = mp_sum(x, y, config.res_balance)
        if self.attn_qkv is not None and self.attn_proj is not None:
            y = self.attn_proj(self._attended(self.attn_qkv(x)))
            x = mp_sum(x, y, config.attn_balance)
        return x if config.clip_act is None else x.clamp(-config.clip_act, config.clip_act)

    def _attended(self, qkv: Tensor) -> Tensor:
        """Cosine attention (equation 38): each query, key and value is normalised.

        qkv: [B, 3 outputs, H, W], its channels by head, then by channel, then q, k, v.
        """
        batch, _, *size = qkv.shape
        parts = normalized(qkv.reshape(batch, self.heads, -1, 3, math.prod(size)), dim=2)
        q, k, v = parts.permute(3, 0, 1, 4, 2).unbind()
        y = F.scaled_dot_product_attention(q, k, v)
        return y.transpose(2, 3).reshape(batch, -1, *size)
