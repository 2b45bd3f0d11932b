"""Estimates against closed forms, published examples, and likelihoods that are searched by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import binomtest, ttest_1samp

from glidepath.plugins.judge.analysis.agreement import krippendorff_alpha
from glidepath.plugins.judge.analysis.bradley_terry import fit, log_likelihood
from glidepath.plugins.judge.analysis.clusters import Clusters
from glidepath.plugins.judge.analysis.exclusion import Conduct, Rules, why_excluded
from glidepath.plugins.judge.analysis.power import Design, judgements_for, power
from glidepath.plugins.judge.analysis.rates import difference, mean, p_of_share, share
from glidepath.plugins.judge.analysis.sequential import bounds, spent

NAN = math.nan


def single(count: int) -> Clusters:
    """Each answer of a rater of its own, about a prompt of its own."""
    return Clusters(np.arange(count), np.arange(count))


def test_of_single_answers_the_interval_of_a_mean_is_students() -> None:
    values = np.random.default_rng(0).normal(size=30)
    found, known = mean(values, single(30), 0.95), ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((known.low, known.high))


def test_of_raters_who_answer_alike_only_raters_count() -> None:
    """As many answers as one likes: the interval is that of Student for the raters' means."""
    own = np.array([0.2, 0.9, 0.4, 0.6, 0.7])
    clusters = Clusters(np.repeat(np.arange(5), 8), np.arange(40))
    found, known = mean(np.repeat(own, 8), clusters, 0.95), ttest_1samp(own, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((known.low, known.high), rel=0.02)


def test_the_variance_of_two_groupings_is_that_of_cameron_gelbach_and_miller() -> None:
    generator = np.random.default_rng(1)
    clusters = Clusters(generator.integers(0, 4, 60), generator.integers(0, 9, 60))
    e = generator.normal(size=60)
    e -= e.mean()
    same_rater, same_prompt = (np.equal.outer(it, it) for it in (clusters.raters, clusters.prompts))
    # without corrections for few groups: every pair of answers that share a rater or a prompt
    plain = (np.outer(e, e) * (same_rater | same_prompt)).sum()
    big = np.repeat(e, 1)
    sums = [
        sum(big[groups == g].sum() ** 2 for g in np.unique(groups))
        for groups in (clusters.raters, clusters.prompts)
    ]
    both = sum(
        big[(clusters.raters == r) & (clusters.prompts == p)].sum() ** 2 for r in range(4) for p in range(9)
    )
    assert plain == pytest.approx(sums[0] + sums[1] - both)


@pytest.mark.parametrize(("wins", "of"), [(7, 10), (1, 9), (40, 50)])
def test_of_two_arms_bradley_terry_is_the_logit_of_the_win_rate(wins: int, of: int) -> None:
    outcome = np.r_[np.ones(wins), np.zeros(of - wins)]
    zeros, ones = np.zeros(of, dtype=int), np.ones(of, dtype=int)
    found = fit(zeros, ones, outcome, single(of), 2, ties=False, level=0.95).differences[0][1]
    rate = share(outcome, single(of), 0.95)
    assert found.value == pytest.approx(logit(wins / of))
    assert (found.low, found.high) == pytest.approx((logit(rate.low), logit(rate.high)))


def test_of_two_arms_davidson_is_in_closed_form() -> None:
    """pi_1 / pi_2 = wins / losses, and nu = ties / sqrt(wins losses)."""
    wins, losses, ties = 12, 5, 9
    outcome = np.r_[np.ones(wins), np.zeros(losses), np.full(ties, 0.5)]
    zeros, ones = np.zeros(26, dtype=int), np.ones(26, dtype=int)
    found = fit(zeros, ones, outcome, single(26), 2, ties=True, level=0.95)
    assert found.differences[0][1].value == pytest.approx(math.log(wins / losses))
    assert found.nu is not None
    assert found.nu.value == pytest.approx(ties / math.sqrt(wins * losses))


@pytest.mark.parametrize("ties", [False, True])
def test_strengths_are_where_a_search_finds_the_highest_likelihood(ties: bool) -> None:
    generator = np.random.default_rng(2)
    first = generator.integers(0, 4, 200)
    second = (first + generator.integers(1, 4, 200)) % 4
    outcome = generator.choice([0.0, 0.5, 1.0], 200)
    found = fit(first, second, outcome, single(200), 4, ties=ties, level=0.95)
    searched = minimize(
        lambda free: -log_likelihood(np.r_[0.0, free], first, second, outcome, 4, ties=ties),
        np.zeros(3 + ties),
        method="Nelder-Mead",
        options={"xatol": 1e-8, "fatol": 1e-10, "maxiter": 10_000, "maxfev": 10_000},
    )
    strengths = np.r_[0.0, searched.x[:3]]
    expected = strengths - strengths.mean()
    assert [it.value for it in found.strengths] == pytest.approx(expected, abs=1e-4)
    if found.nu is not None:
        assert found.nu.value == pytest.approx(math.exp(searched.x[3]), abs=1e-4)


def test_the_likelihood_of_davidson_is_as_it_is_written_in_the_paper() -> None:
    s, nu = np.array([0.3, -0.3]), 0.7
    pi = np.exp(s)
    total = pi.sum() + nu * math.sqrt(pi.prod())
    expected = math.log(pi[0] / total) + math.log(pi[1] / total) + math.log(nu * math.sqrt(pi.prod()) / total)
    zeros, ones = np.zeros(3, dtype=int), np.ones(3, dtype=int)
    found = log_likelihood(np.r_[s, math.log(nu)], zeros, ones, np.array([1.0, 0.0, 0.5]), 2, ties=True)
    assert found == pytest.approx(expected)


def test_an_arm_that_always_won_has_a_finite_strength_and_it_is_said() -> None:
    first, second = np.array([0, 0, 0, 1]), np.array([1, 1, 2, 2])
    found = fit(first, second, np.ones(4), single(4), 3, ties=False, level=0.95)
    values = [it.value for it in found.strengths]
    assert found.separated
    assert values == sorted(values, reverse=True)
    assert np.isfinite(values).all()


def test_elo_puts_equal_arms_at_1000_and_ten_to_one_400_apart() -> None:
    outcome = np.r_[np.ones(10), 0.0]
    zeros, ones = np.zeros(11, dtype=int), np.ones(11, dtype=int)
    one, other = fit(zeros, ones, outcome, single(11), 2, ties=False, level=0.95).elo()
    assert one.value - other.value == pytest.approx(400)
    assert one.value + other.value == pytest.approx(2000)


def test_a_rate_of_one_has_the_bound_of_clopper_and_pearson() -> None:
    found = share(np.ones(20), single(20), 0.95)
    assert found.low == pytest.approx(binomtest(20, 20).proportion_ci(0.95, "exact").low)
    assert found.high == 1


def test_a_difference_of_means_of_single_answers_is_that_of_two_samples() -> None:
    generator = np.random.default_rng(3)
    values, second = generator.normal(size=400), np.arange(400) % 2 == 1
    found = difference(values, second, single(400), 0.95)
    a, b = values[second], values[~second]
    assert found.value == pytest.approx(a.mean() - b.mean())
    width = 1.966 * math.sqrt(a.var(ddof=1) / 200 + b.var(ddof=1) / 200)
    assert found.high - found.value == pytest.approx(width, rel=0.02)


# Krippendorff 2011, section C: four observers, twelve units; and section A: two observers, ten units
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)
BINARY = np.array([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]], dtype=float)


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_that_of_krippendorffs_example(level: str, alpha: float) -> None:
    assert krippendorff_alpha(OBSERVERS, level) == pytest.approx(alpha, abs=5e-4)  # type: ignore[arg-type]


def test_alpha_of_two_observers_and_two_values_is_the_published_one() -> None:
    assert krippendorff_alpha(BINARY) == pytest.approx(0.095, abs=5e-4)


def test_alpha_is_one_for_agreement_and_unknown_where_it_says_nothing() -> None:
    assert krippendorff_alpha(np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])) == 1
    assert math.isnan(krippendorff_alpha(np.array([[1.0, NAN], [NAN, 2.0]])))
    assert math.isnan(krippendorff_alpha(np.ones((2, 5))))


@pytest.mark.parametrize(
    ("spending", "expected"),
    [
        ("obrien-fleming", [4.877, 3.357, 2.680, 2.290, 2.031]),
        ("pocock", [2.438, 2.427, 2.410, 2.397, 2.386]),
    ],
)
def test_bounds_are_those_of_published_tables(spending: str, expected: list[float]) -> None:
    """Five equal looks at 5 %: Lan and DeMets' program, as in Reboussin and others 2000, table 1."""
    assert bounds((0.2, 0.4, 0.6, 0.8, 1.0), 0.05, spending) == pytest.approx(expected, abs=2e-3)  # type: ignore[arg-type]


@pytest.mark.parametrize("spending", ["obrien-fleming", "pocock"])
def test_all_of_the_error_is_spent_at_the_end(spending: str) -> None:
    assert spent(1.0, 0.05, spending) == pytest.approx(0.05)  # type: ignore[arg-type]
    assert bounds((1.0,), 0.05, spending) == pytest.approx([1.95996], abs=1e-4)  # type: ignore[arg-type]


def test_without_clusters_the_number_of_judgements_is_that_of_the_textbook() -> None:
    """(z_0.975 + z_0.8)^2 p (1 - p) / (p - 1/2)^2 = 777 for 55 %."""
    design = Design(per_pair=1, per_rater=1, rater_icc=0, prompt_icc=0)
    assert judgements_for(0.55, 0.8, design, 0.95) == pytest.approx(777, rel=0.01)


def test_raters_who_differ_take_more_judgements_and_cannot_be_outnumbered_by_prompts() -> None:
    alone = judgements_for(0.6, 0.8, Design(rater_icc=0, prompt_icc=0), 0.95)
    clustered = judgements_for(0.6, 0.8, Design(rater_icc=0.1, prompt_icc=0.1), 0.95)
    assert alone is not None
    assert clustered is not None
    assert clustered > 2 * alone
    few = Design(per_rater=10**9, rater_icc=0.1)
    assert judgements_for(0.51, 0.8, few, 0.95) is None
    with pytest.raises(ValueError, match=r"from 0\.2 to 0\.8 with 40% ties"):
        judgements_for(0.9, 0.8, Design(ties=0.4), 0.95)


def test_power_grows_with_judgements_up_to_one() -> None:
    powers = [power(0.6, n, Design(), 0.95) for n in (30, 100, 300, 1000, 30_000)]
    assert powers == sorted(powers)
    assert powers[-1] > 0.999


def test_p_and_interval_of_a_share_agree() -> None:
    generator = np.random.default_rng(4)
    clusters = Clusters(generator.integers(0, 10, 300), generator.integers(0, 40, 300))
    for rate in (0.5, 0.55, 0.7):
        values = (generator.random(300) < rate).astype(float)
        found = share(values, clusters, 0.95)
        p = p_of_share(values, clusters)
        if abs(p - 0.05) > 0.01:  # one is of the logit, the other of the share
            assert (p < 0.05) == (not found.contains(0.5))
        assert expit(logit(found.value)) == pytest.approx(values.mean())


@pytest.mark.parametrize(
    ("conduct", "why"),
    [
        (Conduct(answers=10, timed=10, fast=3), ""),
        (Conduct(answers=10, timed=10, fast=4), "4 of 10 answers took less than 0.7 s"),
        (Conduct(checks=4, checks_right=3), ""),
        (Conduct(checks=4, checks_right=2), "2 of 4 attention checks right"),
        (Conduct(repeats=4, repeats_same=1), ""),
        (Conduct(repeats=4, repeats_same=0), "0 of 4 repeated ones answered alike"),
        (Conduct(timed=2, fast=2, checks=2, repeats=2), ""),
    ],
)
def test_a_rater_is_left_out_by_the_rule_that_is_stated(conduct: Conduct, why: str) -> None:
    said = why_excluded(conduct, Rules())
    assert why in said
    assert bool(said) == bool(why)
