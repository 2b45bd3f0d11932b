"""Samplers: fed the exact denoiser of a mixture of Gaussians they reach it, and closer with more steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

from glidepath.core.denoiser import Predict
from glidepath.core.levels import NoiseLevels
from glidepath.core.noise import PerSampleNoise
from glidepath.core.sampler import Sampler, State
from glidepath.core.schedule import NoiseSchedule
from glidepath.testing.check import Check, NotApplicable, check, require
from glidepath.testing.fixtures import levels_for, schedule_for
from glidepath.testing.mixture import ONE, TWO, Mixture
from glidepath.testing.part import Part
from glidepath.testing.trial import Attempt, Trial, random_rows

_STEPS = 8
_MANY = 100
_SHAPE = (2, 3, 3)
_NEAR = 0.03
"""How far mean, standard deviation and share may be off after `_MANY` steps, for data of deviation 0.43."""

_COUNTS = (16, 32, 64)
_NOISIEST, _CLEANEST = 10.0, 0.1
"""sigma / alpha between which errors are measured: the last step, to the image, is left to the moments."""

_FINE = 8000
_LEEWAY = 0.3
_ROUNDING = 2e-5


class SamplerTrial(Trial):
    """Walks from noise to the mixture, in a few steps."""

    def use(self, built: Sampler, rows: Sequence[int], device: str = "cpu") -> list[Tensor]:
        """The last state and what it predicted."""
        *_, last = self.walk(built, rows, device)
        return [last.x, last.sample]

    def walk(self, built: Sampler, rows: Sequence[int], device: str = "cpu") -> list[State]:
        """Every state."""
        levels = levels_for(self.part, _STEPS)
        noise = PerSampleNoise([(7, row) for row in rows])
        x = levels.init_noise_sigma * random_rows(rows, _SHAPE).to(device)
        return list(built.states(predictor(self.part, TWO), x, levels, noise))

    def require_shapes(self, built: Sampler) -> None:
        """A state for each step, of the shape of x."""
        require(hasattr(built, "steps"), "it has no attribute `steps`: which timesteps are visited")
        temperature = built.temperature
        require(
            isinstance(temperature, int | float) and temperature > 0,
            f"temperature is {temperature!r}, and must be a number above 0",
        )
        states = self.walk(built, (0, 1))
        indices = [(state.index, state.total) for state in states]
        require(
            indices == [(index + 1, _STEPS) for index in range(_STEPS)],
            f"{_STEPS} steps give states of (index, total) {indices}, and must give (1, {_STEPS}) to "
            f"({_STEPS}, {_STEPS})",
        )
        for state in states:
            for name in ("x", "sample"):
                shape = tuple(getattr(state, name).shape)
                require(shape == (2, *_SHAPE), f"{name} is {list(shape)}, where x began as {[2, *_SHAPE]}")

    def require_dtypes(self, built: Sampler) -> None:
        """float32, as x is."""
        for state in self.walk(built, (0,)):
            for name in ("x", "sample"):
                dtype = getattr(state, name).dtype
                require(dtype == torch.float32, f"{name} is {dtype}, and must be float32")

    def bad_inputs(self, built: Sampler) -> Iterator[Attempt]:
        """A denoiser that does not learn its variance, where that is needed."""
        if _needs_variance(self.part):
            levels = levels_for(self.part, _STEPS)
            x, noise = random_rows((0,), _SHAPE), PerSampleNoise([(7, 0)])
            yield (
                "a denoiser that does not learn its variance, which it needs",
                lambda: list(built.states(TWO.predictor(), x, levels, noise)),
                True,
            )


@check("builds", "shapes", "same-seed")
def moments(part: Part) -> None:
    """It reaches the mean, the standard deviation and the shares of a mixture of Gaussians."""
    built, schedule = part.build(), schedule_for(part)
    levels = schedule.levels(_MANY if schedule.continuous else min(_MANY, schedule.num_steps))
    rows = range(16)
    alpha, sigma = float(levels.alpha[0]), float(levels.sigma[0])
    # one x for each of as many equal shares of the density, dealt out among the rows
    each = (torch.arange(16 * 1024, dtype=torch.float64) + 0.5) / (16 * 1024)
    x = TWO.quantiles(each, alpha, sigma).to(torch.float32).reshape(1024, 16).t().reshape(16, 1, 1024)
    noise = PerSampleNoise([(11, row) for row in rows])
    with torch.no_grad():
        *_, last = built.states(predictor(part, TWO), x, levels, noise)
    expected = TWO.moments(float(levels.alpha[-1]), float(levels.sigma[-1]))
    reached = last.x.double()
    measured = (
        float(reached.mean()),
        float(reached.std()),
        float((reached <= expected[0]).double().mean()),
    )
    for name, got, want in zip(
        ("mean", "standard deviation", "share below the mean"), measured, expected, strict=True
    ):
        require(
            abs(got - want) < _NEAR,
            f"after {len(levels)} steps with the exact denoiser, the {name} is {got:.3f}, and should be "
            f"{want:.3f}",
        )


@check("builds", "shapes", "same-seed")
def order_of_convergence(part: Part) -> None:
    """With twice the steps the error falls by 2 to its order: 1, or what it provides as sampler.order."""
    built, schedule = part.build(), schedule_for(part)
    order = _provided(part).get("sampler.order", 1)
    require(
        isinstance(order, int | float) and order > 0,
        f"sampler.order is {order!r} in its descriptor, and must be a number above 0",
    )
    predict = predictor(part, TWO)
    error = _weak_error if _draws(built, predict, _grid(schedule, _COUNTS[0])) else _strong_error
    with torch.no_grad():
        errors = [error(part, built, _grid(schedule, count)) for count in _COUNTS]
    if errors[-1] < _ROUNDING:
        return
    measured = math.log2(errors[-2] / errors[-1])
    errors_text = ", ".join(
        f"{value:.1e} with {count} steps" for count, value in zip(_COUNTS, errors, strict=True)
    )
    require(
        measured > order - _LEEWAY,
        f"its error is {errors_text}: of order {measured:.1f}, and not {order}, as "
        + (
            "its descriptor provides"
            if "sampler.order" in _provided(part)
            else "the least that is asked of any"
        ),
    )


@check("builds", "shapes", "same-seed")
def noise_is_given(part: Part) -> None:
    """All its noise is what it is given: where x is the same everywhere and the noise 0, so is the image.

    A generator of its own that is seeded by the step gives the same noise at each use, and is found so.
    """
    built, levels = part.build(), levels_for(part, _STEPS)
    x = torch.full((2, *_SHAPE), levels.init_noise_sigma)
    with torch.no_grad():
        *_, last = built.states(predictor(part, TWO), x, levels, _Silence())
    spread = float(last.x.max() - last.x.min()) / max(float(last.x.abs().max()), 1.0)
    require(
        spread < _ROUNDING,
        "from an x that is the same everywhere and noise that is 0 comes an image that differs from place to "
        f"place (relative difference {spread:.1e}): it adds noise of its own, which the seed does "
        "not decide, and must ask `noise` for it",
    )


CHECKS: tuple[Check, ...] = (moments, order_of_convergence, noise_is_given)


def predictor(part: Part, mixture: Mixture) -> Predict:
    """The exact denoiser of a mixture, with a variance where the sampler needs one."""
    return mixture.predictor(variance=_needs_variance(part))


def _provided(part: Part) -> Any:
    return part.planned.provided()


def _needs_variance(part: Part) -> bool:
    return bool(part.needed("prediction.learned_variance"))


def _grid(schedule: NoiseSchedule, count: int) -> NoiseLevels:
    """Levels even in time between two noise levels, whatever the schedule's own timesteps, and the image."""
    t = torch.linspace(0, schedule.last_time, _FINE, dtype=torch.float64)
    alpha, sigma = schedule.alpha_sigma(t)
    ratio = sigma / alpha
    within = t[(ratio >= _CLEANEST) & (ratio <= _NOISIEST)]
    if within.numel() < 2:
        raise NotApplicable(f"the schedule has no levels of sigma / alpha from {_CLEANEST} to {_NOISIEST}")
    t = torch.linspace(float(within[-1]), float(within[0]), count, dtype=torch.float64)
    return schedule.levels_at(t)


def _strong_error(part: Part, built: Sampler, levels: NoiseLevels) -> float:
    """How far a walk without noise is from the probability flow, in root mean square over some quantiles."""
    p = torch.linspace(0.02, 0.98, 49, dtype=torch.float64)
    begin, end = (
        TWO.quantiles(p, float(levels.alpha[index]), float(levels.sigma[index])) for index in (0, -2)
    )
    states = built.states(predictor(part, TWO), begin.float().reshape(1, 1, -1), levels, _Silence())
    *_, before_last, _last = states
    return float((before_last.x.double().flatten() - end).square().mean().sqrt())


def _weak_error(part: Part, built: Sampler, levels: NoiseLevels) -> float:
    """How far the mean and the standard deviation of a walk with noise are from those of a Gaussian.

    Of a Gaussian the exact denoiser is affine, and so is the walk in its beginning and in each draw. What it
    does to each is read off one walk without any chance: entry 0 has no noise, entry 1 begins elsewhere, and
    entry 2 + i has a push in place of the noise of step i.
    """
    push = 0.2
    alpha, sigma = float(levels.alpha[0]), float(levels.sigma[0])
    mean, deviation, _ = ONE.moments(alpha, sigma)
    x = torch.full((1, 1, len(levels) + 2), mean)
    x[..., 1] += push * deviation
    *_, before_last, _last = built.states(predictor(part, ONE), x, levels, _Pushes(push))
    reached = before_last.x.double().flatten()
    gains = (reached[1:] - reached[0]) / push
    wanted = ONE.moments(float(levels.alpha[-2]), float(levels.sigma[-2]))
    return abs(float(reached[0]) - wanted[0]) + abs(float(gains.square().sum().sqrt()) - wanted[1])


def _draws(built: Sampler, predict: Predict, levels: NoiseLevels) -> bool:
    """Whether a walk adds noise before its last step."""
    noise = _Silence()
    x = torch.zeros(1, 1, 1)
    for _state in built.states(predict, x, levels, noise):
        pass
    return any(index < len(levels) - 1 for index in noise.asked)


@attrs.define
class _Silence:
    """Noise that is 0, and remembers at which steps it was asked for."""

    asked: list[int] = attrs.field(factory=list)

    def initial(self, shape: tuple[int, ...], device: torch.device | str) -> Tensor:
        return torch.zeros(shape, device=device)

    def step(self, index: int, like: Tensor) -> Tensor:
        self.asked.append(index)
        return torch.zeros_like(like)

    def skip(self, index: int, like: Tensor) -> None:
        pass


@attrs.frozen
class _Pushes:
    """A push of entry 2 + i in place of the noise of step i."""

    push: float

    def initial(self, shape: tuple[int, ...], device: torch.device | str) -> Tensor:
        return torch.zeros(shape, device=device)

    def step(self, index: int, like: Tensor) -> Tensor:
        drawn = torch.zeros_like(like)
        drawn[..., 2 + index] = self.push
        return drawn

    def skip(self, index: int, like: Tensor) -> None:
        pass
