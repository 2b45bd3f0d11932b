"""Intervals and tests of shares, and of their paired differences: they stay within what a share can be.

A t interval of shares is a point where all are alike, goes beyond 0 and 1, and misses the truth too often
near them. Here a mean of n units is taken for the share of so many yes and no answers as would vary as much:
n where each unit is one answer or all units are equal, more where units are themselves means of many (the
effective sample size of Korn and Graubard 1998, and no fewer than n, since nothing within [0, 1] varies more
than yes and no do). Student's t stands for the normal distribution where the spread was estimated.

A unit is `averaged` where it is a mean over prompts, so that units are about normal. Prompts themselves are
not: most may be right always, and a few seldom, which a few units need not show. Their spread is taken as if
one more unit had been as far off as can be, and for equivalence each of them counts as one answer.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from glidepath.plugins.studies.extras import special
from glidepath.plugins.studies.statistics.paired import deviation

Array = npt.NDArray[np.float64]

# Of the continuity correction 1 / (2n): whole it is far on the safe side, and without it the score test finds
# equivalence in up to 8.6 % of studies at the margin; half of it errs in 5.2 % at most.
_CORRECTION = 0.5
_HALVINGS = 50


def share_interval(units: Array, level: float = 0.95, *, averaged: bool = False) -> tuple[Array, Array]:
    """Clopper and Pearson's interval (1934) of a mean share; units [..., n] within [0, 1].

    It covers at least as often as it says where units are 0 or 1. NaN for n = 1, which shows no spread.
    """
    n = units.shape[-1]
    mean = units.mean(-1)
    if n < 2:
        return np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    limit = _limit(units, level)
    normal = float(special().ndtri(0.5 + level / 2))
    # Korn and Graubard's correction for the degrees of freedom of the spread
    count = np.maximum(n, _answers(units, mean * (1 - mean), averaged) * (normal / limit) ** 2)
    right, wrong = count * mean, count * (1 - mean)
    tail = (1 - level) / 2
    inverse = special().betaincinv
    with np.errstate(invalid="ignore"):
        low = np.where(right > 0, inverse(right, wrong + 1, tail), 0.0)
        high = np.where(wrong > 0, inverse(right + 1, wrong, 1 - tail), 1.0)
    return low, high


def share_difference_interval(
    differences: Array, level: float = 0.95, *, averaged: bool = False
) -> tuple[Array, Array]:
    """Tango's score interval (1998) of a mean paired difference of shares, corrected for continuity by half.

    differences: [..., n] within [-1, 1]. Both ends are within it; NaN for n = 1.
    """
    mean = differences.mean(-1)
    if differences.shape[-1] < 2:
        return np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    limit = _limit(differences, level)
    gained, lost = _gained_and_lost(differences)
    count = _answers(differences, gained + lost - mean**2, averaged)
    ends = []
    for end in (-1.0, 1.0):
        inside, outside = mean, np.full_like(mean, end)
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            within = np.abs(_score(gained, lost, count, middle)) <= limit
            inside, outside = np.where(within, middle, inside), np.where(within, outside, middle)
        ends.append(inside)
    return ends[0], ends[1]


def share_equivalence_p(differences: Array, margin: float, *, averaged: bool = False) -> Array:
    """p of two one-sided score tests that the mean paired difference of shares lies within +-margin, [...].

    Differences that are all 0 prove nothing while they are few: at a margin of 0.1 their p is above 0.05 up
    to 29 units. NaN for n = 1; 0 for a margin of 1 or more, which holds every difference of shares.

    Raises:
        ValueError: the margin is not above 0.
    """
    if not margin > 0:
        raise ValueError(f"a margin of equivalence is above 0, not {margin}")
    mean = differences.mean(-1)
    n = differences.shape[-1]
    if n < 2:
        return np.full_like(mean, np.nan)
    if margin >= 1:
        return np.zeros_like(mean)
    gained, lost = _gained_and_lost(differences)
    spread = averaged & ~_is_binary(differences)
    count = np.where(spread, _answers(differences, gained + lost - mean**2, averaged), n)
    z = np.minimum(_score(gained, lost, count, -margin), -_score(gained, lost, count, margin))
    # at the margin itself no unit differs so often, and nothing speaks more for equivalence
    by_chance = (1 - margin) ** n
    p: Array = np.where(spread, special().stdtr(n - 1, -z), np.maximum(special().ndtr(-z), by_chance))
    return p


def equal_units_for_equivalence(margin: float, alpha: float) -> int:
    """The fewest units without any difference whose `share_equivalence_p` is at most alpha."""
    z = float(special().ndtri(1 - alpha))
    spread = z * np.sqrt(margin * (1 - margin))
    root = (spread + np.sqrt(spread**2 + 2 * _CORRECTION * margin)) / (2 * margin)
    return max(2, int(np.ceil(root**2)), int(np.ceil(np.log(alpha) / np.log1p(-margin))))


def _score(gained: Array, lost: Array, count: Array, supposed: Array | float) -> Array:
    """Tango's statistic: how many standard errors the mean lies above a supposed difference.

    The standard error is that under the supposed difference, with the most likely share of losses.
    """
    mean = gained - lost
    linear = (2 - mean) * supposed - gained - lost
    losses = (np.sqrt(np.maximum(linear**2 + 8 * lost * supposed * (1 - supposed), 0.0)) - linear) / 4
    variance = np.maximum(2 * losses + supposed * (1 - supposed), 0.0) / count
    distance = mean - supposed
    distance = np.sign(distance) * np.maximum(np.abs(distance) - _CORRECTION / (2 * count), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        z: Array = np.where(distance == 0, 0.0, distance / np.sqrt(variance))
    return z


def _gained_and_lost(differences: Array) -> tuple[Array, Array]:
    return np.maximum(differences, 0.0).mean(-1), np.maximum(-differences, 0.0).mean(-1)


def _answers(units: Array, binary: Array, averaged: bool) -> Array:
    """How many yes and no answers, of a variance `binary` each, vary as the mean of the units does."""
    n = units.shape[-1]
    variance = deviation(units) ** 2 + (0.0 if averaged else 1.0) * binary / n
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(_is_binary(units) | (binary <= 0), n, binary * n / variance)
    answers: Array = np.maximum(found, n)
    return answers


def _is_binary(units: Array) -> npt.NDArray[np.bool_]:
    """Whether each unit is one answer, 0 or 1, or the difference of two such; or all units are equal."""
    whole: npt.NDArray[np.bool_] = (units == np.round(units)).all(-1) | (deviation(units) == 0)
    return whole


def _limit(units: Array, level: float) -> Array:
    """The quantile of the normal distribution, or of the t distribution where the spread was estimated."""
    normal = special().ndtri(0.5 + level / 2)
    student = special().stdtrit(units.shape[-1] - 1, 0.5 + level / 2)
    limit: Array = np.where(_is_binary(units), normal, student)
    return limit
