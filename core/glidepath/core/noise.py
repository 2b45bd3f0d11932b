"""Where random numbers come from: each depends on (seed, sample, step), and on nothing else in its batch."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Sequence
from typing import Protocol

import attrs
import torch
from torch import Tensor

from glidepath.core.errors import PartError

_MASK = (1 << 64) - 1


class Noise(Protocol):
    """A source of standard normal noise for one batch, from first to last step."""

    def initial(self, shape: tuple[int, ...], device: torch.device | str) -> Tensor:
        """The noise of x_T, with variance 1: [B, C, *spatial] float32. `Pipeline` scales it by sigma_T."""

    def step(self, index: int, like: Tensor) -> Tensor:
        """The noise of step `index` (0 = noisiest), of the shape, on the device of `like`."""

    def skip(self, index: int, like: Tensor) -> None:
        """Called in place of `step` at a step that adds no noise.

        The references draw there too, so that a source with one stream for all steps has to.
        """


def _whole(seeds: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    return tuple((_index("seed", seed), _index("sample index", sample)) for seed, sample in seeds)


def _index(name: str, value: int) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise PartError(f"a {name} is a whole number, not {value!r}") from None


@attrs.frozen
class PerSampleNoise:
    """One independent stream for each sample: an image does not depend on the batch it was made in.

    seeds: for each row of the batch, its (seed, sample index). The draw is made on the host in float32, so
        that CPU and GPU start from the same bits; torch's default dtype and device change nothing.
    stream: which of the independent streams of a seed; each stage of a cascade has its own.

    Raises:
        PartError: a seed or a sample index is no whole number.
    """

    seeds: Sequence[tuple[int, int]] = attrs.field(converter=_whole)
    stream: int = 0

    def initial(self, shape: tuple[int, ...], device: torch.device | str) -> Tensor:
        """Standard normal noise of `shape`, from each row's stream."""
        return self._draw(0, shape, device)

    def posterior(self, shape: tuple[int, ...], device: torch.device | str) -> Tensor:
        """The noise from which a codec draws the x_0 of an image that is given."""
        return self._draw(-1, shape, device)

    def step(self, index: int, like: Tensor) -> Tensor:
        """The noise of step `index`."""
        return self._draw(index + 1, tuple(like.shape), like.device)

    def skip(self, index: int, like: Tensor) -> None:
        """Nothing: the streams of the other steps do not depend on this one."""

    def _draw(self, position: int, shape: tuple[int, ...], device: torch.device | str) -> Tensor:
        if shape[0] != len(self.seeds):
            raise PartError(
                f"noise was seeded for a batch of {len(self.seeds)}, and asked for one of {shape[0]}"
            )
        pinned = torch.device(device).type == "cuda"
        drawn = torch.empty(shape, dtype=torch.float32, device="cpu", pin_memory=pinned)
        for row, (seed, sample) in zip(drawn.unbind(), self.seeds, strict=True):
            of_stream = (self.stream,) if self.stream else ()
            generator = torch.Generator("cpu").manual_seed(_mix(seed, sample, position, *of_stream))
            torch.randn(shape[1:], generator=generator, out=row)
        return drawn.to(device, non_blocking=True)


@attrs.frozen
class ReferenceNoise:
    """Draws as the reference implementations do: one stream for the batch, at every step, needed or not.

    generator: a torch generator (the reference uses the global one), seeded by the caller.
    copies: 2 for classifier-free guidance as GLIDE's notebooks run it: they draw 2B rows and keep B.
    """

    generator: torch.Generator
    copies: int = 1

    def initial(self, shape: tuple[int, ...], device: torch.device | str) -> Tensor:
        """The first draw."""
        return self._draw(shape, device)

    def step(self, index: int, like: Tensor) -> Tensor:
        """The next draw; the samplers ask at each step, in order."""
        return self._draw(tuple(like.shape), like.device)

    def skip(self, index: int, like: Tensor) -> None:
        """Draw and drop: the references draw at every step, and what follows (an upsampler) depends on it."""
        self._draw(tuple(like.shape), like.device)

    def _draw(self, shape: tuple[int, ...], device: torch.device | str) -> Tensor:
        whole = (self.copies * shape[0], *shape[1:])
        drawn = torch.randn(
            whole, generator=self.generator, dtype=torch.float32, device=self.generator.device
        )
        return drawn[: shape[0]].to(device)


def _mix(*values: int) -> int:
    """Hash integers into 64 bits, so that near seeds give far streams (splitmix64, Steele et al. 2014)."""
    state = 0
    for value in values:
        state = (state ^ _word(value)) + 0x9E3779B97F4A7C15 & _MASK
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state


def _word(value: int) -> int:
    """A whole number in 64 bits: itself where it fits, else a hash, so that 2^64 + n is not taken for n."""
    if 0 <= value <= _MASK:
        return value
    return int.from_bytes(hashlib.blake2b(hex(value).encode(), digest_size=8).digest())
