"""What holds for every sampler."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from glidepath.core.levels import Step
from glidepath.core.noise import PerSampleNoise, ReferenceNoise
from glidepath.core.prediction import Prediction
from glidepath.core.sampler import Sampler, State
from glidepath.plugins.samplers.configs import DdimConfig, DdpmConfig
from glidepath.plugins.samplers.ddim import DdimSampler
from glidepath.plugins.samplers.ddpm import DdpmSampler
from glidepath.plugins.schedules.configs import CosineConfig
from glidepath.plugins.schedules.cosine import CosineSchedule

SAMPLERS: dict[str, Callable[[], Sampler]] = {
    "ddpm": lambda: DdpmSampler(DdpmConfig(steps=6)),
    "ddpm-learned-range": lambda: DdpmSampler(DdpmConfig(steps=6, variance="learned-range")),
    "ddpm-learned": lambda: DdpmSampler(DdpmConfig(steps=6, variance="learned")),
    "ddpm-fixed-small": lambda: DdpmSampler(DdpmConfig(steps=6, variance="fixed-small")),
    "ddpm-fixed-large": lambda: DdpmSampler(DdpmConfig(steps=6, variance="fixed-large")),
    "ddim": lambda: DdimSampler(DdimConfig(steps=6)),
    "ddim-eta": lambda: DdimSampler(DdimConfig(steps=6, eta=0.5)),
    "ddim-predicted-epsilon": lambda: DdimSampler(DdimConfig(steps=6, epsilon="predicted")),
}
SCHEDULE = CosineSchedule(CosineConfig())
SHAPE = (2, 3, 4, 4)
every_sampler = pytest.mark.parametrize("sampler", [make() for make in SAMPLERS.values()], ids=list(SAMPLERS))


def predict(x: Tensor, step: Step) -> Prediction:
    epsilon = torch.tanh(x) * step.sigma
    return Prediction(epsilon, "epsilon", x, step, torch.sigmoid(x)).with_gradient(-0.1 * x)


class Elsewhere:
    """Noise on a device that holds no data."""

    def initial(self, shape: tuple[int, ...], device: torch.device | str) -> Tensor:
        return torch.empty(shape, device=device)

    def step(self, index: int, like: Tensor) -> Tensor:
        return torch.empty_like(like)

    def skip(self, index: int, like: Tensor) -> None:
        pass


@every_sampler
def test_nothing_on_the_device_is_read_back(sampler: Sampler) -> None:
    """The meta device has no values: a comparison or `.item()` of one of its tensors raises."""
    x = torch.empty(SHAPE, device="meta")
    for state in sampler.states(predict, x, SCHEDULE.levels(sampler.steps), Elsewhere()):
        assert state.x.device.type == state.sample.device.type == "meta"
        assert state.x.shape == state.sample.shape == x.shape


@every_sampler
def test_a_walk_counts_its_steps_and_predicts_once_in_each(sampler: Sampler) -> None:
    seen = []

    def counted(x: Tensor, step: Step) -> Prediction:
        seen.append(step.index)
        return predict(x, step)

    walk = sampler.states(
        counted, torch.zeros(SHAPE), SCHEDULE.levels(sampler.steps), PerSampleNoise([(0, 0), (0, 1)])
    )
    assert seen == []
    first = next(walk)
    assert (first.index, first.total, seen) == (1, 6, [0])
    assert [(state.index, state.total) for state in walk] == [(index, 6) for index in range(2, 7)]
    assert seen == [0, 1, 2, 3, 4, 5]


@every_sampler
def test_walks_do_not_disturb_each_other(sampler: Sampler) -> None:
    levels = SCHEDULE.levels(sampler.steps)

    def start(seed: int) -> tuple[Tensor, PerSampleNoise]:
        noise = PerSampleNoise([(seed, 0), (seed, 1)])
        return noise.initial(SHAPE, "cpu"), noise

    def walk(seed: int) -> Iterator[State]:
        x, noise = start(seed)
        return sampler.states(predict, x, levels, noise)

    alone = [[state.x for state in walk(seed)] for seed in (1, 2)]
    together = list(zip(walk(1), walk(2), strict=True))
    for index, (first, second) in enumerate(together):
        assert torch.equal(first.x, alone[0][index])
        assert torch.equal(second.x, alone[1][index])


@every_sampler
def test_the_start_and_earlier_states_are_left_as_they_were(sampler: Sampler) -> None:
    noise = PerSampleNoise([(0, 0), (0, 1)])
    x = noise.initial(SHAPE, "cpu")
    before = x.clone()
    states = sampler.states(predict, x, SCHEDULE.levels(sampler.steps), noise)
    kept = [(state, state.x.clone(), state.sample.clone()) for state in states]
    assert torch.equal(x, before)
    for state, x_then, sample_then in kept:
        assert torch.equal(state.x, x_then)
        assert torch.equal(state.sample, sample_then)


@every_sampler
def test_an_image_does_not_depend_on_its_batch(sampler: Sampler) -> None:
    levels = SCHEDULE.levels(sampler.steps)

    def image(samples: list[int]) -> Tensor:
        noise = PerSampleNoise([(3, sample) for sample in samples])
        *_, last = sampler.states(predict, noise.initial((len(samples), *SHAPE[1:]), "cpu"), levels, noise)
        return last.x

    torch.testing.assert_close(image([0, 1, 2])[1:2], image([1]), rtol=1e-6, atol=1e-6)


@every_sampler
def test_a_walk_draws_from_the_references_stream_at_every_step(sampler: Sampler) -> None:
    """Needed or not: what the stream gives next (to an upsampler, say) is as in the reference programs."""
    noise = ReferenceNoise(torch.Generator().manual_seed(0))
    list(sampler.states(predict, noise.initial(SHAPE, "cpu"), SCHEDULE.levels(sampler.steps), noise))
    expected = torch.Generator().manual_seed(0)
    for _ in range(1 + 6):
        torch.randn(SHAPE, generator=expected)
    assert torch.equal(noise.step(6, torch.empty(SHAPE)), torch.randn(SHAPE, generator=expected))


@every_sampler
@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 7), (2, 1, 4, 4, 4)])
def test_samples_may_have_any_number_of_dimensions(sampler: Sampler, shape: tuple[int, ...]) -> None:
    noise = PerSampleNoise([(0, 0), (0, 1)])
    *_, last = sampler.states(predict, noise.initial(shape, "cpu"), SCHEDULE.levels(sampler.steps), noise)
    assert last.x.shape == shape
    assert bool(last.x.isfinite().all())


@every_sampler
def test_a_walk_of_one_step_is_finite(sampler: Sampler) -> None:
    noise = PerSampleNoise([(0, 0), (0, 1)])
    (state,) = sampler.states(predict, noise.initial(SHAPE, "cpu"), SCHEDULE.levels([999]), noise)
    assert bool(state.x.isfinite().all())


@pytest.mark.gpu
@every_sampler
def test_a_gpu_is_never_waited_for_between_steps(sampler: Sampler) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    noise = PerSampleNoise([(0, 0), (0, 1)])
    x = noise.initial(SHAPE, "cuda")
    walk = sampler.states(predict, x, SCHEDULE.levels(sampler.steps), noise)
    next(walk)  # the tables are uploaded, which waits
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in walk:
            pass
    finally:
        torch.cuda.set_sync_debug_mode("default")
