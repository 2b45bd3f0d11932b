"""Intervals cover the truth as often as they claim, whoever judges: simulated raters."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit, ndtr
from tests.plugins.judge.simulated import World

from glidepath.plugins.judge.analysis.bradley_terry import fit
from glidepath.plugins.judge.analysis.clusters import Clusters
from glidepath.plugins.judge.analysis.power import Design, judgements_for, power
from glidepath.plugins.judge.analysis.rates import logit_influence, share
from glidepath.plugins.judge.analysis.sequential import bounds

pytestmark = pytest.mark.thorough

COUNT = 6000
"""Simulated judgements of each kind: a coverage of 95 % is known to 0.3 points."""

WORLDS = {
    "all alike": World(raters=6, prompts=40),
    "raters differ": World(raters=6, prompts=40, preference=0.3, of_raters=0.5),
    "both differ": World(raters=6, prompts=40, preference=0.3, of_raters=0.4, of_prompts=1.0),
    "ties": World(raters=12, prompts=64, preference=0.4, of_raters=0.5, of_prompts=1.0, ties=0.2),
    "all judge much": World(raters=12, prompts=64, per_pair=6, preference=0.4, of_raters=0.6, of_prompts=1.2),
    "many raters": World(raters=30, prompts=64, preference=0.8, of_raters=0.4, of_prompts=1.0, ties=0.2),
    "uneven": World(raters=12, prompts=64, preference=0.4, of_raters=0.4, of_prompts=1.0, uneven=True),
    "all judge all": World(raters=5, prompts=30, per_pair=5, preference=0.4, of_raters=0.4, of_prompts=0.8),
    "four raters": World(raters=4, prompts=100, per_pair=2, preference=0.4, of_raters=0.4, of_prompts=0.8),
    "few prompts": World(raters=20, prompts=20, per_pair=5, preference=0.4, of_raters=0.4, of_prompts=1.2),
    "large": World(raters=30, prompts=200, per_pair=2, preference=0.4, of_prompts=1.0, ties=0.3, uneven=True),
    "clear": World(raters=12, prompts=64, preference=2.2, of_raters=0.5, of_prompts=1.0),
    "clear and alike": World(raters=12, prompts=64, preference=2.2),
    "prompts differ": World(raters=8, prompts=64, per_pair=2, of_prompts=1.0),
}


@pytest.mark.parametrize("name", WORLDS)
def test_the_interval_of_a_rate_covers_it_in_95_of_100_judgements(name: str) -> None:
    world, generator = WORLDS[name], np.random.default_rng(1)
    clusters = world.clusters(generator)
    answers = world.answers(clusters, COUNT, generator)
    answers = answers[(answers.mean(1) > 0) & (answers.mean(1) < 1)]
    assert len(answers) == COUNT  # a rate of 0 or 1 has an interval of its own
    width = clusters.half_width(logit_influence(answers), 0.95)
    covered = np.abs(logit(answers.mean(1)) - logit(world.rate)) <= width
    assert 0.93 <= covered.mean() <= 0.97, covered.mean()


def test_that_interval_is_the_one_that_an_analysis_gives() -> None:
    world, generator = WORLDS["ties"], np.random.default_rng(2)
    clusters = world.clusters(generator)
    answers = world.answers(clusters, 1, generator)
    found = share(answers[0], clusters, 0.95)
    (width,) = clusters.half_width(logit_influence(answers), 0.95)
    assert found.low == pytest.approx(expit(logit(answers.mean()) - width))
    assert found.high == pytest.approx(expit(logit(answers.mean()) + width))


def test_the_interval_of_a_difference_of_ratings_covers_it() -> None:
    """Each rater rates pictures of both arms; raters and prompts shift what they give."""
    world, generator = WORLDS["all judge much"], np.random.default_rng(6)
    clusters = world.clusters(generator)
    shape = (COUNT, len(clusters.raters))
    second = np.tile([False, True, True, False], shape[1])[: shape[1]]
    shift = generator.normal(size=(COUNT, world.raters))[:, clusters.raters] * 0.5
    shift += generator.normal(size=(COUNT, world.prompts))[:, clusters.prompts] * 0.8
    own = generator.normal(size=(COUNT, world.raters))[:, clusters.raters] * 0.3 * second
    values = np.rint(3 + 0.25 * second + shift + own + generator.normal(size=shape))
    means = [values[:, it].mean(1, keepdims=True) for it in (second, ~second)]
    influence = np.where(second, (values - means[0]) / second.sum(), -(values - means[1]) / (~second).sum())
    width = clusters.half_width(influence, 0.95)
    covered = (np.abs((means[0] - means[1])[:, 0] - 0.25) <= width).mean()
    assert 0.93 <= covered <= 0.97, covered


TRUTH = np.array([0.5, 0.0, -0.5])
PAIRS = np.array([(0, 1), (0, 2), (1, 2)])


def _compared(
    clusters: Clusters, raters: int, prompts: int, nu: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Answers about all pairs of three arms, whose strengths each rater and each prompt shifts."""
    first, second = np.tile(np.repeat(PAIRS, len(clusters.raters) // prompts // 3, axis=0), (prompts, 1)).T
    own, its = generator.normal(size=(raters, 3)) * 0.15, generator.normal(size=(prompts, 3)) * 0.3
    strength = TRUTH + own[clusters.raters] + its[clusters.prompts]
    rows = np.arange(len(first))
    half = (strength[rows, first] - strength[rows, second]) / 2
    win, lose = np.exp(half), np.exp(-half)
    draw = generator.random(len(half)) * (win + lose + nu)
    return first, second, np.where(draw < win, 1.0, np.where(draw < win + lose, 0.0, 0.5))


@pytest.mark.parametrize("ties", [False, True])
def test_intervals_of_strengths_cover_what_more_raters_and_prompts_lead_to(ties: bool) -> None:
    generator, nu = np.random.default_rng(3), 0.8 if ties else 0.0
    many = Clusters(np.arange(90_000), np.repeat(np.arange(30_000), 3))
    compared = _compared(many, 90_000, 30_000, nu, generator)
    limit = fit(*compared, many, 3, ties=ties, level=0.95)
    covered, of_ties = [], []
    for _ in range(500):
        raters = np.concatenate([generator.permutation(12)[:6] for _ in range(40)])
        clusters = Clusters(raters, np.repeat(np.arange(40), 6))
        found = fit(*_compared(clusters, 12, 40, nu, generator), clusters, 3, ties=ties, level=0.95)
        covered.append([found.differences[i][j].contains(limit.differences[i][j].value) for i, j in PAIRS])
        if found.nu is not None and limit.nu is not None:
            of_ties.append(found.nu.contains(limit.nu.value))
    assert 0.93 <= np.mean(covered) <= 0.97, np.mean(covered)
    assert not ties or 0.93 <= np.mean(of_ties) <= 0.97, np.mean(of_ties)


@pytest.mark.parametrize("rate", [0.58, 0.65])
@pytest.mark.parametrize("clustered", [False, True])
def test_power_is_as_promised(rate: float, clustered: bool) -> None:
    """Raters and prompts shift the chance of a win by as much up as down, so that the rate stays."""
    generator = np.random.default_rng(4)
    icc = (0.03, 0.08) if clustered else (0.0, 0.0)
    design = Design(per_pair=3, per_rater=40, rater_icc=icc[0], prompt_icc=icc[1])
    n = judgements_for(rate, 0.8, design, 0.95)
    assert n is not None
    raters, prompts = design.groups(n)
    world = World(raters=raters, prompts=prompts)
    clusters = world.clusters(generator)
    shifts = [
        np.sqrt(part * rate * (1 - rate)) * generator.choice([-1.0, 1.0], (3000, groups))
        for part, groups in zip(icc, (raters, prompts), strict=True)
    ]
    chance = rate + shifts[0][:, clusters.raters] + shifts[1][:, clusters.prompts]
    answers = (generator.random(chance.shape) < chance).astype(float)
    influence = (answers - answers.mean(1, keepdims=True)) / answers.shape[1]
    found = (clusters.p_value(answers.mean(1) - 0.5, influence) < 0.05).mean()
    promised = power(rate, answers.shape[1], design, 0.95)
    assert abs(found - promised) <= 0.03, (found, promised)


@pytest.mark.parametrize("spending", ["obrien-fleming", "pocock"])
@pytest.mark.parametrize("world", ["all alike", "both differ"])
def test_looking_five_times_errs_no_more_often_than_once(spending: str, world: str) -> None:
    """No preference; every look stops the judgement where it finds one."""
    generator, count, looks = np.random.default_rng(5), 4000, 5
    differs = world == "both differ"
    judged = World(raters=20, prompts=150, of_raters=0.3 * differs, of_prompts=0.8 * differs)
    clusters = judged.clusters(generator)
    answers = judged.answers(clusters, count, generator)
    order = generator.permutation(answers.shape[1])  # raters answer side by side
    shares = tuple((look + 1) / looks for look in range(looks))
    stopped = np.zeros(count, dtype=bool)
    once = 0.0
    for share_, bound in zip(shares, bounds(shares, 0.05, spending), strict=True):  # type: ignore[arg-type]
        seen = order[: round(share_ * len(order))]
        some, of = answers[:, seen], Clusters(clusters.raters[seen], clusters.prompts[seen])
        influence = (some - some.mean(1, keepdims=True)) / len(seen)
        p = of.p_value(some.mean(1) - 0.5, influence)
        stopped |= p <= 2 * ndtr(-bound)
        once = float((p <= 0.05).mean())
    assert stopped.mean() <= 0.06, (stopped.mean(), once)
    assert stopped.mean() >= 0.02, stopped.mean()
