"""One arm against the baseline in one metric: difference, intervals, p values, and the verdict."""

from __future__ import annotations

import math
from typing import Final, Literal

import attrs
import numpy as np

from glidepath.plugins.studies.statistics.effects import Effect, effect
from glidepath.plugins.studies.statistics.paired import (
    deviation,
    equivalence_p,
    sign_flip_p,
    t_interval,
    t_p,
)
from glidepath.plugins.studies.statistics.power import (
    detectable_effect,
    smallest_p,
    units_for_equivalence,
    units_for_p,
    units_needed,
)
from glidepath.plugins.studies.statistics.results import Arm, MetricInfo, StudyResults
from glidepath.plugins.studies.statistics.units import Pairs, Unit, pairs, unit_of

Verdict = Literal["better", "worse", "equivalent", "undecided"]

#: Share of the pairs that must be complete for a verdict: what fails may not fail by chance.
LEAST_COMPLETE: Final = 0.8


@attrs.frozen(kw_only=True, eq=False)
class Comparison:
    """An arm against the baseline in one metric.

    difference: mean of the paired differences, arm minus baseline; low, high: its t interval; family_low,
        family_high: wider, so that those of the whole family hold together (Bonferroni).
    p: of the deciding test; p_adjusted: by Holm in the primary family, by Benjamini and Hochberg outside it.
    p_equivalent, p_equivalent_adjusted: of equivalence within the metric's margin, None without one.
    detectable: the smallest difference that so many units find in 4 of 5 studies, in the metric's unit.
    decided_by: how many units would decide, were the difference seen the true one; None where it is decided,
        cannot be said, or where it would be more than 10,000. decided_as: what they would show.
    reason: why it is undecided, for a person; "" where it is decided.
    """

    metric: str
    arm: str
    pairs: Pairs
    difference: float
    low: float
    high: float
    family_low: float
    family_high: float
    p: float
    p_sign_flip: float
    p_t: float
    p_adjusted: float
    p_equivalent: float | None
    p_equivalent_adjusted: float | None
    effect: Effect
    detectable: float
    verdict: Verdict
    reason: str = ""
    decided_by: int | None = None
    decided_as: Literal["a difference", "equivalence", ""] = ""


def first_look(results: StudyResults, metric: MetricInfo, arm: Arm) -> Comparison:
    """A comparison before it knows of the others."""
    paired = pairs(results.of(arm.name, metric.name), results.of(results.baseline, metric.name))
    differences = paired.differences
    n = differences.size
    if n == 0:
        nan = math.nan
        return Comparison(
            metric=metric.name, arm=arm.name, pairs=paired, difference=nan, low=nan, high=nan, family_low=nan,
            family_high=nan, p=nan, p_sign_flip=nan, p_t=nan, p_adjusted=nan, p_equivalent=None,
            p_equivalent_adjusted=None, effect=Effect(relative=nan, standardised=nan, improvement=nan),
            detectable=nan, verdict="undecided",
        )  # fmt: skip
    low, high = t_interval(differences, results.level)
    flip, student = float(sign_flip_p(differences)), float(t_p(differences))
    same = None if metric.margin is None else float(equivalence_p(differences, metric.margin))
    return Comparison(
        metric=metric.name,
        arm=arm.name,
        pairs=paired,
        difference=float(differences.mean()),
        low=float(low),
        high=float(high),
        family_low=math.nan,
        family_high=math.nan,
        p=flip if results.test == "sign-flip" else student,
        p_sign_flip=flip,
        p_t=student,
        p_adjusted=math.nan,
        p_equivalent=None if same is None or math.isnan(same) else same,
        p_equivalent_adjusted=None,
        effect=effect(differences, float(paired.baseline.mean()), metric.sign),
        detectable=math.nan,
        verdict="undecided",
    )


def judged(
    results: StudyResults, look: Comparison, p: float, same: float, family: int, alpha: float
) -> Comparison:
    """The comparison with what the family makes of it, and its verdict."""
    differences = look.pairs.differences
    n = differences.size
    spread = float(deviation(differences)) if n else math.nan
    low, high = t_interval(differences, 1 - alpha / family) if n else (np.nan, np.nan)
    verdict = attrs.evolve(
        look,
        family_low=float(low),
        family_high=float(high),
        p_adjusted=p,
        p_equivalent_adjusted=None if look.p_equivalent is None else same,
        detectable=_finite(detectable_effect(n, alpha / family, test=results.test)) * spread
        if n > 1
        else math.nan,
    )
    metric = results.metric(look.metric)
    if look.pairs.share < LEAST_COMPLETE:
        reason = f"only {look.pairs.complete} of {look.pairs.all} pairs are complete"
        return attrs.evolve(verdict, reason=reason)
    if n < 2:
        return attrs.evolve(
            verdict, reason=f"a single {unit_of(results.of(look.arm, look.metric))} has no spread"
        )
    if verdict.p_equivalent_adjusted is not None and verdict.p_equivalent_adjusted <= alpha:
        return attrs.evolve(verdict, verdict="equivalent")
    if p <= alpha:
        return attrs.evolve(verdict, verdict="better" if metric.sign * look.difference > 0 else "worse")
    return _undecided(results, verdict, metric, spread, alpha / family)


def _undecided(
    results: StudyResults, look: Comparison, metric: MetricInfo, spread: float, alpha: float
) -> Comparison:
    """How many units would decide: to show a difference, or equivalence, whichever takes fewer."""
    wanted: dict[Literal["a difference", "equivalence"], int | None] = {}
    if spread > 0:
        wanted["a difference"] = units_needed(look.difference / spread, alpha, test=results.test)
        if metric.margin is not None:
            margin = metric.margin / spread
            wanted["equivalence"] = units_for_equivalence(margin, alpha, effect=look.difference / spread)
    elif look.difference != 0:
        wanted["a difference"] = units_for_p(alpha)  # all alike: what signs alone can show
    counted = {what: count for what, count in wanted.items() if count is not None}
    n = look.pairs.differences.size
    unit = _plural(unit_of(results.of(look.arm, look.metric)))
    hopeless = ""
    if results.test == "sign-flip" and smallest_p(n) > alpha:
        hopeless = f"{n} {unit} are too few for this test in this family, whatever the scores; "
    if not counted:
        none = look.difference == 0
        seen = "no difference was seen" if none else f"more than 10,000 {unit} would be needed"
        return attrs.evolve(look, reason=hopeless + seen)
    what = min(counted, key=lambda it: counted[it])
    decided_by = max(counted[what], n + 1)
    reason = f"about {decided_by:,} {unit} would show {what}, if the true difference is the one seen"
    return attrs.evolve(look, decided_by=decided_by, decided_as=what, reason=hopeless + reason)


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan


def _plural(unit: Unit) -> str:
    return "pairs of seed and prompt" if unit == "seed and prompt" else f"{unit}s"
