"""GroupNorm in training: values and derivatives beside PyTorch's own in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from glidepath.plugins.adm.norm import GroupNorm


@pytest.mark.parametrize("rows", [None, 1, 3], ids=["plain", "one scale", "a scale for each"])
@pytest.mark.parametrize("mean", [0.0, 5.0])
@pytest.mark.parametrize("size", [(4, 4), (16, 8), (1, 2)])
def test_values_and_derivatives_of_a_norm_that_learns_are_those_in_float64(
    rows: int | None, mean: float, size: tuple[int, int]
) -> None:
    norm, x, scales = made(rows, mean, size)
    given = [x, norm.weight, norm.bias, *scales]
    learned = norm(x, *scales)
    along = torch.randn(learned.shape, generator=torch.Generator().manual_seed(1))
    derivatives = torch.autograd.grad(learned, given, along)

    wide = [it.detach().double().requires_grad_() for it in given]
    exactly = F.group_norm(wide[0], 32, wide[1], wide[2], 1e-5)
    if scales:
        exactly = exactly * (1 + wide[3]) + wide[4]
    expected = torch.autograd.grad(exactly, wide, along.double())
    assert apart(learned, exactly) < (4 + mean) * 4e-6
    for derivative, wanted in zip(derivatives, expected, strict=True):
        assert apart(derivative, wanted) < 1e-4 * max(1.0, float(wanted.abs().max()))


def test_a_norm_that_learns_gives_what_the_one_that_samples_gives() -> None:
    norm, x, scales = made(3, 2.0, (16, 16))
    with torch.no_grad():
        sampled = norm(x, *scales)
    assert apart(norm(x, *scales), sampled) < 1e-5


def made(rows: int | None, mean: float, size: tuple[int, int]) -> tuple[GroupNorm, Tensor, list[Tensor]]:
    """A norm of 64 channels, channels-last activations of three images, and scale and shift if wanted."""
    generator, norm = torch.Generator().manual_seed(0), GroupNorm(64)
    with torch.no_grad():
        norm.weight.normal_(generator=generator)
        norm.bias.normal_(generator=generator)
    x = torch.randn(3, 64, *size, generator=generator) + mean
    scales = [torch.randn(rows or 0, 64, 1, 1, generator=generator) for _ in range(2 if rows else 0)]
    return (
        norm,
        x.to(memory_format=torch.channels_last).requires_grad_(),
        [it.requires_grad_() for it in scales],
    )


def apart(one: Tensor, other: Tensor) -> float:
    """The largest difference."""
    return float((one.double() - other.double()).abs().max().detach())
