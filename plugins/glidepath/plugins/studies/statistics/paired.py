"""Tests and intervals of paired differences, each vectorised over everything but the last axis, the units.

A unit is one independent repetition, such as a training seed; its difference is arm minus baseline under
equal seeds. Arrays hold no NaN: pairs that failed are dropped before (units.py).
"""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np
import numpy.typing as npt

from glidepath.plugins.studies.extras import special

Array = npt.NDArray[np.float64]

#: Up to so many units all 2^n sign patterns are looked at; beyond, `DRAWS` random ones.
EXACT_UNITS: Final = 16
#: Random sign patterns of the Monte Carlo test. At p = 0.05 its standard error is 0.0015.
DRAWS: Final = 19_999
#: Seed of those patterns: the same differences always get the same p.
SEED: Final = 20_090_401

# Sums that differ by less than this, relative to the largest possible sum, are tied.
_TIE: Final = 1e-10
_CHUNK: Final = 1 << 22
# What is left of terms that cancel, relative to the largest of them.
_ROUNDING: Final = 1e-12
# A spread below this, relative to the mean, is of the rounding of equal differences.
_NO_SPREAD: Final = 1e-9


def t_interval(differences: Array, level: float = 0.95) -> tuple[Array, Array]:
    """Student's t interval of the mean difference, at a confidence level.

    differences: [..., n]. Both ends are [...]; NaN for n = 1, which has no spread.
    Covers as it says for few units too, where they are about normal; a bootstrap of 3 covers 0.74 for 0.95.
    """
    mean, error, freedom = _moments(differences)
    if freedom < 1:
        return np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    half = special().stdtrit(freedom, 0.5 + level / 2) * error
    return mean - half, mean + half


def t_p(differences: Array) -> Array:
    """Two-sided p of the paired t test, [...]; NaN for n = 1. Differences that are all 0 have p = 1.

    Differences that are all equal, and not 0, show no spread to hold their mean against: t is infinite, and
    that they are equal may be chance, as with shares of few images. What n of one sign show is then all there
    is to say: p is that of `sign_flip_p`, 2 / 2^n or, of random patterns, 1 / (1 + DRAWS).
    """
    mean, error, freedom = _moments(differences)
    if freedom < 1:
        return np.full_like(mean, np.nan)
    p: Array = 2 * special().stdtr(freedom, -np.abs(_ratio(mean, error)))
    equal = np.asarray((error == 0) & (mean != 0))
    if equal.any():
        p = np.where(equal, sign_flip_p(differences), p)
    return p


def sign_flip_p(differences: Array) -> Array:
    """Two-sided p of the sign-flip test on the mean, [...].

    Under no effect each difference might as well have had the other sign (Fisher 1935): p is the share of
    sign patterns whose mean is at least as far from 0 as the observed one. Up to `EXACT_UNITS` units it is
    exact, and at least 2 / 2^n; beyond, p = (1 + hits) / (1 + DRAWS) over random patterns (Phipson and
    Smyth 2010), which errs no more often than it says.
    """
    n = differences.shape[-1]
    rows = np.ascontiguousarray(differences, dtype=np.float64).reshape(-1, n)
    found = np.abs(rows.sum(-1))
    reached = found - _TIE * np.abs(rows).sum(-1)
    if n <= EXACT_UNITS:
        signs = sign_patterns(n)
        # each pattern stands for itself and its mirror image, which lies as far from 0
        p = _hits(rows, reached, signs) / len(signs)
    else:
        rng = np.random.default_rng(SEED)
        bits = np.unpackbits(rng.integers(0, 256, (DRAWS, (n + 7) // 8), dtype=np.uint8), axis=1, count=n)
        p = (1 + _hits(rows, reached, bits)) / (1 + DRAWS)
    return p.reshape(differences.shape[:-1])


def sign_patterns(n: int) -> Array:
    """[2^(n - 1), n] of 1 and -1: every sign pattern up to its mirror image, none flipped first."""
    free = np.array(list(itertools.product((1.0, -1.0), repeat=n - 1))).reshape(2 ** (n - 1), n - 1)
    return np.concatenate([np.ones((len(free), 1)), free], axis=1)


def equivalence_p(differences: Array, margin: float) -> Array:
    """p of two one-sided t tests (TOST, Schuirmann 1987): that the mean lies within +-margin, [...].

    Small where the interval at level 1 - 2 alpha is inside. NaN for n = 1.

    Raises:
        ValueError: the margin is not above 0.
    """
    if not margin > 0:
        raise ValueError(f"a margin of equivalence is above 0, not {margin}")
    mean, error, freedom = _moments(differences)
    if freedom < 1:
        return np.full_like(mean, np.nan)
    above = special().stdtr(freedom, -_ratio(mean + margin, error))
    below = special().stdtr(freedom, _ratio(mean - margin, error))
    p: Array = np.maximum(above, below)
    return p


def without_rounding(values: Array, size: Array | float) -> Array:
    """Sums whose terms are as large as size, with an exact 0 where no more than rounding is left of them.

    Equal in every unit, such a rest would have no spread, and any test would find it beyond doubt.
    """
    kept: Array = np.where(np.abs(values) <= _ROUNDING * size, 0.0, values)
    return kept


def deviation(differences: Array) -> Array:
    """Standard deviation of differences [..., n], NaN for n = 1; an exact 0 where they are equal but for
    rounding."""
    if differences.shape[-1] < 2:
        return np.full(differences.shape[:-1], np.nan)
    spread: Array = differences.std(-1, ddof=1)
    return np.where(spread <= _NO_SPREAD * np.abs(differences.mean(-1)), 0.0, spread)


def _moments(differences: Array) -> tuple[Array, Array, int]:
    """Mean, its standard error, and degrees of freedom."""
    n = differences.shape[-1]
    return differences.mean(-1), deviation(differences) / np.sqrt(n), n - 1


def _ratio(distance: Array, error: Array) -> Array:
    """distance / error; without spread it is 0 at no distance, else infinite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(distance == 0, 0.0, distance / error)


def _hits(rows: Array, reached: Array, patterns: npt.NDArray[np.generic]) -> Array:
    """For each row the number of patterns (of 1 and -1, or bits for them) whose sum reaches that far."""
    hits = np.zeros(len(rows))
    step = max(1, _CHUNK // max(patterns.shape[1], len(rows)))
    for first in range(0, len(patterns), step):
        some = patterns[first : first + step]
        signs = np.asarray(some, dtype=np.float64)
        if some.dtype == np.uint8:
            signs = signs * 2 - 1
        hits += (np.abs(rows @ signs.T) >= reached[:, None]).sum(1)
    return hits
