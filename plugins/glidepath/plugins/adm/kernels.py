"""Convolutions of kernel 3 in fewer multiplications than they are written in, for CPUs in float32.

A CPU spends four fifths of a step multiplying in convolutions. What is here gives the same numbers, to the
rounding of float32, with kernels that are derived from the weights once for a batch.

Dimensions: B samples, C channels, H and W the image, all of them divided into tiles of 4 x 4.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POSITIONS = 256
"""Images of fewer elements are convolved as written: the weights, not the images, take the time."""

LEARNED_POSITIONS = 64
"""In training an upsampled image of fewer elements, before it is upsampled, is convolved as written."""

CHANNELS = 128
"""So are those of fewer channels, in or out: moving them takes as long as multiplying them."""

TILES = 112
"""How many are transformed at a time: few, to stay near, and enough for the kernel that each piece reads."""

MOST_BYTES = 2**30
"""Kernels take up to four times the memory of their weights. Beyond this, as written."""


TILED_BY = "AVX2"
"""The instructions with which tiles are sooner than oneDNN's convolutions; with AVX-512 they gain nothing."""


def learns_upsampled(x: Tensor, convolution: nn.Module) -> bool:
    """Whether x [B, C, H, W] upsampled is convolved and differentiated sooner by `convolve_upsampled`."""
    return (
        torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
        and type(convolution) is nn.Conv2d
        and convolution.kernel_size == (3, 3)
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.shape[2] * x.shape[3] >= LEARNED_POSITIONS
    )


def convolve_upsampled(x: Tensor, convolution: nn.Module) -> Tensor:
    """The convolution of x with each element doubled: [B, C_in, H, W] -> [B, C_out, 2H, 2W].

    Of the three elements that an output sees along a dimension two are one element of x. With their weights
    summed it is a transposed convolution of kernel 4 and stride 2, with 4/9 of the work.
    """
    assert isinstance(convolution, nn.Conv2d)
    return F.conv_transpose2d(x, _summed(convolution.weight), convolution.bias, stride=2, padding=1)


class Kernels:
    """The kernels of one batch, made where they are first needed; the weights must not change meanwhile."""

    def __init__(self) -> None:
        self._kernels: dict[nn.Module, Tensor] = {}
        self._tiles = torch.backends.cpu.get_cpu_capability() == TILED_BY

    def suit(self, x: Tensor, convolution: nn.Module, *, upsampled: bool = False) -> bool:
        """Whether x [B, C, H, W], or x upsampled, is convolved sooner here than as it is written."""
        return (
            not torch.is_grad_enabled()
            and not torch.compiler.is_compiling()
            and type(convolution) is nn.Conv2d
            and convolution.kernel_size == (3, 3)
            and (upsampled or self._tiles)
            and (upsampled or min(convolution.in_channels, convolution.out_channels) >= CHANNELS)
            and x.shape[2] * x.shape[3] >= POSITIONS
            and x.shape[2] % 4 == x.shape[3] % 4 == 0
            and x.is_contiguous(memory_format=torch.channels_last)
            and (convolution in self._kernels or self._bytes() < MOST_BYTES)
        )

    def convolve(self, x: Tensor, convolution: nn.Module) -> Tensor:
        """The convolution of x: [B, C_in, H, W] -> [B, C_out, H, W].

        Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks", F(4 x 4, 3 x 3): a tile of
        the output takes 36 multiplications for each pair of channels in place of 144.
        """
        kernel, bias = self._kernel(convolution, _transformed)
        if type(x) is not Tensor:
            return _as_written(x, convolution)
        (batch, channels, height, width), outputs = x.shape, kernel.shape[-1]
        columns = width // 4
        padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
        result = x.new_empty(batch, height // 4, 4, columns, 4, outputs)
        pieces = -(-batch * (height // 4) * columns // TILES)
        step = -(-(height // 4) // pieces)
        for first in range(0, height // 4, step):
            piece = padded[:, 4 * first : 4 * (first + step) + 2].unfold(1, 6, 4).unfold(2, 6, 4)
            tiles = piece.permute(4, 5, 0, 1, 2, 3).reshape(6, 6, -1)
            products = torch.bmm(_along_both(_INTO, tiles).view(36, -1, channels), kernel)
            outputs_4x4 = _along_both(_OUT_OF, products.view(6, 6, -1)).view(
                4, 4, batch, -1, columns, outputs
            )
            torch.add(outputs_4x4.permute(2, 3, 0, 4, 1, 5), bias, out=result[:, first : first + step])
        return result.view(batch, height, width, outputs).permute(0, 3, 1, 2)

    def convolve_upsampled(self, x: Tensor, convolution: nn.Module) -> Tensor:
        """See the function `convolve_upsampled`."""
        kernel, bias = self._kernel(convolution, _summed)
        if type(x) is not Tensor:
            return _as_written(F.interpolate(x, scale_factor=2, mode="nearest"), convolution)
        return F.conv_transpose2d(x, kernel, bias, stride=2, padding=1)

    def _kernel(self, convolution: nn.Module, make: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """The kernel that takes the place of the weights, and the bias."""
        assert isinstance(convolution, nn.Conv2d)  # or it does not suit
        assert convolution.bias is not None
        if convolution not in self._kernels:
            self._kernels[convolution] = make(convolution.weight)
        return self._kernels[convolution], convolution.bias

    def _bytes(self) -> int:
        return sum(kernel.nbytes for kernel in self._kernels.values())


def _as_written(x: Tensor, convolution: nn.Module) -> Tensor:
    """The convolution of what only stands for a tensor.

    It is there to count: the work of the network as it was published, and the memory of its kernels.
    """
    result: Tensor = convolution(x)
    return result


def _along_both(matrix: Tensor, tiles: Tensor) -> Tensor:
    """[M, K] by [K, K, N] -> [M, M, N]: the matrix times each of the N tiles times the matrix transposed."""
    many, few = matrix.shape
    half = torch.mm(matrix, tiles.view(few, -1)).view(many, few, -1)
    return torch.bmm(matrix.expand(many, -1, -1), half)


def _transformed(weight: Tensor) -> Tensor:
    """[C_out, C_in, 3, 3] -> [36, C_in, C_out]: its values at the 36 points."""
    by_element = weight.permute(2, 3, 1, 0).reshape(3, 3, -1)
    return _along_both(_WEIGHT, by_element).view(36, *weight.transpose(0, 1).shape[:2])


def _summed(weight: Tensor) -> Tensor:
    """[C_out, C_in, 3, 3] -> [C_in, C_out, 4, 4]: the kernel of a transposed convolution."""
    kernel = F.pad(weight.transpose(0, 1).flip(2, 3), (1, 1, 1, 1))
    for dim in (2, 3):
        kernel = kernel.narrow(dim, 0, 4) + kernel.narrow(dim, 1, 4)
    return kernel.contiguous()


def _matrices() -> tuple[Tensor, Tensor, Tensor]:
    """B^T, A^T and G of Lavin & Gray: [6, 6], [4, 6], [6, 3].

    They are those of Toom and Cook: polynomials are multiplied by their values at 0, +-2^-1/2, +-2^1/2 and
    infinity. At these points float32 loses about a bit; at the usual 0, +-1, +-2 it loses three.
    """
    points = [0.0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5)]

    def powers(count: int) -> Tensor:
        rows = [[point**power for power in range(count)] for point in points]
        return torch.tensor([*rows, [0.0] * (count - 1) + [1.0]], dtype=torch.float64)

    into = torch.linalg.inv(powers(6)).T
    # rows of like size on both sides of the product, which loses least
    largest = into.abs().amax(dim=1, keepdim=True)
    into, weight, out_of = into / largest, powers(3) * largest, powers(4).T
    return into.float(), out_of.float(), weight.float()


_INTO, _OUT_OF, _WEIGHT = _matrices()
