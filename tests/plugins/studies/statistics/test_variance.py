"""Decomposition and trend: against least squares, known terms, and scipy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from glidepath.plugins.studies.statistics.trend import trend
from glidepath.plugins.studies.statistics.variance import decompose


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_shares_are_those_of_nested_least_squares_fits(rng: np.random.Generator) -> None:
    """The sum of squares of a term is by how much a regression with it leaves less than one without."""
    scores = rng.standard_normal((2, 3, 2, 4))
    found = decompose(scores, ["a", "b", "c"])
    total = ((scores - scores.mean()) ** 2).sum()
    for term in found.terms:
        axes = tuple("abc".index(name) for name in term.axes)
        with_it = [it for size in range(len(axes) + 1) for it in itertools.combinations(axes, size)]
        gained = _left(scores, with_it[:-1]) - _left(scores, with_it)
        assert term.share == pytest.approx(gained / total, abs=1e-12)
    shares = [term.share for term in found.terms]
    assert sum(shares) + found.units + found.residual == pytest.approx(1.0, abs=1e-12)
    assert len(shares) == 7


def _left(scores: np.ndarray, terms: list[tuple[int, ...]]) -> float:
    """The residual sum of squares of indicator regressions on subsets of the axes."""
    places = np.array(list(np.ndindex(scores.shape)))
    columns = []
    for axes in terms:
        _, cells = np.unique(places[:, list(axes)], axis=0, return_inverse=True)
        columns.append(np.eye(cells.max() + 1)[cells.ravel()])
    design = np.concatenate(columns, 1)
    fitted = design @ np.linalg.lstsq(design, scores.ravel(), rcond=None)[0]
    return float(((scores.ravel() - fitted) ** 2).sum())


def test_planted_terms_get_the_shares_that_they_were_given() -> None:
    first, second = np.array([-1.0, 1.0])[:, None, None], np.array([-1.0, 0.0, 1.0])[None, :, None]
    seeds = np.array([-0.5, 0.5])[None, None, :]
    scores = 5.0 + 3 * first + second + 0.5 * first * second + seeds
    variances = [9.0, 2 / 3, 0.25 * 2 / 3, 0.25]
    found = decompose(scores, ["schedule", "scale"])
    shares = np.array(variances) / sum(variances)
    assert [term.axes for term in found.terms] == [("schedule",), ("scale",), ("schedule", "scale")]
    assert [term.share for term in found.terms] == pytest.approx(list(shares[:3]))
    assert (found.units, found.residual) == (pytest.approx(shares[3]), pytest.approx(0.0))


def test_with_two_levels_f_is_the_square_of_the_paired_t(rng: np.random.Generator) -> None:
    scores = rng.standard_normal((2, 7))
    [term] = decompose(scores, ["sampler"]).terms
    theirs = scipy.stats.ttest_rel(scores[0], scores[1])
    assert (term.f, term.p) == pytest.approx((theirs.statistic**2, theirs.pvalue), rel=1e-10)
    assert term.freedom == (1, 6)


def test_one_unit_has_shares_and_no_test(rng: np.random.Generator) -> None:
    found = decompose(rng.standard_normal((2, 3, 1)), ["a", "b"])
    assert sum(term.share for term in found.terms) == pytest.approx(1.0)
    assert all(math.isnan(term.p) for term in found.terms)


def test_without_an_effect_f_errs_in_one_grid_of_twenty(rng: np.random.Generator) -> None:
    p = [decompose(it, ["a", "b"]).terms[2].p for it in rng.standard_normal((1000, 2, 3, 5))]
    assert 0.035 <= np.mean(np.array(p) <= 0.05) <= 0.065


@pytest.mark.parametrize(
    ("shape", "axes", "said"),
    [((2, 3), ["a", "b"], "levels"), ((1, 3), ["a"], "2 levels"), ((0, 3), ["a"], "levels")],
)
def test_what_is_no_grid_is_refused(shape: tuple[int, ...], axes: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decompose(np.zeros(shape), axes)


def test_a_grid_with_a_hole_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        decompose(np.array([[1.0, np.nan], [0.0, 1.0]]), ["a"])


def test_slopes_are_those_of_scipys_regressions(rng: np.random.Generator) -> None:
    positions, scores = np.array([1.0, 2.0, 4.0, 9.0]), rng.standard_normal((4, 5))
    found = trend(scores, positions)
    slopes = [scipy.stats.linregress(positions, unit).slope for unit in scores.T]
    ranks = [scipy.stats.spearmanr(positions, unit).statistic for unit in scores.T]
    theirs = scipy.stats.ttest_1samp(slopes, 0.0)
    assert found.slope == pytest.approx(np.mean(slopes))
    assert found.p_t == pytest.approx(theirs.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval()))
    assert found.monotone == pytest.approx(np.mean(ranks))


def test_ranks_of_ties_are_shared() -> None:
    positions, unit = np.arange(5.0), np.array([1.0, 2.0, 2.0, 2.0, 0.5])
    expected = scipy.stats.spearmanr(positions, unit).statistic
    assert trend(unit[:, None], positions).monotone == pytest.approx(expected)


def test_on_a_logarithmic_axis_a_slope_is_per_doubling() -> None:
    scores = np.array([[1.0], [2.5], [4.0], [5.5]])
    found = trend(scores, np.array([10.0, 20.0, 40.0, 80.0]), logarithmic=True)
    assert found.slope == pytest.approx(1.5)
    assert found.monotone == 1.0
    with pytest.raises(ValueError, match="above 0"):
        trend(scores, np.array([0.0, 1.0, 2.0, 3.0]), logarithmic=True)


def test_two_points_are_no_trend() -> None:
    with pytest.raises(ValueError, match="3 positions"):
        trend(np.zeros((2, 4)), np.arange(2.0))


@pytest.mark.parametrize("logarithmic", [False, True])
@pytest.mark.parametrize("value", [54.0, 0.1, 1e-5, 3e7])
def test_a_constant_has_no_slope_and_p_1(value: float, logarithmic: bool) -> None:
    found = trend(np.full((4, 6), value), np.array([0.3, 1.0, 2.0, 7.0]), logarithmic=logarithmic)
    assert (found.slope, found.low, found.high) == (0.0, 0.0, 0.0)
    assert (found.p_sign_flip, found.p_t) == (1.0, 1.0)
    assert math.isnan(found.monotone)


def test_a_slope_that_is_small_beside_its_level_stays_and_is_tested(rng: np.random.Generator) -> None:
    positions = np.arange(4.0)
    slopes = 1e-6 * (1 + 0.1 * rng.standard_normal(6))
    found = trend(1000 + positions[:, None] * slopes, positions)
    assert found.slope == pytest.approx(slopes.mean(), rel=1e-6)  # 1000 is rounded by 1e-13
    assert found.p_t < 1e-4


def test_what_does_not_vary_is_explained_by_nothing_and_has_p_1() -> None:
    found = decompose(np.full((3, 2, 7), 0.1), ["a", "b"])
    assert [(term.share, term.f, term.p) for term in found.terms] == 3 * [(0.0, 0.0, 1.0)]
    assert (found.units, found.residual) == (0.0, 0.0)


def test_an_axis_without_any_effect_has_p_1_beside_one_that_has_all() -> None:
    scores = np.broadcast_to(np.array([0.1, 0.7, 0.3])[:, None, None], (3, 4, 5))
    of = {term.axes: term for term in decompose(scores, ["a", "b"]).terms}
    assert of["a",].share == pytest.approx(1.0)
    assert [of[axes].p for axes in (("b",), ("a", "b"))] == [1.0, 1.0]
