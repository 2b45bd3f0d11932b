"""Samplers beside the algorithms as they were published, written out again in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from torch import Tensor

from glidepath.core.errors import PartError
from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.noise import PerSampleNoise
from glidepath.core.prediction import Prediction
from glidepath.core.sampler import Sampler
from glidepath.core.variance_preserving import VariancePreservingSchedule
from glidepath.plugins.guidance.dynamic_threshold import DynamicThreshold
from glidepath.plugins.guidance.modifier_configs import DynamicThresholdConfig
from glidepath.plugins.samplers.configs import DdimConfig, DdpmConfig
from glidepath.plugins.samplers.ddim import DdimSampler
from glidepath.plugins.samplers.ddpm import DdpmSampler
from glidepath.plugins.samplers.grid import ChurnedLevels
from glidepath.plugins.samplers.grid_configs import EulerConfig, HeunConfig
from glidepath.plugins.samplers.heun import HeunSampler
from glidepath.plugins.samplers.multistep_configs import UniPcConfig
from glidepath.plugins.samplers.unipc import UniPcSampler

from .mixture import Mixture

DATA = Mixture(mean=0.8, deviation=0.3)
SCHEDULE = VariancePreservingSchedule(torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64))
X = torch.linspace(-2, 2, 12).view(1, 12)


class Drawn:
    """Noise of a table, one row for each step; it counts what is drawn."""

    def __init__(self) -> None:
        self.rows = torch.randn(40, 12, generator=torch.Generator().manual_seed(3))
        self.drawn: list[int] = []

    def initial(self, shape: tuple[int, ...], device: torch.device | str) -> Tensor:
        raise AssertionError("x_T is given")

    def step(self, index: int, like: Tensor) -> Tensor:
        self.drawn.append(index)
        return self.rows[index].view_as(like)

    def skip(self, index: int, like: Tensor) -> None:
        pass


def algorithm_2(
    y: Tensor, sigmas: Tensor, churn: Any, most: float, rows: Tensor, *, heun: bool
) -> tuple[Tensor, list[float]]:
    """Karras et al. 2022, algorithm 2, on y = x / alpha. The first noise is in y already."""
    count, hats = len(sigmas) - 1, list[float]()
    one = torch.ones((), dtype=torch.float64)
    for index, (sigma, following) in enumerate(zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True)):
        is_within = churn.s_tmin <= sigma <= churn.s_tmax
        gamma = min(churn.s_churn / count, math.sqrt(2) - 1) if is_within else 0.0
        hat = max(min(sigma * (1 + gamma), most), sigma)
        hats.append(hat)
        if index:
            y = y + math.sqrt(hat**2 - sigma**2) * churn.s_noise * rows[index - 1].double()
        slope = (y - DATA.expected(y, one, hat * one)) / hat
        end = y + (following - hat) * slope
        if following and heun:
            slope_there = (end - DATA.expected(end, one, following * one)) / following
            end = y + (following - hat) * (slope + slope_there) / 2
        y = end
    return y, hats


@pytest.mark.parametrize("sampler", ["heun", "euler"])
@pytest.mark.parametrize(
    "churn",
    [
        {"s_churn": 4.0},
        {"s_churn": 40.0, "s_noise": 1.007},
        {"s_churn": 9.0, "s_tmin": 0.2, "s_tmax": 5.0, "s_noise": 0.9},
        {"s_churn": 5.0, "s_tmax": 0.001},
    ],
)
def test_churn_is_that_of_algorithm_2(sampler: str, churn: dict[str, float]) -> None:
    given: dict[str, Any] = {"steps": 12, "sigmas": "karras", "sigma_max": 20.0, "clip": False, **churn}
    made: Sampler = (
        HeunSampler(HeunConfig(**given)) if sampler == "heun" else DdimSampler(EulerConfig(**given))
    )
    config, noise = HeunConfig(**given), Drawn()
    levels = made.levels(SCHEDULE)
    assert isinstance(levels, ChurnedLevels)
    base = (levels.base.sigma / levels.base.alpha).double()
    alpha, sigma = SCHEDULE.alpha_sigma(torch.tensor(999))
    x = (levels.alpha[0] * 15 * X).float()
    *_, last = made.states(DATA.predict, x, levels, noise)
    expected, hats = algorithm_2(
        x.double() / levels.alpha[0], base, config, float(sigma / alpha), noise.rows, heun=sampler == "heun"
    )
    torch.testing.assert_close(
        levels.sigma[:-1] / levels.alpha[:-1], torch.tensor(hats, dtype=torch.float64), rtol=1e-9, atol=0
    )
    torch.testing.assert_close(last.x.double(), expected, rtol=0, atol=2e-5)
    moved = [index for index in range(1, 12) if hats[index] > float(base[index])]
    assert noise.drawn == [index - 1 for index in moved]
    assert bool(moved) == (churn.get("s_tmax", 1) > 0.01)


def test_without_churn_the_levels_are_what_they_were() -> None:
    for config in (HeunConfig(steps=9), EulerConfig(steps=9, s_tmin=1.0, s_noise=2.0)):
        made = HeunSampler(config) if isinstance(config, HeunConfig) else DdimSampler(config)
        assert type(made.levels(SCHEDULE)) is NoiseLevels


def multistep_uni_p(
    x: Tensor, levels: NoiseLevels, order: int, solver: str, *, predict_x0: bool, corrector: bool
) -> Tensor:
    """Zhao et al. 2023, algorithms 1, 2, 5 and 6, as the program published with it has them."""
    alpha, sigma = levels.alpha.numpy(), levels.sigma.numpy()
    lamb = np.log(alpha) - np.log(sigma)

    def model(x: Tensor, index: int) -> Tensor:
        sample = DATA.expected(x, levels.alpha[index], levels.sigma[index])
        return sample if predict_x0 else (x - alpha[index] * sample) / sigma[index]

    def update(x: Tensor, past: Sequence[Tensor], index: int, order: int, ahead: Tensor | None) -> Tensor:
        h = lamb[index + 1] - lamb[index]
        hh = -h if predict_x0 else h
        rks = [(lamb[index - back] - lamb[index]) / h for back in range(1, order)]
        d1s = [(past[back] - past[0]) / rk for back, rk in enumerate(rks, 1)]
        rks.append(1.0)
        h_phi_1 = math.expm1(hh)
        b_h = hh if solver == "bh1" else h_phi_1
        h_phi_k, factorial, rows, b = h_phi_1 / hh - 1, 1, [], []
        for power in range(1, order + 1):
            rows.append([rk ** (power - 1) for rk in rks])
            b.append(h_phi_k * factorial / b_h)
            factorial *= power + 1
            h_phi_k = h_phi_k / hh - 1 / factorial
        if predict_x0:
            base, scale = sigma[index + 1] / sigma[index] * x, alpha[index + 1]
        else:
            base, scale = alpha[index + 1] / alpha[index] * x, sigma[index + 1]
        base = base - scale * h_phi_1 * past[0]
        if ahead is None:
            shares = [0.5] if order == 2 else list(np.linalg.solve(np.array(rows)[:-1, :-1], b[:-1]))
            return base - scale * b_h * sum(s * d for s, d in zip(shares, d1s, strict=True))
        shares = [0.5] if order == 1 else list(np.linalg.solve(np.array(rows), b))
        d1s = [*d1s, ahead - past[0]]
        return base - scale * b_h * sum(s * d for s, d in zip(shares, d1s, strict=True))

    past, count = [model(x, 0)], len(levels)
    for index in range(count):
        now = min(order, count - index, len(past))
        moved = update(x, past, index, now, None)
        if index + 1 < count:
            ahead = model(moved, index + 1)
            if corrector:
                moved = update(x, past, index, now, ahead)
            past = [ahead, *past]
        x = moved
    return x


@pytest.mark.parametrize("predict_x0", [True, False])
@pytest.mark.parametrize("corrector", [True, False])
@pytest.mark.parametrize("solver", ["bh1", "bh2"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_unipc_in_both_forms_with_and_without_corrector(
    predict_x0: bool, corrector: bool, solver: str, order: int
) -> None:
    given: dict[str, Any] = {
        "predict_x0": predict_x0,
        "corrector": corrector,
        "solver": solver,
        "order": order,
    }
    sampler = UniPcSampler(UniPcConfig(steps="uniform9", end="first", clip=False, **given))
    levels = sampler.levels(SCHEDULE)
    *_, last = sampler.states(DATA.predict, X, levels, PerSampleNoise([(0, 0)]))
    expected = multistep_uni_p(X.double(), levels, **given)
    torch.testing.assert_close(last.x.double(), expected, rtol=0, atol=5e-5)


def test_both_forms_of_unipc_end_at_the_same_image() -> None:
    """At a clean image too, where lambda is infinite."""
    ends = []
    for predict_x0 in (True, False):
        sampler = UniPcSampler(UniPcConfig(steps=200, predict_x0=predict_x0))
        *_, last = sampler.states(DATA.predict, X, sampler.levels(SCHEDULE), PerSampleNoise([(0, 0)]))
        ends.append(last.x)
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=2e-3)


def test_listed_sigmas_are_visited() -> None:
    listed = (50.0, 11.0, 2.5, 0.3, 0.05)
    for end in ((), (0.0,)):
        levels = DdimSampler(EulerConfig(sigmas=(*listed, *end), steps=900)).levels(SCHEDULE)
        torch.testing.assert_close(
            (levels.sigma / levels.alpha)[:-1], torch.tensor(listed, dtype=torch.float64), rtol=1e-9, atol=0
        )
        alpha, _ = SCHEDULE.alpha_sigma(levels.t)
        torch.testing.assert_close(levels.alpha[:-1], alpha)
        assert float(levels.sigma[-1]) == 0
    karras = DdimSampler(EulerConfig(sigmas="karras", steps=7)).levels(SCHEDULE)
    again = DdimSampler(EulerConfig(sigmas=tuple((karras.sigma / karras.alpha)[:-1].tolist()))).levels(
        SCHEDULE
    )
    torch.testing.assert_close(again.alpha, karras.alpha)
    torch.testing.assert_close(again.t, karras.t)


@pytest.mark.parametrize("sigmas", [(1000.0, 1.0), (1.0, 1e-5)])
def test_sigmas_that_the_schedule_does_not_have_are_refused(sigmas: tuple[float, ...]) -> None:
    with pytest.raises(PartError, match=r"sigmas has .* goes from 0\.01 to 157"):
        DdimSampler(EulerConfig(sigmas=sigmas)).levels(SCHEDULE)


def wild(x: Tensor, step: Step) -> Prediction:
    """An x_0 far out of range."""
    return Prediction(torch.sin(7 * x) * 3, "sample", x, step)


@pytest.mark.parametrize("make", [DdimSampler, DdpmSampler, HeunSampler])
@pytest.mark.parametrize("bound", [0.5, 1.0, 2.0])
def test_each_predicted_image_is_clipped_where_one_says(make: Callable[..., Sampler], bound: float) -> None:
    kind: Any = {DdimSampler: DdimConfig, DdpmSampler: DdpmConfig, HeunSampler: HeunConfig}[make]  # type: ignore[index]
    clipped, free, infinite = (
        make(kind(steps=4, **given))
        for given in ({"clip_range": bound}, {"clip": False}, {"clip_range": math.inf})
    )
    ends = {}
    for name, sampler in (("clipped", clipped), ("free", free), ("infinite", infinite)):
        noise = PerSampleNoise([(0, 0)])
        states = list(sampler.states(wild, X, sampler.levels(SCHEDULE), noise))
        ends[name] = states[-1].x
        largest = max(float(state.sample.abs().max()) for state in states)
        assert largest == pytest.approx(bound) if name == "clipped" else largest > 2.5
    assert torch.equal(ends["free"], ends["infinite"])


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("sample_max", [1.0, 1.5, math.inf])
@pytest.mark.parametrize("kind", ["epsilon", "sample"])
def test_the_denoisers_epsilon_is_kept_under_dynamic_thresholding(
    kind: Any, sample_max: float, clip: bool
) -> None:
    """Song et al. 2021, equation 12: x_0 in range as Saharia et al. 2022 bring it, epsilon as it was."""
    sampler = DdimSampler(DdimConfig(steps=6, epsilon="predicted", clip=clip))
    levels = sampler.levels(SCHEDULE)

    def predict(x: Tensor, step: Step) -> Prediction:
        made = wild(x, step)
        return attrs.evolve(made, value=made.as_kind(kind), kind=kind)

    guidance = DynamicThreshold(DynamicThresholdConfig(percentile=0.9, sample_max=sample_max))
    *_, last = sampler.states(
        guidance(lambda _given: predict)(None),
        X,
        levels,
        PerSampleNoise([(0, 0)]),  # type: ignore[arg-type]
    )
    x, alpha, sigma = X.double().numpy(), levels.alpha.numpy(), levels.sigma.numpy()
    for index in range(len(levels)):
        x_0 = np.sin(7 * x) * 3
        epsilon = (x - alpha[index] * x_0) / sigma[index]
        bound = np.clip(np.quantile(np.abs(x_0), 0.9), 1, sample_max)
        x = alpha[index + 1] * np.clip(x_0, -bound, bound) / bound + sigma[index + 1] * epsilon
    np.testing.assert_allclose(last.x.numpy(), x, atol=2e-3)
