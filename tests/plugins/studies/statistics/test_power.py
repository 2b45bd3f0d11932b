"""Power: against scipy's distributions, published tables, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from glidepath.plugins.studies.statistics.paired import equivalence_p, sign_flip_p, t_p
from glidepath.plugins.studies.statistics.power import (
    Test as PowerTest,
)
from glidepath.plugins.studies.statistics.power import (
    detectable_effect,
    detectable_margin,
    equivalence_power,
    foresee,
    power,
    smallest_p,
    units_for_equivalence,
    units_for_p,
    units_needed,
)

pytestmark = pytest.mark.thorough


@pytest.mark.parametrize(("effect", "units", "alpha"), [(0.5, 12, 0.05), (1.2, 6, 0.05), (1.0, 20, 0.05 / 6)])
def test_power_of_t_is_that_of_scipys_noncentral_distribution(
    effect: float, units: int, alpha: float
) -> None:
    limit = scipy.stats.t.ppf(1 - alpha / 2, units - 1)
    noncentral = scipy.stats.nct(units - 1, effect * math.sqrt(units))
    expected = noncentral.sf(limit) + noncentral.cdf(-limit)
    assert power(effect, units, alpha, test="t") == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("effect", "units"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)]
)  # G*Power 3, paired t test, two-sided 0.05, power 0.8
def test_units_needed_are_those_of_published_tables(effect: float, units: int) -> None:
    assert units_needed(effect, 0.05, test="t") == units


@pytest.mark.parametrize(("units", "one", "of_six"), [(5, 1.68, 2.76), (8, 1.16, 1.65), (16, 0.75, 0.99)])
def test_detectable_effects_solve_for_power(units: int, one: float, of_six: float) -> None:
    assert detectable_effect(units, 0.05, test="t") == pytest.approx(one, abs=0.01)
    found = detectable_effect(units, 0.05 / 6, test="t")
    assert power(found, units, 0.05 / 6, test="t") == pytest.approx(0.8, abs=0.002)
    assert found == pytest.approx(of_six, abs=0.01)


def test_the_smallest_p_says_how_many_units_are_needed() -> None:
    assert [smallest_p(n) for n in (3, 5, 6)] == [0.25, 0.0625, 0.03125]
    assert [units_for_p(0.05 / m) for m in (1, 2, 3, 6, 10, 20)] == [6, 7, 7, 8, 9, 10]
    assert power(100.0, 5, 0.05) == 0.0
    assert power(100.0, 6, 0.05) == 1.0


PLANTED: list[tuple[PowerTest, int]] = [("sign-flip", 8), ("sign-flip", 11), ("sign-flip", 14), ("t", 5)]


@pytest.mark.parametrize(("test", "units"), PLANTED)
def test_a_planted_effect_is_found_as_often_as_was_foreseen(test: PowerTest, units: int) -> None:
    effect = detectable_effect(units, 0.05, test=test)
    differences = np.random.default_rng(units).standard_normal((4000, units)) + effect
    p = (sign_flip_p if test == "sign-flip" else t_p)(differences)
    # 1.5 points for the simulation behind the figure, three standard errors of this one
    assert np.mean(p <= 0.05) == pytest.approx(0.8, abs=0.033)
    assert np.mean(p <= 0.05) == pytest.approx(power(effect, units, 0.05, test=test), abs=0.033)


@pytest.mark.parametrize(("units", "effect"), [(5, 0.0), (12, 0.3)])
def test_equivalence_is_found_as_often_as_was_foreseen(units: int, effect: float) -> None:
    margin = detectable_margin(units, 0.05) + effect
    differences = np.random.default_rng(units).standard_normal((8000, units)) + effect
    found = np.mean(equivalence_p(differences, margin) <= 0.05)
    assert found == pytest.approx(equivalence_power(margin, units, 0.05, effect=effect), abs=0.015)


def test_units_for_equivalence_are_the_fewest_that_reach_the_power() -> None:
    units = units_for_equivalence(0.5, 0.05)
    assert units is not None
    assert equivalence_power(0.5, units, 0.05) >= 0.8 > equivalence_power(0.5, units - 1, 0.05)
    # Julious (2004), the normal approximation: (z_.95 + z_.90)^2 / margin^2 = 34.3, and a little more for t
    assert 34 <= units <= 38
    assert units_for_equivalence(0.5, 0.05, effect=0.5) is None


def test_more_units_than_anyone_has_are_not_named() -> None:
    assert units_needed(1e-4, 0.05) is None
    assert units_needed(0.0, 0.05) is None


def test_foresight_says_what_few_seeds_cannot_show() -> None:
    few = foresee(3)
    assert math.isinf(few.detectable)
    assert "no difference, however large" in few.sentence
    assert "6 units are the least" in few.sentence
    enough = foresee(8, comparisons=2)
    assert enough.needed_units == 7
    assert "in 80% of studies" in enough.sentence
    assert foresee(5, test="t").detectable == pytest.approx(1.68, abs=0.01)
    with pytest.raises(ValueError, match="at least 1"):
        foresee(0)
