"""Tests and intervals of paired differences, each vectorised over everything but the last axis, the units.

A unit is one independent repetition, such as a training seed; its difference is arm minus baseline under
equal seeds. Arrays hold no NaN: pairs that failed are dropped before (units.py).
"""

from __future__ import annotations

import functools
import math
from typing import Final

import numpy as np
import numpy.typing as npt

from glidepath.plugins.studies.extras import special

Array = npt.NDArray[np.float64]

#: Differences of so many sizes have all their sign patterns looked at; with more, `DRAWS` random ones.
EXACT_UNITS: Final = 20
#: Random sign patterns of the Monte Carlo test. At p = 0.05 its standard error is 0.0015.
DRAWS: Final = 19_999
#: Seed of those patterns: the same differences always get the same p, in whatever order.
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
    sign patterns whose mean is at least as far from 0 as the observed one. A difference of 0 has no sign and
    changes nothing. Up to `EXACT_UNITS` differences that are not 0, and for any number of a few sizes, such
    as those of shares, it is exact, and at least 2 / 2^n; beyond, p = (1 + hits) / (1 + DRAWS) over random
    patterns (Phipson and Smyth 2010), which errs no more often than it says.
    """
    rows = np.ascontiguousarray(differences, dtype=np.float64).reshape(-1, differences.shape[-1])
    p = np.array([_sign_flip_p(row[row != 0]) for row in rows])
    return p.reshape(differences.shape[:-1])


def _sign_flip_p(differences: Array) -> float:
    """Of one set of differences, none of which is 0."""
    if not differences.size:
        return 1.0
    sizes = np.sort(np.abs(differences))[::-1]  # the order of the units does not matter
    reached = abs(math.fsum(differences)) - _TIE * sizes.sum()
    different, counts = _distinct(sizes)
    halves = _halves(different, counts)
    if halves is None:
        return float((1 + _drawn(sizes, reached)) / (1 + DRAWS))
    (sums, weights), (others, other_weights) = (_sums(*half) for half in halves)
    order = np.argsort(others)
    others, below = others[order], np.concatenate([[0.0], np.cumsum(other_weights[order])])
    high = below[-1] - below[np.searchsorted(others, reached - sums, side="left")]
    low = below[np.searchsorted(others, -reached - sums, side="right")]
    # where both ends are reached by all, each pattern would count twice
    return float(min(1.0, weights @ (high + low)))


def _distinct(sizes: Array) -> tuple[Array, npt.NDArray[np.int64]]:
    """Falling sizes, each once, and how often each is there; those that differ by rounding are one."""
    first = np.concatenate([[True], sizes[:-1] - sizes[1:] > _TIE * sizes[0]])
    return sizes[first], np.diff(np.append(np.flatnonzero(first), sizes.size))


def _halves(sizes: Array, counts: npt.NDArray[np.int64]) -> list[tuple[Array, npt.NDArray[np.int64]]] | None:
    """The sizes in two groups that have few sums of signs each; None where they have too many."""
    groups: list[list[int]] = [[], []]
    sums = [1, 1]
    for index in np.argsort(-counts, kind="stable"):
        smaller = int(sums[1] < sums[0])
        groups[smaller].append(int(index))
        sums[smaller] *= int(counts[index]) + 1
    if max(sums) > 2 ** (EXACT_UNITS // 2):
        return None
    return [(sizes[group], counts[group]) for group in groups]


def _sums(sizes: Array, counts: npt.NDArray[np.int64]) -> tuple[Array, Array]:
    """All sums of signed sizes, and the share of the sign patterns that have each."""
    sums, weights = np.zeros(1), np.ones(1)
    for size, count in zip(sizes, counts.tolist(), strict=True):
        plus = np.arange(count + 1)
        shares = np.array([math.comb(count, int(it)) / 2**count for it in plus])
        sums = (sums[:, None] + size * (2 * plus - count)).ravel()
        weights = (weights[:, None] * shares).ravel()
    return sums, weights


def _drawn(sizes: Array, reached: float) -> int:
    """How many of the random patterns have a sum of signed sizes that reaches so far."""
    blocks = -(-DRAWS * sizes.size // _CHUNK)
    if blocks == 1:
        return int((np.abs(_patterns(sizes.size) @ sizes) >= reached).sum())
    packed = _packed(sizes.size)
    return sum(
        int((np.abs(_unpacked(some, sizes.size) @ sizes) >= reached).sum())
        for some in np.array_split(packed, blocks)
    )


@functools.lru_cache(maxsize=2)
def _patterns(n: int) -> Array:
    return _unpacked(_packed(n), n)


def _packed(n: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(SEED).integers(0, 256, (DRAWS, (n + 7) // 8), dtype=np.uint8)


def _unpacked(packed: npt.NDArray[np.uint8], n: int) -> Array:
    """Random patterns [draws, n] of 1 and -1."""
    return np.unpackbits(packed, axis=1, count=n).astype(np.float64) * 2 - 1


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
