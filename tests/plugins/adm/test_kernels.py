"""Fewer multiplications give what the convolution as it is written gives."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glidepath.plugins.adm import kernels
from glidepath.plugins.adm.kernels import Kernels
from glidepath.plugins.adm.layers import convolved_upsampled, upsample


def given(
    channels: int = 128, outputs: int = 128, size: tuple[int, int] = (16, 20)
) -> tuple[Tensor, nn.Conv2d]:
    torch.manual_seed(0)
    x = torch.randn(2, channels, *size).to(memory_format=torch.channels_last)
    return x, nn.Conv2d(channels, outputs, 3, padding=1)


def exact(x: Tensor, convolution: nn.Conv2d) -> Tensor:
    bias = convolution.bias
    assert bias is not None
    return F.conv2d(x.double(), convolution.weight.double(), bias.double(), padding=1)


def error(made: Tensor, wanted: Tensor) -> float:
    return float(((made - wanted).abs().max() / wanted.abs().max()).detach())


@torch.inference_mode()
@pytest.mark.parametrize("outputs", [128, 192])
def test_tiles_give_the_convolution_to_the_rounding_of_float32(outputs: int) -> None:
    x, convolution = given(outputs=outputs)
    made = Kernels().convolve(x, convolution)
    assert error(made, exact(x, convolution)) < 5e-6
    assert made.is_contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def test_pieces_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    x, convolution = given(size=(20, 20))
    whole = Kernels().convolve(x, convolution)
    monkeypatch.setattr(kernels, "TILES", 3 * 2 * 5)  # three of the five rows of tiles, then two
    assert error(Kernels().convolve(x, convolution), whole) < 2e-6


@torch.inference_mode()
def test_two_threads_give_what_one_gives() -> None:
    x, convolution = given()
    threads = torch.get_num_threads()
    made = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            made.append(Kernels().convolve(x, convolution))
    finally:
        torch.set_num_threads(threads)
    assert error(*made) < 2e-6


@torch.inference_mode()
def test_summed_weights_give_the_convolution_of_what_is_upsampled() -> None:
    x, convolution = given(32, 48)
    made = Kernels().convolve_upsampled(x, convolution)
    assert error(made, exact(F.interpolate(x, scale_factor=2.0), convolution)) < 5e-6
    assert made.is_contiguous(memory_format=torch.channels_last)


def test_kernels_suit_large_images_of_many_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    suit = Kernels().suit
    with torch.inference_mode():
        assert suit(*given())
        assert not suit(*given(channels=64))
        assert suit(*given(channels=64), upsampled=True)
        assert not suit(*given(size=(8, 8)))
        assert not suit(*given(size=(18, 20)))
        x, convolution = given()
        assert not suit(x.contiguous(), convolution)
        assert not suit(x, nn.Conv2d(128, 128, 1))
        assert not suit(x, nn.Identity())


@torch.inference_mode()
@pytest.mark.parametrize("capability", ["AVX512", "DEFAULT"])
def test_tiles_are_for_avx2_and_upsampling_for_every_machine(
    capability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    suit = Kernels().suit
    assert not suit(*given())
    assert suit(*given(), upsampled=True)


def test_nothing_is_differentiated_through_kernels() -> None:
    assert not Kernels().suit(*given())


@torch.inference_mode()
def test_kernels_beyond_the_memory_they_may_take_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    (x, first), (_, second) = given(), given()
    made = Kernels()
    monkeypatch.setattr(kernels, "MOST_BYTES", 1)
    made.convolve(x, first)
    assert made.suit(x, first)
    assert not made.suit(x, second)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("bias", [True, False])
def test_an_upsampled_convolution_learns_what_it_learns_as_it_is_written(
    bias: bool, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its value and its derivatives, beside those in float64."""
    torch.manual_seed(0)
    convolution = nn.Conv2d(64, 32, 3, padding=1, bias=bias)
    x = torch.randn(2, 64, 8, 12).to(memory_format=layout).requires_grad_()
    learning = [x, *convolution.parameters()]
    wide = [it.detach().double().requires_grad_() for it in learning]
    expected = F.conv2d(upsample(wide[0]), *wide[1:], padding=1)
    monkeypatch.delattr(F, "conv2d")  # as it is written
    made = convolved_upsampled(x, convolution, None)
    assert error(made, expected) < 2e-6
    along = torch.randn_like(made)
    derivatives = torch.autograd.grad(made, learning, along)
    exactly = torch.autograd.grad(expected, wide, along.double())
    for derivative, wanted in zip(derivatives, exactly, strict=True):
        assert error(derivative, wanted) < 5e-6
