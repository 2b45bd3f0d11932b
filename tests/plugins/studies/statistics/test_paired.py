"""Tests of paired differences: against scipy's, brute force, and what they promise in simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats

from glidepath.plugins.studies.statistics.effects import effect, hedges
from glidepath.plugins.studies.statistics.multiple import benjamini_hochberg, holm
from glidepath.plugins.studies.statistics.paired import (
    DRAWS,
    EXACT_UNITS,
    equivalence_p,
    sign_flip_p,
    t_interval,
    t_p,
)

STUDIES = 1000


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


# "Student" (1908), The probable error of a mean: hours of sleep gained by ten patients with two drugs.
FIRST = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
SECOND = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])


def test_the_paired_t_test_of_students_sleep_data_is_the_published_one() -> None:
    """As R prints it for t.test(extra ~ group, data = sleep, paired = TRUE)."""
    differences = FIRST - SECOND
    low, high = t_interval(differences)
    assert float(t_p(differences)) == pytest.approx(0.002833, abs=5e-7)
    assert (float(low), float(high)) == pytest.approx((-2.4598858, -0.7001142), abs=5e-8)


def test_t_is_that_of_scipy(rng: np.random.Generator) -> None:
    differences = rng.standard_normal((5, 6)) + 0.4
    theirs = scipy.stats.ttest_1samp(differences, 0.0, axis=1)
    low, high = t_interval(differences, 0.9)
    interval = theirs.confidence_interval(0.9)
    np.testing.assert_allclose(t_p(differences), theirs.pvalue, rtol=1e-12)
    np.testing.assert_allclose([low, high], [interval.low, interval.high], rtol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_the_sign_flip_test_is_exact(n: int, rng: np.random.Generator) -> None:
    """By brute force, over all patterns, those and their mirror images."""
    differences = rng.standard_normal(n) + 0.5
    patterns = np.array(list(itertools.product((1, -1), repeat=n)))
    brute = np.mean(np.abs(patterns @ differences) >= abs(differences.sum()) - 1e-12)
    assert float(sign_flip_p(differences)) == brute


def test_the_sign_flip_test_is_that_of_scipy(rng: np.random.Generator) -> None:
    differences = rng.standard_normal((3, 8)) + 0.6
    for row, p in zip(differences, sign_flip_p(differences), strict=True):
        theirs = scipy.stats.permutation_test(
            (row,),
            lambda x, axis: x.mean(axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=np.inf,
        )
        assert float(p) == pytest.approx(theirs.pvalue, abs=1e-12)


def test_the_smallest_sign_flip_p_is_two_in_all_patterns() -> None:
    for n in (3, 5, 8):
        assert float(sign_flip_p(np.arange(1.0, n + 1))) == 2 / 2**n


def test_equal_differences_are_ties_and_not_evidence() -> None:
    """0.1 + 0.2 is not 0.3 to a computer: patterns that tie with the observed one reach it all the same."""
    differences = np.array([0.3, 0.1, 0.2, -0.6, 0.7, 0.4])
    whole = np.round(differences * 10)
    assert float(sign_flip_p(differences)) == float(sign_flip_p(whole))


def test_beyond_the_exact_sizes_the_sign_flip_test_draws_patterns_and_says_the_same(
    rng: np.random.Generator,
) -> None:
    n = EXACT_UNITS + 4
    differences = rng.standard_normal((4, n)) + 0.4
    # half of the patterns: the others are their mirror images
    halves = np.array(list(itertools.product((1.0, -1.0), repeat=n // 2)))
    exact = np.array(
        [
            np.mean(
                np.abs((halves[: len(halves) // 2] @ row[: n // 2])[:, None] + halves @ row[n // 2 :])
                >= abs(row.sum()) - 1e-12
            )
            for row in differences
        ]
    )
    drawn = sign_flip_p(differences)
    error = np.sqrt(exact * (1 - exact) / DRAWS)
    assert (np.abs(drawn - exact) < 4 * error + 2 / DRAWS).all()
    assert len(set(drawn)) > 1
    for row, p in zip(differences, drawn, strict=True):
        # neither the order of the units nor those that do not differ change it
        assert float(sign_flip_p(np.append(rng.permutation(row), np.zeros(9)))) == p


@pytest.mark.parametrize(
    ("plus", "minus", "equal"), [(8, 0, 14), (8, 0, 32), (13, 0, 27), (10, 3, 9), (60, 30, 500), (21, 0, 0)]
)
def test_units_that_do_not_differ_change_no_p_and_those_that_differ_alike_are_exact(
    plus: int, minus: int, equal: int, rng: np.random.Generator
) -> None:
    differences = rng.permutation([1.0] * plus + [-1.0] * minus + [0.0] * equal) / 3
    theirs = scipy.stats.binomtest(plus, plus + minus).pvalue
    assert float(sign_flip_p(differences)) == pytest.approx(theirs, rel=1e-12)


def test_differences_of_a_few_sizes_are_exact_however_many(rng: np.random.Generator) -> None:
    """Counted by adding one difference after the other: how many patterns have each whole sum."""
    whole = rng.permutation(np.repeat([1, 2, 3, -1, -2], [9, 7, 8, 6, 5]))
    ways = {0: 1}
    for size in np.abs(whole).tolist():
        found: dict[int, int] = {}
        for total, count in ways.items():
            for step in (size, -size):
                found[total + step] = found.get(total + step, 0) + count
        ways = found
    hits = sum(count for total, count in ways.items() if abs(total) >= abs(whole.sum()))
    assert float(sign_flip_p(whole / 7)) == pytest.approx(hits / 2**whole.size, rel=1e-12)


def test_equivalence_is_two_one_sided_tests_of_scipy(rng: np.random.Generator) -> None:
    differences = rng.standard_normal(9) * 0.2 + 0.05
    above = scipy.stats.ttest_1samp(differences, -0.3, alternative="greater").pvalue
    below = scipy.stats.ttest_1samp(differences, 0.3, alternative="less").pvalue
    assert float(equivalence_p(differences, 0.3)) == pytest.approx(max(above, below), rel=1e-12)


def test_arms_are_equivalent_where_the_interval_of_two_alpha_is_inside_the_margin(
    rng: np.random.Generator,
) -> None:
    differences = rng.standard_normal((500, 6)) * 0.3 + 0.1
    low, high = t_interval(differences, 0.9)
    inside = (low > -0.35) & (high < 0.35)
    np.testing.assert_array_equal(equivalence_p(differences, 0.35) < 0.05, inside)
    assert 0 < inside.sum() < 500


def test_a_margin_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        equivalence_p(np.array([0.1, 0.2]), 0.0)


def test_one_unit_has_no_interval_and_differences_without_spread_have_a_point() -> None:
    assert np.isnan(t_interval(np.array([0.4]))).all()
    assert np.isnan(t_p(np.array([0.4])))
    assert np.isnan(equivalence_p(np.array([0.4]), 1.0))
    assert t_interval(np.full(4, 0.5)) == (0.5, 0.5)
    assert float(t_p(np.zeros(4))) == float(sign_flip_p(np.zeros(4))) == 1.0
    assert float(equivalence_p(np.zeros(4), 0.1)) == 0.0


@pytest.mark.parametrize("n", [2, 3, 10, EXACT_UNITS + 1, 50])
@pytest.mark.parametrize("value", [0.5, -200.0, 1 / 12])
def test_equal_differences_show_no_more_than_their_signs_do(n: int, value: float) -> None:
    p = 2.0 ** (1 - n)
    # differences of scores that are equal, but for how they were rounded
    rounded = (np.linspace(0.1, 0.9, n) + value) - np.linspace(0.1, 0.9, n)
    for differences in (np.full(n, value), rounded):
        assert float(t_p(differences)) == float(sign_flip_p(differences)) == pytest.approx(p, rel=1e-12)
        assert np.isnan(effect(differences, 1.0, 1).standardised)


def test_only_the_rows_without_spread_are_tested_by_signs(rng: np.random.Generator) -> None:
    rows = np.stack([np.full(6, 0.3), rng.standard_normal(6), np.zeros(6)])
    expected = [2 / 2**6, scipy.stats.ttest_1samp(rows[1], 0.0).pvalue, 1.0]
    np.testing.assert_allclose(t_p(rows), expected, rtol=1e-12)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_intervals_cover_what_they_claim(n: int, rng: np.random.Generator) -> None:
    differences = rng.standard_normal((20 * STUDIES, n)) + 1.0
    low, high = t_interval(differences, 0.95)
    assert np.mean((low <= 1.0) & (high >= 1.0)) == pytest.approx(0.95, abs=0.006)


@pytest.mark.thorough
@pytest.mark.parametrize("n", [8, 10, 40])
def test_without_an_effect_the_sign_flip_test_errs_in_one_study_of_twenty(n: int) -> None:
    differences = np.random.default_rng(n).standard_normal((STUDIES, n))
    assert 0.035 <= np.mean(sign_flip_p(differences) <= 0.05) <= 0.065


@pytest.mark.parametrize("n", [3, 5, 8])
def test_without_an_effect_the_t_test_errs_in_one_study_of_twenty(n: int) -> None:
    differences = np.random.default_rng(n).standard_normal((STUDIES, n))
    assert 0.035 <= np.mean(t_p(differences) <= 0.05) <= 0.065


@pytest.mark.thorough
def test_the_sign_flip_test_needs_no_normal_differences(rng: np.random.Generator) -> None:
    heavy = rng.standard_cauchy((4 * STUDIES, 10))
    assert 0.035 <= np.mean(sign_flip_p(heavy) <= 0.05) <= 0.065


def test_at_the_margin_equivalence_is_claimed_in_one_study_of_twenty(rng: np.random.Generator) -> None:
    differences = rng.standard_normal((4 * STUDIES, 12)) + 2.0
    assert 0.04 <= np.mean(equivalence_p(differences, 2.0) <= 0.05) <= 0.06


# Benjamini and Hochberg (1995), section 4.1: the fifteen p values of the worked example.
PUBLISHED = np.concatenate(
    [
        [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459],
        [0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000],
    ]
)


def test_benjamini_and_hochbergs_example_comes_out_as_published() -> None:
    """Their procedure rejects four hypotheses at 0.05; Bonferroni's rejects three."""
    assert int((benjamini_hochberg(PUBLISHED) <= 0.05).sum()) == 4
    assert int((PUBLISHED * 15 <= 0.05).sum()) == int((holm(PUBLISHED) <= 0.05).sum()) == 3


def test_a_comparison_without_an_answer_is_no_member_of_the_family() -> None:
    p = np.array([0.01, np.nan, 0.04])
    np.testing.assert_allclose(benjamini_hochberg(p), [0.02, np.nan, 0.04])
    np.testing.assert_allclose(holm(p), [0.02, np.nan, 0.04])
    assert np.isnan(benjamini_hochberg(np.array([np.nan]))).all()


def test_holm_is_the_closure_of_bonferroni(rng: np.random.Generator) -> None:
    """The adjusted p of a hypothesis is the largest Bonferroni p of any set of hypotheses that holds it."""
    p = rng.uniform(size=6) ** 2
    for index in range(6):
        sets = [it for size in range(1, 7) for it in itertools.combinations(range(6), size) if index in it]
        closed = max(min(1.0, len(it) * p[list(it)].min()) for it in sets)
        assert holm(p)[index] == pytest.approx(closed, rel=1e-12)


def test_a_question_without_an_answer_is_not_counted() -> None:
    p = np.array([0.01, np.nan, 0.03])
    np.testing.assert_allclose(holm(p), [0.02, np.nan, 0.03])
    np.testing.assert_allclose(benjamini_hochberg(p), [0.02, np.nan, 0.03])
    assert np.isnan(holm(np.array([np.nan]))).all()


def test_holm_keeps_the_error_of_the_family(rng: np.random.Generator) -> None:
    p = t_p(rng.standard_normal((4 * STUDIES, 5, 6)))
    wrong = np.array([(holm(study) <= 0.05).any() for study in p])
    assert 0.035 <= wrong.mean() <= 0.065


def test_effect_sizes_are_what_they_are_called() -> None:
    found = effect(np.array([1.0, -1.0, 3.0, 0.0]), baseline=-2.0, sign=-1)
    assert found.relative == 0.375
    assert found.improvement == 1 / 4
    deviation = np.std([1.0, -1.0, 3.0, 0.0], ddof=1)
    assert found.standardised == pytest.approx(0.75 / deviation * hedges(3))


def test_a_tie_improves_no_unit() -> None:
    assert effect(np.array([-1.0, -2.0, 0.0, 0.0, 0.0, 0.0]), baseline=1.0, sign=1).improvement == 0.0
    assert effect(np.zeros(5), baseline=1.0, sign=1).improvement == 0.0
    assert effect(np.array([1.0, 0.0, 3.0]), baseline=1.0, sign=1).improvement == 2 / 3


@pytest.mark.parametrize("units", [2, 5, 16, 40])
def test_differences_that_are_all_zero_have_p_1(units: int) -> None:
    none = np.zeros(units)
    assert (sign_flip_p(none), t_p(none)) == (1.0, 1.0)


@pytest.mark.parametrize(("freedom", "factor"), [(2, 0.5642), (3, 0.7236), (10, 0.9228), (50, 0.9849)])
def test_the_correction_for_few_units_is_hedges(freedom: int, factor: float) -> None:
    """J(m) of Hedges (1981), table 1."""
    assert hedges(freedom) == pytest.approx(factor, abs=1e-4)


@pytest.mark.thorough
def test_standardised_effects_are_unbiased_for_few_units(rng: np.random.Generator) -> None:
    differences = rng.standard_normal((8 * STUDIES, 5)) + 0.8
    mean = np.mean([effect(row, 1.0, 1).standardised for row in differences])
    assert mean == pytest.approx(0.8, abs=0.03)
