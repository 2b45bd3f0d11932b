"""Shares: intervals and equivalence, by enumeration of all outcomes and against published methods."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats

from glidepath.plugins.studies.statistics.intervals import difference_interval, equivalence, mean_interval
from glidepath.plugins.studies.statistics.shares import (
    equal_units_for_equivalence,
    share_difference_interval,
    share_equivalence_p,
    share_interval,
)

SHARE = (0.0, 1.0)


def answers(right: int, wrong: int) -> np.ndarray:
    return np.array([1.0] * right + [0.0] * wrong)


def outcomes(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All counts of units gained and lost of n, and their differences [outcomes, n]."""
    gained, lost = (it.ravel() for it in np.meshgrid(np.arange(n + 1), np.arange(n + 1)))
    there = gained + lost <= n
    gained, lost = gained[there], lost[there]
    places = np.arange(n)
    plus, minus = places < gained[:, None], places >= n - lost[:, None]
    return gained, lost, plus.astype(float) - minus


def chances(n: int, gained: np.ndarray, lost: np.ndarray, more: float, less: float) -> np.ndarray:
    counts = np.stack([gained, lost, n - gained - lost], axis=-1)
    return scipy.stats.multinomial.pmf(counts, n, [more, less, max(0.0, 1 - more - less)])


@pytest.mark.parametrize(("right", "wrong"), [(40, 0), (38, 2), (0, 12), (7, 13), (1, 1)])
def test_the_interval_of_a_share_is_clopper_and_pearsons(right: int, wrong: int) -> None:
    theirs = scipy.stats.binomtest(right, right + wrong).proportion_ci(0.95, method="exact")
    low, high = share_interval(answers(right, wrong))
    assert (float(low), float(high)) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert 0 <= low < high <= 1


@pytest.mark.parametrize("n", [2, 5, 20, 40])
@pytest.mark.parametrize("value", [0.0, 0.02, -0.3])
def test_equal_differences_have_an_interval_and_prove_no_equivalence_while_few(n: int, value: float) -> None:
    low, high = share_difference_interval(np.full(n, value))
    assert -1 <= low < value < high <= 1
    p = float(share_equivalence_p(np.full(n, value), 0.1))
    assert (p <= 0.05) == (n == 40 and value == 0.0)


@pytest.mark.parametrize(("margin", "units"), [(0.05, 61), (0.1, 30), (0.2, 14), (0.5, 5), (0.9, 2)])
def test_the_fewest_equal_units_that_show_equivalence(margin: float, units: int) -> None:
    assert equal_units_for_equivalence(margin, 0.05) == units
    for n in (units - 1, units):
        assert (share_equivalence_p(np.zeros(n), margin) <= 0.05) == (n == units)
    # that none of so many differs would be chance less often than that
    assert (1 - margin) ** units <= 0.05


def test_far_from_the_ends_the_interval_of_averages_is_students() -> None:
    differences = np.random.default_rng(3).normal(0.05, 0.1, 300)
    low, high = share_difference_interval(differences, averaged=True)
    theirs = scipy.stats.ttest_1samp(differences, 0.0).confidence_interval(0.95)
    assert (float(low), float(high)) == pytest.approx((theirs.low, theirs.high), abs=5e-4)


@pytest.mark.parametrize("n", [20, 40])
def test_equivalence_within_the_margin_is_tangos_test(n: int) -> None:
    """The restricted likelihood by search over the nuisance parameter, for a corrected distance."""
    for gained, lost in ((0, 1), (2, 1), (3, 5)):
        margin, mean = 0.2, (gained - lost) / n
        z = []
        for supposed in (-margin, margin):
            grid = np.linspace(max(0, -supposed), (1 - supposed) / 2, 200_001)[1:-1]
            with np.errstate(divide="ignore"):
                likelihood = (
                    scipy.special.xlogy(gained, grid + supposed)
                    + scipy.special.xlogy(lost, grid)
                    + scipy.special.xlogy(n - gained - lost, 1 - 2 * grid - supposed)
                )
            losses = grid[np.argmax(likelihood)]
            distance = mean - supposed
            distance -= math.copysign(min(abs(distance), 0.25 / n), distance)
            z.append(distance / math.sqrt((2 * losses + supposed - supposed**2) / n))
        expected = scipy.stats.norm.sf(min(z[0], -z[1]))
        differences = np.array([1.0] * gained + [-1.0] * lost + [0.0] * (n - gained - lost))
        assert float(share_equivalence_p(differences, margin)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 11, 12, 20, 25, 26, 29, 40, 60, 80])
def test_equivalence_of_shares_errs_in_at_most_6_percent(n: int) -> None:
    """Exact: every outcome of n pairs with its chance, at the margin, for shares from 0.7 to 1."""
    gained, lost, differences = outcomes(n)
    for margin in (0.05, 0.1, 0.2, 0.3):
        found = share_equivalence_p(differences, margin) <= 0.05
        for base in (1.0, 0.95, 0.9, 0.8):
            arm = base - margin
            if arm < 0.7 - 1e-9:
                continue
            for together in (0.0, 0.5, 1.0):
                both = together * arm * (1 - base)
                chance = chances(n, gained, lost, arm * (1 - base) - both, base * (1 - arm) - both)
                assert chance @ found <= 0.06, (n, margin, base, together)


@pytest.mark.parametrize("n", [20, pytest.param(40, marks=pytest.mark.thorough)])
def test_intervals_of_shares_cover_at_least_as_they_say(n: int) -> None:
    """Exact: every outcome with its chance; on the safe side where shares are few numbers."""
    gained, lost, differences = outcomes(n)
    low, high = share_difference_interval(differences)
    right = np.arange(n + 1)
    ends = np.array([share_interval(answers(it, n - it)) for it in right])
    for base in np.linspace(0.8, 1.0, 9):
        chance = scipy.stats.binom.pmf(right, n, base)
        assert chance @ ((ends[:, 0] <= base) & (base <= ends[:, 1])) >= 0.95 - 1e-9
        for arm in np.linspace(0.8, 1.0, 9):
            chance = chances(n, gained, lost, arm * (1 - base), base * (1 - arm))
            covered = (low <= arm - base + 1e-9) & (arm - base - 1e-9 <= high)
            assert chance @ covered >= 0.94, (base, arm)


def test_bounds_hold_for_percent_and_for_amounts_of_time() -> None:
    percent = 100 * answers(19, 1)
    assert mean_interval(percent, 0.95, (0.0, 100.0), averaged=False) == pytest.approx(
        tuple(100 * float(it) for it in share_interval(answers(19, 1)))
    )
    low, high = mean_interval(np.array([0.1, 0.2, 9.0]), 0.95, (0.0, math.inf), averaged=True)
    assert low == 0.0
    assert high > 9


@pytest.mark.parametrize("n", [2, 7, 20])
@pytest.mark.parametrize("value", [0.0, 0.02])
def test_what_has_no_bounds_and_no_spread_has_no_interval_and_is_not_equivalent(n: int, value: float) -> None:
    differences = np.full(n, value)
    bounds = (-math.inf, math.inf)
    assert np.isnan(difference_interval(differences, 0.95, bounds, averaged=False)).all()
    assert equivalence(differences, 0.1, bounds, averaged=False) == 1.0
