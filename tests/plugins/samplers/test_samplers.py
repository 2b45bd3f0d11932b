"""What holds for every sampler."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from glidepath.core.conditioning import Conditioning
from glidepath.core.errors import PartError
from glidepath.core.inpainting import keep_known
from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.noise import PerSampleNoise, ReferenceNoise
from glidepath.core.prediction import Prediction
from glidepath.core.sampler import Sampler, State
from glidepath.core.schedule import NoiseSchedule
from glidepath.core.variance_preserving import VariancePreservingSchedule
from glidepath.plugins.samplers import configs, grid_configs, multistep_configs
from glidepath.plugins.samplers.ddim import DdimSampler
from glidepath.plugins.samplers.ddpm import DdpmSampler
from glidepath.plugins.samplers.dpmpp import Dpmpp3Sampler, DpmppSampler, DpmppSdeSampler
from glidepath.plugins.samplers.heun import HeunSampler
from glidepath.plugins.samplers.pndm import PndmSampler
from glidepath.plugins.samplers.unipc import UniPcSampler

from .mixture import Mixture

MAKERS: dict[str, tuple[type[Sampler], type]] = {
    "ddpm": (DdpmSampler, configs.DdpmConfig),
    "ddim": (DdimSampler, configs.DdimConfig),
    "euler": (DdimSampler, grid_configs.EulerConfig),
    "euler-ancestral": (DdimSampler, grid_configs.EulerAncestralConfig),
    "heun": (HeunSampler, grid_configs.HeunConfig),
    "dpmpp-2m": (DpmppSampler, multistep_configs.DpmppConfig),
    "dpmpp-3m": (Dpmpp3Sampler, multistep_configs.Dpmpp3Config),
    "dpmpp-2m-sde": (DpmppSdeSampler, multistep_configs.DpmppSdeConfig),
    "unipc": (UniPcSampler, multistep_configs.UniPcConfig),
    "pndm": (PndmSampler, configs.PndmConfig),
}
VARIANTS: dict[str, tuple[str, dict[str, object]]] = {
    **{name: (name, {}) for name in MAKERS},
    "ddpm learned-range": ("ddpm", {"variance": "learned-range"}),
    "ddpm learned": ("ddpm", {"variance": "learned"}),
    "ddpm fixed-small": ("ddpm", {"variance": "fixed-small"}),
    "ddpm fixed-large": ("ddpm", {"variance": "fixed-large"}),
    "ddim eta": ("ddim", {"eta": 0.5}),
    "ddim predicted epsilon": ("ddim", {"epsilon": "predicted"}),
    "dpmpp-2m heun": ("dpmpp-2m", {"solver": "heun"}),
    "unipc 3": ("unipc", {"order": 3}),
    "unipc bh1": ("unipc", {"solver": "bh1"}),
    "pndm heun": ("pndm", {"warm_up": "heun"}),
}
DETERMINISTIC_TWINS = {"ddim eta": "ddim", "euler-ancestral": "euler", "dpmpp-2m-sde": "dpmpp-2m"}
STOCHASTIC = {*DETERMINISTIC_TWINS, *(name for name in VARIANTS if name.startswith("ddpm"))}
SHAPE = (2, 3, 4, 4)
SCHEDULE = VariancePreservingSchedule(torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64))
every_variant = pytest.mark.parametrize("name", VARIANTS)
SOLVERS = [name for name in VARIANTS if not name.startswith("ddpm")]


class Flow(NoiseSchedule):
    """alpha = 1 - t / N, sigma = t / N: neither preserves variance nor explodes."""

    num_steps = 1000

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        sigma = (t.to(torch.float64) + 1) / 1001
        return 1 - sigma, sigma


class Exploding(NoiseSchedule):
    """alpha = 1, sigma from 0.01 to 80, evenly in its logarithm (Song et al. 2021, "score SDE")."""

    num_steps = 1000

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        sigma = 0.01 * 8000 ** (t.to(torch.float64) / 999)
        return torch.ones_like(sigma), sigma


def make(name: str, steps: int | str | tuple[int, ...] = 6, **given: object) -> Sampler:
    maker, fixed = VARIANTS[name]
    sampler, config = MAKERS[maker]
    return sampler(config(steps=steps, **{**fixed, **given}))  # type: ignore[call-arg]


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


class Silent(Elsewhere):
    """Noise that must not be drawn."""

    def step(self, index: int, like: Tensor) -> Tensor:
        raise AssertionError("a step without noise drew some")


@every_variant
def test_nothing_on_the_device_is_read_back(name: str) -> None:
    """The meta device has no values: a comparison or `.item()` of one of its tensors raises."""
    sampler = make(name)
    x = torch.empty(SHAPE, device="meta")
    for state in sampler.states(predict, x, sampler.levels(SCHEDULE), Elsewhere()):
        assert state.x.device.type == state.sample.device.type == "meta"
        assert state.x.shape == state.sample.shape == x.shape


@every_variant
def test_a_walk_has_a_state_for_each_point_of_its_grid(name: str) -> None:
    levels = make(name).levels(SCHEDULE)
    states = list(walk(make(name), levels))
    count = len(levels)
    assert [(state.index, state.total) for state in states] == [(i, count) for i in range(1, count + 1)]


@pytest.mark.parametrize(
    ("name", "predictions"),
    [
        ("ddpm", 10),
        ("ddim", 10),
        ("euler", 10),
        ("euler-ancestral", 10),
        ("heun", 19),
        ("dpmpp-2m", 10),
        ("dpmpp-3m", 10),
        ("dpmpp-2m-sde", 10),
        ("unipc", 10),
        ("unipc 3", 10),
        ("pndm", 19),
        ("pndm heun", 11),
    ],
)
def test_ten_steps_predict_as_often_as_is_published(name: str, predictions: int) -> None:
    seen = []

    def counted(x: Tensor, step: Step) -> Prediction:
        seen.append(step.index)
        return predict(x, step)

    sampler = make(name, 10)
    list(sampler.states(counted, torch.zeros(SHAPE), sampler.levels(SCHEDULE), Elsewhere()))
    assert len(seen) == predictions


@every_variant
def test_walks_do_not_disturb_each_other(name: str) -> None:
    sampler = make(name)
    levels = sampler.levels(SCHEDULE)
    alone = [[state.x for state in walk(sampler, levels, seed)] for seed in (1, 2)]
    together = zip(walk(sampler, levels, 1), walk(sampler, levels, 2), strict=True)
    for index, (first, second) in enumerate(together):
        assert torch.equal(first.x, alone[0][index])
        assert torch.equal(second.x, alone[1][index])


@every_variant
def test_the_start_and_earlier_states_are_left_as_they_were(name: str) -> None:
    sampler = make(name)
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    states = sampler.states(predict, x, sampler.levels(SCHEDULE), PerSampleNoise([(0, 0), (0, 1)]))
    kept = [(state, state.x.clone(), state.sample.clone()) for state in states]
    assert torch.equal(x, before)
    for state, x_then, sample_then in kept:
        assert torch.equal(state.x, x_then)
        assert torch.equal(state.sample, sample_then)


@every_variant
def test_an_image_does_not_depend_on_its_batch(name: str) -> None:
    sampler = make(name)
    levels = sampler.levels(SCHEDULE)

    def image(samples: list[int]) -> Tensor:
        noise = PerSampleNoise([(3, sample) for sample in samples])
        *_, last = sampler.states(predict, noise.initial((len(samples), *SHAPE[1:]), "cpu"), levels, noise)
        return last.x

    torch.testing.assert_close(image([0, 1, 2])[1:2], image([1]), rtol=1e-6, atol=1e-6)


@every_variant
def test_a_walk_takes_one_draw_of_the_references_stream_for_each_state(name: str) -> None:
    """Needed or not: what the stream gives next (to an upsampler, say) does not depend on the sampler."""
    sampler = make(name)
    levels = sampler.levels(SCHEDULE)
    noise = ReferenceNoise(torch.Generator().manual_seed(0))
    list(sampler.states(predict, noise.initial(SHAPE, "cpu"), levels, noise))
    expected = torch.Generator().manual_seed(0)
    for _ in range(1 + len(levels)):
        torch.randn(SHAPE, generator=expected)
    assert torch.equal(noise.step(0, torch.empty(SHAPE)), torch.randn(SHAPE, generator=expected))


@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in STOCHASTIC])
def test_a_deterministic_sampler_draws_no_noise(name: str) -> None:
    sampler = make(name)
    list(sampler.states(predict, torch.zeros(SHAPE), sampler.levels(SCHEDULE), Silent()))


@pytest.mark.parametrize("name", DETERMINISTIC_TWINS)
def test_without_eta_a_stochastic_sampler_is_the_deterministic_one(name: str) -> None:
    still = make(name, eta=0.0)
    levels = still.levels(SCHEDULE)
    twin = make(DETERMINISTIC_TWINS[name])
    for one, other in zip(walk(still, levels), walk(twin, levels), strict=True):
        torch.testing.assert_close(one.x, other.x)


@pytest.mark.parametrize("name", DETERMINISTIC_TWINS)
def test_towards_a_single_image_noise_drawn_anew_leaves_the_distribution_as_it_is(name: str) -> None:
    """x_s is alpha_s m plus noise of sigma_s, whatever share of it is new (Song et al. 2021, lemma 1)."""
    sampler = make(name, clip=False)
    levels = sampler.levels(SCHEDULE)
    count = len(levels) + 2
    x = levels.alpha[0].float() * 0.7 + torch.zeros(count, 1)
    x[1] += levels.sigma[0].float()

    class Probe(Elsewhere):
        def step(self, index: int, like: Tensor) -> Tensor:
            return torch.nn.functional.one_hot(torch.tensor(index + 2), count).float()[:, None]

    def known(x: Tensor, step: Step) -> Prediction:
        return Prediction(torch.full_like(x, 0.7), "sample", x, step)

    for index, state in enumerate(sampler.states(known, x, levels, Probe())):
        responses = state.x[1:, 0] - state.x[0, 0]
        torch.testing.assert_close(state.x[0, 0], levels.alpha[index + 1].float() * 0.7)
        spread = responses.square().sum().sqrt()
        torch.testing.assert_close(spread, levels.sigma[index + 1].float(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in STOCHASTIC])
@pytest.mark.parametrize("schedule", [SCHEDULE, Flow(), Exploding()], ids=["preserving", "flow", "exploding"])
def test_towards_a_single_image_every_step_is_exact_on_any_schedule(
    name: str, schedule: NoiseSchedule
) -> None:
    """x_0 is a constant, and so is epsilon: nothing is left to approximate, at whatever order.

    The walk begins at t = 900: pndm multiplies what float32 rounds off by sigma / alpha.
    """
    sampler = make(name, (0, 180, 360, 540, 720, 900), clip=False)
    levels = sampler.levels(schedule)
    x = torch.randn(2, 5, generator=torch.Generator().manual_seed(1))

    def known(x: Tensor, step: Step) -> Prediction:
        return Prediction(torch.full_like(x, -0.4), "sample", x, step)

    start = -0.4 * levels.alpha[0].float() + levels.sigma[0].float() * x
    for index, state in enumerate(sampler.states(known, start, levels, Silent())):
        exactly = -0.4 * levels.alpha[index + 1] + levels.sigma[index + 1] * x.double()
        torch.testing.assert_close(state.x.double(), exactly, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("name", [name for name in SOLVERS if not name.startswith("pndm")])
def test_the_last_step_lands_on_a_clean_image_that_is_clipped(name: str) -> None:
    """The data is far outside of [-1, 1]. Not so pndm, which ends on a combination of the last epsilons."""
    *_, last = walk(make(name), make(name).levels(SCHEDULE), data=Mixture(3.0, 0.1))
    assert float(last.x.abs().max()) <= 1 + 1e-6
    torch.testing.assert_close(last.x, last.sample)


@pytest.mark.parametrize("name", SOLVERS)
def test_a_gradient_of_the_likelihood_turns_the_prior_into_the_posterior(name: str) -> None:
    """grad log p(y given x_t) added to the prior's score is the score of p(x_t given y).

    y is x_0 seen through noise of deviation 0.2; then the posterior is a Gaussian too.
    """
    deviation, seen, blur = 0.5, 0.6, 0.2
    precision = 1 / deviation**2 + 1 / blur**2
    mean, spread = seen / blur**2 / precision, precision**-0.5

    def posterior(x: Tensor, step: Step) -> Prediction:
        variance = step.alpha**2 * spread**2 + step.sigma**2
        return Prediction(
            mean + step.alpha * spread**2 / variance * (x - step.alpha * mean), "sample", x, step
        )

    def guided(x: Tensor, step: Step) -> Prediction:
        variance = step.alpha**2 * deviation**2 + step.sigma**2
        gain = step.alpha * deviation**2 / variance
        left = blur**2 + deviation**2 * step.sigma**2 / variance
        gradient = gain * (seen - gain * x) / left
        return Prediction(gain * x, "sample", x, step).with_gradient(gradient)

    sampler = make(name, clip=False)
    levels = sampler.levels(SCHEDULE)
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(2))
    noise = PerSampleNoise([(0, 0), (0, 1)])
    pairs = zip(
        sampler.states(guided, x, levels, noise), sampler.states(posterior, x, levels, noise), strict=True
    )
    for ours, exact in pairs:
        torch.testing.assert_close(ours.x, exact.x, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", SOLVERS)
def test_known_pixels_are_those_of_the_image(name: str) -> None:
    image = torch.full(SHAPE, 0.25)
    mask = torch.zeros(SHAPE[0], 1, *SHAPE[2:])
    mask[..., :2] = 1
    conditioning = Conditioning.of(SHAPE[0], image=image, mask=mask)
    restored = keep_known(lambda _conditioning: Mixture(0.8, 0.3).predict)(conditioning)
    sampler = make(name)
    noise = PerSampleNoise([(0, 0), (0, 1)])
    *_, last = sampler.states(restored, noise.initial(SHAPE, "cpu"), sampler.levels(SCHEDULE), noise)
    torch.testing.assert_close(last.x[..., :2], image[..., :2], rtol=1e-3, atol=1e-3)
    assert float((last.x[..., 2:] - 0.25).abs().min()) > 1e-3


@pytest.mark.parametrize("name", SOLVERS)
def test_a_walk_from_a_noised_image_is_the_end_of_the_grid(name: str) -> None:
    sampler = make(name, 10)
    levels = sampler.levels(SCHEDULE, 0.5)
    assert set(levels.t.tolist()) <= set(make(name, 1000).levels(SCHEDULE).t.tolist())
    assert float(levels.alpha[0]) > float(sampler.levels(SCHEDULE).alpha[0])
    assert int(levels.t[0]) == 444
    x = 0.3 * levels.alpha[0].float() + torch.zeros(SHAPE)
    *_, last = sampler.states(Mixture(0.0, 0.5).predict, x, levels, PerSampleNoise([(0, 0), (0, 1)]))
    assert bool(last.x.isfinite().all())


@every_variant
@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 7), (2, 1, 4, 4, 4)])
def test_samples_may_have_any_number_of_dimensions(name: str, shape: tuple[int, ...]) -> None:
    sampler = make(name)
    noise = PerSampleNoise([(0, 0), (0, 1)])
    *_, last = sampler.states(predict, noise.initial(shape, "cpu"), sampler.levels(SCHEDULE), noise)
    assert last.x.shape == shape
    assert bool(last.x.isfinite().all())


@every_variant
def test_a_walk_of_one_step_is_finite(name: str) -> None:
    sampler = make(name, (999,))
    states = list(walk(sampler, sampler.levels(SCHEDULE)))
    assert len(states) == 1
    assert bool(states[0].x.isfinite().all())


@every_variant
def test_a_grid_that_is_not_its_own_is_walked_too(name: str) -> None:
    states = list(walk(make(name), SCHEDULE.levels([0, 3, 40, 500, 700, 701])))
    assert len(states) == 6
    assert all(bool(state.x.isfinite().all()) for state in states)


@pytest.mark.parametrize("name", [name for name in SOLVERS if not name.startswith("unipc")])
def test_a_step_that_leads_nowhere_changes_nothing(name: str) -> None:
    """Where the walk ends at the noise of timestep 0 and visits it too, as Stable Diffusion's PLMS does.

    Not so unipc, whose last step begins at the corrected x, which no state before it shows.
    """
    sampler = make(name, "leading5", end="first")
    states = list(walk(sampler, sampler.levels(SCHEDULE)))
    torch.testing.assert_close(states[-1].x, states[-2].x, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", [name for name in SOLVERS if not name.startswith("pndm")])
def test_a_walk_may_begin_where_no_signal_is_left(name: str) -> None:
    schedule = VariancePreservingSchedule(SCHEDULE.beta, zero_terminal_snr=True)
    sampler = make(name, "trailing6", clip=False)
    levels = sampler.levels(schedule)

    def velocity(x: Tensor, step: Step) -> Prediction:
        known = torch.full_like(x, 0.5)
        return Prediction((step.alpha * x - known) / step.sigma, "velocity", x, step)

    noise = PerSampleNoise([(0, 0), (0, 1)])
    *_, last = sampler.states(velocity, noise.initial(SHAPE, "cpu"), levels, noise)
    torch.testing.assert_close(last.x, torch.full(SHAPE, 0.5), rtol=1e-3, atol=1e-3)


def test_pndm_says_that_it_cannot_begin_there() -> None:
    schedule = VariancePreservingSchedule(SCHEDULE.beta, zero_terminal_snr=True)
    sampler = make("pndm heun", "trailing6")
    with pytest.raises(PartError, match="pndm cannot begin at noise alone"):
        next(walk(sampler, sampler.levels(schedule)))


@pytest.mark.gpu
@every_variant
def test_a_gpu_is_never_waited_for_between_steps(name: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    sampler = make(name)
    noise = PerSampleNoise([(0, 0), (0, 1)])
    states = sampler.states(predict, noise.initial(SHAPE, "cuda"), sampler.levels(SCHEDULE), noise)
    next(states)  # the tables are uploaded, which waits
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in states:
            pass
    finally:
        torch.cuda.set_sync_debug_mode("default")


def walk(
    sampler: Sampler, levels: NoiseLevels, seed: int = 0, data: Mixture | None = None
) -> Iterator[State]:
    noise = PerSampleNoise([(seed, 0), (seed, 1)])
    exact: Callable[[Tensor, Step], Prediction] = predict if data is None else data.predict
    return sampler.states(exact, noise.initial(SHAPE, "cpu"), levels, noise)
