"""Noise schedules: monotone, from the image to noise; a spacing visits points of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from glidepath.core.levels import NoiseLevels
from glidepath.core.schedule import NoiseSchedule
from glidepath.testing.check import Check, check, require
from glidepath.testing.part import Part
from glidepath.testing.trial import Attempt, Trial

CLEAN = 0.3
NOISY = 3.0
"""sigma / alpha at the first timestep is below the one, at the last above the other."""

_EXACT = 1e-9
_MANY = 1000
_COUNTS = (1, 2, 10)


class ScheduleTrial(Trial):
    """Asks for alpha and sigma at a time for each row."""

    attributes: ClassVar[dict[str, Callable[[Any], object]]] = {
        "schedule.num_steps": lambda built: built.num_steps,
        "schedule.continuous": lambda built: built.continuous,
    }

    def use(self, built: NoiseSchedule, rows: Sequence[int], device: str = "cpu") -> list[Tensor]:
        """alpha, sigma and the denoiser's time."""
        shares = [row * built.last_time / 8 for row in rows]
        t = torch.tensor(shares if built.continuous else [int(share) for share in shares]).to(device)
        return [*built.alpha_sigma(t), built.model_time(t)]

    def require_shapes(self, built: NoiseSchedule) -> None:
        """Any shape of times; levels of N points and a clean end."""
        require(
            built.continuous or (isinstance(built.num_steps, int) and built.num_steps > 1),
            "num_steps must be a whole number above 1, or the schedule continuous",
        )
        for t in (torch.tensor([[0, 1, 1], [1, 0, 1]]), torch.tensor(1), torch.tensor([0.0, 0.5])):
            for name, value in zip(("alpha", "sigma"), built.alpha_sigma(t), strict=True):
                require(
                    value.shape == t.shape,
                    f"{name} of times of shape {list(t.shape)} has shape {list(value.shape)}",
                )
        levels = built.levels(2)
        require(len(levels) == 2, f"levels(2) has {len(levels)} points")
        end = (float(levels.alpha[-1]), float(levels.sigma[-1]))
        require(end == (1.0, 0.0), f"the end point of its levels is alpha, sigma = {end}, and no clean image")

    def require_dtypes(self, built: NoiseSchedule) -> None:
        """float64: differences of neighbours lose digits."""
        for t in (torch.tensor([0, 1]), torch.tensor([0.0, 1.0])):
            for name, value in zip(("alpha", "sigma"), built.alpha_sigma(t), strict=True):
                require(value.dtype == torch.float64, f"{name} is {value.dtype}, and must be float64")

    def bad_inputs(self, built: NoiseSchedule) -> Iterator[Attempt]:
        """Spacings that it does not have."""
        yield "a spacing that is none, 'nonsense'", lambda: built.levels("nonsense"), True
        if built.continuous:
            yield "no steps at all", lambda: built.levels(0), True
            yield "a time beyond the last, [1.5]", lambda: built.levels([1.5]), True
            return
        count = built.num_steps
        yield f"more steps than it has, {count + 1}", lambda: built.levels(count + 1), True
        yield f"a timestep that it does not have, [{count}]", lambda: built.levels([count]), True


@check("builds", "shapes")
def monotone(part: Part) -> None:
    """From one timestep to the next, alpha never rises, sigma never falls, and sigma / alpha rises.

    In continuous time the image itself, sigma 0, may stand at time 0.
    """
    built = part.build()
    alpha, sigma = built.alpha_sigma(_all_times(built))
    for wrong, message in (
        (
            ~(alpha.isfinite() & sigma.isfinite()),
            "alpha or sigma is not finite: where they are roots of alpha_bar and 1 - alpha_bar, keep "
            "alpha_bar within 0 and 1, as by capping beta at 0.999, which the cosine schedule does",
        ),
        (alpha < 0, "alpha is below 0"),
        (
            sigma[int(built.continuous) :] <= 0,
            "sigma is not above 0: let alpha_bar begin below 1, for no timestep is the clean image",
        ),
    ):
        require(not bool(wrong.any()), f"at timestep {int(wrong.int().argmax())}, {message}")
    for name, steps in (
        ("alpha rises", alpha.diff()),
        ("sigma falls", -sigma.diff()),
        ("sigma / alpha does not rise", -(sigma / alpha).diff()),
    ):
        wrong = torch.nonzero(steps > 0 if name != "sigma / alpha does not rise" else steps >= 0)
        require(not wrong.numel(), f"{name} after timestep {int(wrong[0]) if wrong.numel() else 0}")


@check("builds", "shapes", "monotone")
def ends(part: Part) -> None:
    """The first timestep is nearly an image, the last nearly noise."""
    built = part.build()
    alpha, sigma = built.alpha_sigma(torch.tensor([0, built.last_time]))
    first, last = (sigma / alpha).tolist()
    require(first < CLEAN, f"sigma / alpha is {first:.3g} at timestep 0, which is not below {CLEAN}")
    require(last > NOISY, f"sigma / alpha is {last:.3g} at the last timestep, which is not above {NOISY}")


@check("builds", "shapes")
def spacings(part: Part) -> None:
    """The points of every spacing are points of the whole schedule, noisy to clean.

    In continuous time there are as many as was asked for, and each has less noise than the one before.
    """
    built = part.build()
    if built.continuous:
        for count in _COUNTS:
            levels = built.levels(count)
            falls = bool((levels.sigma / levels.alpha).diff().lt(0).all())
            require(len(levels) == count, f"levels({count}) has {len(levels)} points")
            require(falls, f"the points of levels({count}) do not run from noise to image")
        return
    whole = built.levels(built.num_steps)
    for spacing in _spacings(built.num_steps):
        levels = built.levels(spacing)
        where = [_index(whole, float(alpha), float(sigma)) for alpha, sigma in _points(levels)]
        require(
            None not in where,
            f"spacing {spacing!r} has points that the schedule does not have: q(x_t | x_0) differs there",
        )
        indices = [index for index in where if index is not None]
        require(
            indices == sorted(set(indices)),
            f"the points of spacing {spacing!r} do not run from noise to image",
        )
        t = whole.t[indices]
        require(
            torch.equal(t, levels.t), f"spacing {spacing!r} gives the denoiser other times than the schedule"
        )


CHECKS: tuple[Check, ...] = (monotone, ends, spacings)


def _all_times(built: NoiseSchedule) -> Tensor:
    """Every timestep; in continuous time as many as are looked at."""
    if built.continuous:
        return torch.linspace(0, 1, _MANY, dtype=torch.float64)
    return torch.arange(built.num_steps)


def _spacings(count: int) -> list[int | str | list[int]]:
    few = max(2, min(10, count // 4))
    return [1, few, f"{few // 2},{few}", f"leading{few}", f"trailing{few}", [0, count // 2, count - 1]]


def _points(levels: NoiseLevels) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(levels.alpha[:-1], levels.sigma[:-1], strict=True)


def _index(whole: NoiseLevels, alpha: float, sigma: float) -> int | None:
    """Which point of the whole grid has this alpha and sigma."""
    distance = (whole.alpha[:-1] - alpha).abs() + (whole.sigma[:-1] - sigma).abs()
    nearest = int(distance.argmin())
    return nearest if float(distance[nearest]) < _EXACT * max(1.0, abs(sigma)) else None
