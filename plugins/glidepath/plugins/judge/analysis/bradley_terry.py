"""Strengths of arms from comparisons in pairs: Bradley and Terry's model, and Davidson's for ties.

With strengths pi = exp(s) and a tendency to tie nu >= 0 (Davidson 1970, doi:10.1080/01621459.1970.10481082,
equation 2.3; nu = 0 is Bradley and Terry 1952, doi:10.1093/biomet/39.3-4.324),

    P(i over j) = pi_i / D    P(tie) = nu sqrt(pi_i pi_j) / D    D = pi_i + pi_j + nu sqrt(pi_i pi_j)

Bradley and Terry's model has no ties: each is counted as half a win for both. The log-likelihoods are
concave in s and log nu, and Newton's method finds their maximum. Strengths are log-odds, of mean 0 over the
arms. Where some arms always won against the others there is no finite maximum: half an answer for each pair
that was asked, won and lost alike, then makes it finite, and `separated` says so.
"""

from __future__ import annotations

import attrs
import numpy as np

from glidepath.plugins.judge.analysis.clusters import Array, Clusters, Groups, Interval

ELO = 400 / np.log(10)
"""Points on the scale of Elo for one unit of log-odds; equal arms have 1000."""

_STEPS = 100
_CLOSE = 1e-10
_ADDED = 0.5


@attrs.frozen(eq=False)
class Strengths:
    """A fitted model of k arms.

    strengths: with intervals, as log-odds; their mean is 0. nu: of ties; None without them. differences
        [i][j]: of strength i minus j. separated: whether the maximum had to be made finite.
    """

    strengths: tuple[Interval, ...]
    differences: tuple[tuple[Interval, ...], ...]
    nu: Interval | None
    separated: bool

    def elo(self) -> tuple[Interval, ...]:
        """The strengths on the scale of Elo: 1000 + 400 log10(pi), the mean of the arms being 1000."""
        return tuple(it.mapped(lambda strength: 1000 + ELO * strength) for it in self.strengths)


def log_likelihood(
    theta: Array, first: Groups, second: Groups, outcome: Array, arms: int, *, ties: bool
) -> float:
    """Of strengths, and with ties of log nu behind them, given answers: 1, 1/2 or 0 for the first arm."""
    win, lose, tie = _probabilities(theta, first, second, arms, ties=ties)
    if ties:
        chosen = np.where(outcome == 1, win, np.where(outcome == 0, lose, tie))
        return float(np.log(chosen).sum())
    return float((outcome * np.log(win) + (1 - outcome) * np.log(lose)).sum())


def fit(
    first: Groups,
    second: Groups,
    outcome: Array,
    clusters: Clusters,
    arms: int,
    *,
    ties: bool,
    level: float,
) -> Strengths:
    """The model's maximum, with intervals whose errors share raters and prompts.

    first, second: the arms of each of n answers, numbered from 0. outcome: 1 where the first won, 0 where the
        second did, 1/2 for a tie.
    ties: Davidson's model; else Bradley and Terry's.

    The intervals are of the sandwich H^-1 M H^-1, M being that of `clusters`.
    """
    theta, hessian, separated = _maximum(first, second, outcome, arms, ties=ties)
    scores = _scores(theta, first, second, outcome, arms, ties=ties)
    inverse = np.linalg.pinv(-hessian, hermitian=True)
    influence = inverse @ scores.T  # [parameters, n]
    influence -= influence.mean(axis=1, keepdims=True)
    counts = clusters.counts

    def interval(weights: Array) -> Interval:
        value = float(weights @ theta)
        width = float(clusters.half_width(weights @ influence, level))
        return Interval(value, value - width, value + width, *counts)

    unit = np.eye(len(theta))
    centre = np.zeros(len(theta))
    centre[:arms] = 1 / arms
    strengths = tuple(interval(unit[arm] - centre) for arm in range(arms))
    differences = tuple(
        tuple(interval(unit[one] - unit[other]) for other in range(arms)) for one in range(arms)
    )
    nu = None
    if ties:
        nu = interval(unit[arms]).mapped(lambda log: float(np.exp(log)))
    return Strengths(strengths, differences, nu, separated)


def _probabilities(
    theta: Array, first: Groups, second: Groups, arms: int, *, ties: bool
) -> tuple[Array, Array, Array]:
    """That the first wins, that the second does, and of a tie."""
    half = (theta[first] - theta[second]) / 2
    tie = np.full_like(half, theta[arms]) if ties else np.full_like(half, -np.inf)
    top = np.maximum(np.maximum(half, -half), tie)
    win, lose, equal = np.exp(half - top), np.exp(-half - top), np.exp(tie - top)
    total = win + lose + equal
    return win / total, lose / total, equal / total


def _scores(theta: Array, first: Groups, second: Groups, outcome: Array, arms: int, *, ties: bool) -> Array:
    """The gradient of the log-likelihood of each answer, [n, parameters]."""
    win, _, tie = _probabilities(theta, first, second, arms, ties=ties)
    scores = np.zeros((len(first), len(theta)))
    rows = np.arange(len(first))
    # of the difference of both strengths, in halves as the model has them where there are ties
    slope = outcome - win - tie / 2
    scores[rows, first] += slope
    scores[rows, second] -= slope
    if ties:
        scores[:, arms] = (outcome == 0.5) - tie
    return scores


def _hessian(theta: Array, first: Groups, second: Groups, weights: Array, arms: int, *, ties: bool) -> Array:
    """The second derivatives of the log-likelihood; weights: how often each answer counts."""
    win, lose, tie = _probabilities(theta, first, second, arms, ties=ties)
    spread = (win + lose) / 4 - ((win - lose) / 2) ** 2
    hessian = np.zeros((len(theta), len(theta)))
    np.add.at(hessian, (first, first), -spread * weights)
    np.add.at(hessian, (second, second), -spread * weights)
    np.add.at(hessian, (first, second), spread * weights)
    np.add.at(hessian, (second, first), spread * weights)
    if ties:
        mixed = (win - lose) / 2 * tie * weights
        column = np.bincount(first, mixed, arms) - np.bincount(second, mixed, arms)
        hessian[:arms, arms] = hessian[arms, :arms] = column
        hessian[arms, arms] = -(tie * (1 - tie) * weights).sum()
    return hessian


def _maximum(
    first: Groups, second: Groups, outcome: Array, arms: int, *, ties: bool
) -> tuple[Array, Array, bool]:
    """The parameters of the highest likelihood, second derivatives there, and whether it was made finite."""
    weights = np.ones(len(first))
    separated = not _connected(first, second, outcome, arms) or (ties and not _all_kinds(outcome))
    if separated:
        pairs = np.unique(np.stack([first, second], 1), axis=0)
        kinds = (0.0, 0.5, 1.0) if ties else (0.0, 1.0)
        more = np.repeat(pairs, len(kinds), axis=0)
        first, second = np.r_[first, more[:, 0]], np.r_[second, more[:, 1]]
        outcome = np.r_[outcome, np.tile(kinds, len(pairs))]
        weights = np.r_[weights, np.full(len(more), _ADDED / len(kinds))]
    theta = np.zeros(arms + ties)
    for _ in range(_STEPS):
        gradient = weights @ _scores(theta, first, second, outcome, arms, ties=ties)
        hessian = _hessian(theta, first, second, weights, arms, ties=ties)
        step = np.linalg.pinv(-hessian, hermitian=True) @ gradient
        theta = theta + step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-300))
        if np.abs(step).max() < _CLOSE:
            break
    theta[:arms] -= theta[:arms].mean()
    return theta, _hessian(theta, first, second, weights, arms, ties=ties), separated


def _all_kinds(outcome: Array) -> bool:
    return bool((outcome == 0.5).any() and (outcome != 0.5).any())


def _connected(first: Groups, second: Groups, outcome: Array, arms: int) -> bool:
    """Whether wins and ties lead from each arm to each: else a strength is infinite (Ford 1957)."""
    beats = np.eye(arms, dtype=bool)
    beats[first[outcome > 0], second[outcome > 0]] = True
    beats[second[outcome < 1], first[outcome < 1]] = True
    for _ in range(arms):
        beats = (beats.astype(int) @ beats.astype(int)) > 0
    return bool(beats.all())
