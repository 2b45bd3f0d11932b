"""Noise comes from (seed, sample, step), or as the reference implementations draw it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from glidepath.core.errors import PartError
from glidepath.core.noise import PerSampleNoise, ReferenceNoise

SHAPE = (3, 8, 8)


def initial(*seeds: tuple[int, int]) -> Tensor:
    return PerSampleNoise(seeds).initial((len(seeds), *SHAPE), "cpu")


@given(
    seeds=st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 1000)), min_size=1, max_size=5),
    step=st.integers(0, 1000),
)
def test_noise_does_not_depend_on_the_batch_it_was_drawn_in(seeds: list[tuple[int, int]], step: int) -> None:
    like = torch.empty(len(seeds), *SHAPE)
    together = PerSampleNoise(seeds)
    alone = [PerSampleNoise([seed]) for seed in seeds]
    assert torch.equal(initial(*seeds), torch.cat([initial(seed) for seed in seeds]))
    assert torch.equal(together.step(step, like), torch.cat([noise.step(step, like[:1]) for noise in alone]))


def test_noise_is_float32_whatever_the_default_dtype_of_the_process_is() -> None:
    reference = ReferenceNoise(torch.Generator().manual_seed(3)).initial((1, *SHAPE), "cpu")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        drawn = initial((3, 0))
        again = ReferenceNoise(torch.Generator().manual_seed(3)).initial((1, *SHAPE), "cpu")
    finally:
        torch.set_default_dtype(before)
    assert torch.equal(drawn, initial((3, 0)))
    assert torch.equal(again, reference)
    assert drawn.dtype == again.dtype == torch.float32


def test_noise_can_be_asked_for_in_any_order_and_again() -> None:
    noise, like = PerSampleNoise([(7, 0)]), torch.empty(1, *SHAPE)
    forwards = [noise.step(index, like) for index in range(5)]
    noise.skip(5, like)
    backwards = [noise.step(index, like) for index in reversed(range(5))]
    assert all(torch.equal(one, other) for one, other in zip(forwards, reversed(backwards), strict=True))


def test_every_seed_sample_and_step_has_a_stream_of_its_own() -> None:
    like = torch.empty(1, 1)
    sources = [PerSampleNoise([(seed, sample)]) for seed in range(12) for sample in range(12)]
    drawn = [noise.step(step, like).item() for noise in sources for step in range(12)]
    drawn += [noise.initial((1, 1), "cpu").item() for noise in sources]
    assert len(set(drawn)) == len(drawn) == 12 * 12 * 13


def test_streams_are_standard_normal_and_uncorrelated() -> None:
    """512 neighbouring streams of 1024 values: five standard errors."""
    drawn = PerSampleNoise([(0, sample) for sample in range(512)]).initial((512, 1024), "cpu").double()
    count = drawn.numel()
    assert abs(drawn.mean()) < 5 / count**0.5
    assert abs(drawn.var() - 1) < 5 * (2 / count) ** 0.5
    neighbours = (drawn[:-1] * drawn[1:]).mean()
    assert abs(neighbours) < 5 / (count - 1024) ** 0.5


def test_negative_and_large_seeds_are_as_good_as_others() -> None:
    drawn = [initial((seed, 0)) for seed in (-1, 0, 1, 2**63, 2**64 - 1, 2**64, 2**64 + 1, 10**5000)]
    assert len({float(noise.sum()) for noise in drawn}) == len(drawn)


def test_a_batch_of_another_size_is_refused() -> None:
    with pytest.raises(PartError, match="seeded for a batch of 2, and asked for one of 3"):
        PerSampleNoise([(0, 0), (0, 1)]).step(0, torch.empty(3, 1))


def test_reference_noise_is_one_stream_drawn_for_the_whole_batch_in_order() -> None:
    expected = torch.Generator().manual_seed(5)
    noise = ReferenceNoise(torch.Generator().manual_seed(5))
    like = torch.empty(2, *SHAPE)
    assert torch.equal(noise.initial((2, *SHAPE), "cpu"), torch.randn(2, *SHAPE, generator=expected))
    assert torch.equal(noise.step(0, like), torch.randn(2, *SHAPE, generator=expected))
    noise.skip(1, like)
    torch.randn(2, *SHAPE, generator=expected)
    assert torch.equal(noise.step(2, like), torch.randn(2, *SHAPE, generator=expected))


def test_reference_noise_for_two_copies_keeps_the_first() -> None:
    noise = ReferenceNoise(torch.Generator().manual_seed(5), copies=2)
    whole = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(5))
    assert torch.equal(noise.initial((2, *SHAPE), "cpu"), whole[:2])


def test_each_stream_of_a_seed_is_independent_of_the_others() -> None:
    """So that the stages of a cascade do not start from enlargements of one another's noise."""
    seeds = [(0, 0), (0, 1), (7, 0)]
    streams = [PerSampleNoise(seeds, stream=stream).initial((3, 64, 64), "cpu") for stream in range(3)]
    drawn = torch.stack(streams).flatten(1)
    # the off-diagonal correlations of N independent draws have a deviation of N^-1/2
    assert float((torch.corrcoef(drawn) - torch.eye(3)).abs().max()) < 5 / drawn.shape[1] ** 0.5


def test_the_first_stream_is_that_of_a_pipeline_by_itself() -> None:
    assert torch.equal(PerSampleNoise([(3, 4)], stream=0).initial((1, *SHAPE), "cpu"), initial((3, 4)))
