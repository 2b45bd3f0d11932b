"""GroupNorm with statistics in float32, and with kernels that suit channels-last activations on a CPU."""

from __future__ import annotations

import math
from typing import Any

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
    or, for small images, all is done in float64: neither takes longer than that kernel. In training all is
    done from moments of channels (`_Affine`): that kernel and its derivative take five to ten times as long.
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
        if _is_channels_last(x) and torch.is_grad_enabled() and x.requires_grad:
            return self._learning(x, scale, shift)
        normalised = self._scaled(x)
        return normalised if scale is None or shift is None else normalised.mul_(1 + scale).add_(shift)

    def _learning(self, x: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
        weight, bias = self.weight[None], self.bias[None]
        if scale is not None and shift is not None:
            scale = 1 + scale.flatten(1)
            weight, bias = weight * scale, torch.addcmul(shift.flatten(1), bias, scale)
        normalised: Tensor = _Affine.apply(x, weight, bias, self.num_groups, self.eps)  # type: ignore[no-untyped-call]
        return normalised

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
    """Whether PyTorch's own kernels for x lose digits, and take long to differentiate."""
    return (
        x.device.type == "cpu"
        and x.ndim == 4
        and x.dtype == torch.float32
        and not torch.compiler.is_compiling()
        and not x.is_contiguous()
        and x.is_contiguous(memory_format=torch.channels_last)
    )


class _Affine(torch.autograd.Function):
    """The norm of x [B, C, H, W] times weight plus bias, both [1 or B, C]; whole images at a time.

    Wu & He 2018, "Group Normalization", equations 1 and 2. Sums over an image of channels-last memory are
    sums of rows, which a CPU adds and multiplies as fast as it reads them.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
        """In the memory layout of x."""
        batch, channels = x.shape[:2]
        by_group = (batch, groups, channels // groups)
        means = x.mean((2, 3), keepdim=True)
        variances = (x - means).square_().mean((2, 3))  # of each channel around its own mean: nothing cancels
        between, mean = torch.var_mean(means.view(by_group), 2, correction=0, keepdim=True)
        rstd = (variances.view(by_group).mean(2, keepdim=True) + between + eps).rsqrt()
        scale = _channels(rstd, weight, groups)
        offset = bias - (mean * scale.view(by_group)).view(batch, channels)
        ctx.save_for_backward(x, weight, mean, rstd)
        return torch.addcmul(offset[..., None, None], x, scale[..., None, None])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """By x, weight and bias: from sums over each image of the gradient, and of the gradient times x."""
        x, weight, mean, rstd = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        (batch, channels, *size), groups = x.shape, mean.shape[1]
        by_group = (batch, groups, channels // groups)
        of_bias = gradient.sum((2, 3))
        of_weight = ((gradient * x).sum((2, 3)).view(by_group) - mean * of_bias.view(by_group)) * rstd
        # sums over each group of the derivatives by what is normalised, and of these times it
        count = math.prod(size) * by_group[2]
        scales = weight.view(-1, *by_group[1:])
        direct = (of_bias.view(by_group) * scales).sum(2, keepdim=True) * rstd / count
        along = (of_weight * scales).sum(2, keepdim=True) * rstd.square() / count
        offset = (mean * along - direct).expand(by_group).reshape(batch, channels, 1, 1)
        along = along.expand(by_group).reshape(batch, channels, 1, 1)
        of_x = torch.addcmul(offset, x, along, value=-1)
        of_x.addcmul_(gradient, _channels(rstd, weight, groups)[..., None, None])
        of_weight = of_weight.view(batch, channels)
        if len(weight) < batch:
            of_weight, of_bias = of_weight.sum(0, keepdim=True), of_bias.sum(0, keepdim=True)
        return of_x, of_weight, of_bias, None, None


def _channels(of_group: Tensor, of_channel: Tensor, groups: int) -> Tensor:
    """[B, G, 1] times [1 or B, C] -> [B, C]."""
    product: Tensor = of_group * of_channel.view(len(of_channel), groups, -1)
    return product.flatten(1)
