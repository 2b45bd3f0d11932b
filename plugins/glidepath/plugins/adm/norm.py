"""GroupNorm with statistics in float32, and with kernels that suit channels-last activations on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glidepath.plugins.adm.faults import GROUPS

_MANY_POSITIONS = 256
"""From so many on, norms from the moments of channels are sooner than norms in float64."""


class GroupNorm(nn.GroupNorm):
    """GroupNorm with statistics in float32, in and out in the dtype of the activations.

    Autocast would widen the activations and leave them wide. The kernels sum in float32 by themselves. That
    of the CPU for channels-last activations takes E[x]^2 from E[x^2], where digits cancel: 100 times as much
    as elsewhere where the mean is 5 standard deviations. There each channel's own moments are put together,
    or, for small images, all is done in float64: neither takes longer than that kernel. What is to be
    differentiated is laid out row by row, where that kernel is exact and its derivative sooner.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(GROUPS, channels, eps=1e-5)

    def forward(self, input: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        """[B, C, *spatial] -> the same; normalised (1 + scale) + shift, both [1 or B, C, 1, ...]."""
        if torch.is_autocast_enabled(input.device.type):
            with torch.autocast(input.device.type, enabled=False):
                return self._normalised(input, scale, shift)
        return self._normalised(input, scale, shift)

    def _normalised(self, x: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
        learns = torch.is_grad_enabled() and x.requires_grad
        if learns and _is_channels_last(x):
            x = x.contiguous()
        if scale is None or shift is None:
            return self._scaled(x)
        if learns and x.is_contiguous():
            return self._folded(x, scale, shift)
        return self._scaled(x).mul_(1 + scale).add_(shift)

    def _folded(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """With scale and shift in weight and bias, as of a batch of one: no product is kept to be derived."""
        factor = 1 + scale.flatten(1)
        weight, bias = self.weight * factor, torch.addcmul(shift.flatten(1), self.bias, factor)
        weight, bias = (it.expand(len(x), -1).flatten().to(x.dtype) for it in (weight, bias))
        groups = len(x) * self.num_groups
        return F.group_norm(x.view(1, -1, *x.shape[2:]), groups, weight, bias, self.eps).view_as(x)

    def _scaled(self, x: Tensor) -> Tensor:
        cancels = _is_channels_last(x)
        if cancels and x[0, 0].numel() >= _MANY_POSITIONS:
            return self._of_channels(x)
        dtype = torch.float64 if cancels else x.dtype
        weight, bias = self.weight.to(dtype), self.bias.to(dtype)
        return F.group_norm(x.to(dtype), self.num_groups, weight, bias, self.eps).to(x.dtype)

    def _of_channels(self, x: Tensor) -> Tensor:
        """From the mean and variance of each channel, which the kernel of batch norm takes in two passes."""
        shape = (*x.shape[:2], 1, 1)
        groups = (len(x), self.num_groups, -1)
        moments = [torch.batch_norm_update_stats(sample, None, None, 0.0) for sample in x.chunk(len(x))]
        means, variances = (torch.cat(both).view(groups) for both in zip(*moments, strict=True))
        between, centre = torch.var_mean(means, 2, correction=0, keepdim=True)
        scale = (variances.mean(2, keepdim=True) + between + self.eps).rsqrt() * self.weight.view(groups[1:])
        offset = torch.addcmul(self.bias.view(groups[1:]), centre, scale, value=-1)
        return torch.addcmul(offset.view(shape), x, scale.view(shape))


def _is_channels_last(x: Tensor) -> bool:
    """Whether PyTorch's own kernel for x loses digits, and takes long to differentiate."""
    return (
        x.device.type == "cpu"
        and x.ndim == 4
        and x.dtype == torch.float32
        and not torch.compiler.is_compiling()
        and not x.is_contiguous()
        and x.is_contiguous(memory_format=torch.channels_last)
    )
