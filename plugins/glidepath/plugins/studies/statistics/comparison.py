"""One arm against the baseline in one metric: difference, intervals, p values, and the verdict."""

from __future__ import annotations

import math
from typing import Final, Literal

import attrs

from glidepath.plugins.studies.statistics.effects import Effect, effect
from glidepath.plugins.studies.statistics.intervals import difference_interval, equivalence
from glidepath.plugins.studies.statistics.paired import deviation, sign_flip_p, t_p
from glidepath.plugins.studies.statistics.power import (
    detectable_effect,
    smallest_p,
    units_for_equivalence,
    units_for_p,
    units_needed,
)
from glidepath.plugins.studies.statistics.results import Contrast, MetricInfo, StudyResults
from glidepath.plugins.studies.statistics.shares import equal_units_for_equivalence
from glidepath.plugins.studies.statistics.units import Pairs, Unit, pairs

#: "given" is what the spec decides: it is not tested.
Verdict = Literal["better", "worse", "equivalent", "undecided", "given"]

#: Share of the pairs that must be complete for a verdict: what fails may not fail by chance.
LEAST_COMPLETE: Final = 0.8


@attrs.frozen(kw_only=True, eq=False)
class Comparison:
    """An answer to a question in one metric: an arm against the baseline, or a contrast that the study names.

    arm: the name of the question. primary: whether it is in the declared family.
    difference: mean of the paired differences, arm minus baseline; low, high: its interval, NaN where
        there is none; family_low, family_high: wider, so that those of the whole family hold together.
    p: of the deciding test, NaN where the study has a single unit; p_adjusted: by Holm in the primary
        family, by Benjamini and Hochberg outside it, among what is tested.
    p_equivalent, p_equivalent_adjusted: of equivalence within the metric's margin, None without one.
    detectable: the smallest difference that so many units find in 4 of 5 studies, in the metric's unit.
    decided_by: how many units would decide, were the difference seen the true one; None where it is decided,
        cannot be said, or where it would be more than 10,000. decided_as: what they would show.
    reason: why it is undecided, for a person; "" where it is decided.
    if_worst: what it would be, were the scores that an arm failed to give the worst; None where none failed.
    """

    metric: str
    arm: str
    question: Contrast
    primary: bool
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
    if_worst: Comparison | None = None


def first_look(results: StudyResults, metric: MetricInfo, question: Contrast, primary: bool) -> Comparison:
    """A comparison before it knows of the others."""
    ours, theirs = (results.mean_of(arms, metric.name) for arms in zip(*question.cells, strict=True))
    paired = pairs(ours, theirs, results.unit)
    differences = paired.differences
    n = differences.size
    if n == 0:
        nan = math.nan
        return Comparison(
            metric=metric.name, arm=question.name, question=question, primary=primary, pairs=paired,
            difference=nan, low=nan, high=nan, family_low=nan, family_high=nan, p=nan, p_sign_flip=nan,
            p_t=nan, p_adjusted=nan, p_equivalent=None, p_equivalent_adjusted=None,
            effect=Effect(relative=nan, standardised=nan, improvement=nan), detectable=nan,
            verdict="undecided",
        )  # fmt: skip
    bounds = results.bounds(metric.name)
    low, high = difference_interval(differences, results.level, bounds, averaged=paired.averaged)
    flip, student, same = math.nan, math.nan, None
    if is_tested(metric, paired):
        flip, student = float(sign_flip_p(differences)), float(t_p(differences))
        if metric.margin is not None:
            same = equivalence(differences, metric.margin, bounds, averaged=paired.averaged)
    return Comparison(
        metric=metric.name,
        arm=question.name,
        question=question,
        primary=primary,
        pairs=paired,
        difference=float(differences.mean()),
        low=math.nan if metric.given else low,
        high=math.nan if metric.given else high,
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
        verdict="given" if metric.given else "undecided",
    )


def is_tested(metric: MetricInfo, paired: Pairs) -> bool:
    """Whether the plan lets chance be told from a difference; how many units failed does not matter here."""
    return not metric.given and paired.units > 1


def judged(
    results: StudyResults, look: Comparison, p: float, same: float, family: int, alpha: float
) -> Comparison:
    """The comparison with what the family makes of it, and its verdict."""
    if look.verdict == "given":
        return look
    metric = results.metric(look.metric)
    differences = look.pairs.differences
    n = differences.size
    spread = float(deviation(differences)) if n else math.nan
    low = high = math.nan
    if n:
        low, high = difference_interval(
            differences, 1 - alpha / family, results.bounds(metric.name), averaged=look.pairs.averaged
        )
    verdict = attrs.evolve(
        look,
        family_low=low,
        family_high=high,
        p_adjusted=p,
        p_equivalent_adjusted=None if look.p_equivalent is None else same,
        detectable=_finite(detectable_effect(n, alpha / family, test=results.test)) * spread
        if n > 1
        else math.nan,
    )
    if look.pairs.share < LEAST_COMPLETE:
        reason = f"only {look.pairs.complete} of {look.pairs.all} pairs are complete"
        return attrs.evolve(verdict, reason=reason)
    if n < 2:
        return attrs.evolve(verdict, reason=f"a single {look.pairs.unit} has no spread")
    if verdict.p_equivalent_adjusted is not None and verdict.p_equivalent_adjusted <= alpha:
        return attrs.evolve(verdict, verdict="equivalent")
    if p <= alpha:
        return attrs.evolve(verdict, verdict="better" if metric.sign * look.difference > 0 else "worse")
    return _undecided(results, verdict, metric, spread, alpha / family)


def doubted(look: Comparison, if_worst: Comparison) -> Comparison:
    """A comparison beside what it would be, were what is missing the worst: a verdict has to stand both."""
    if look.verdict in ("given", "undecided") or look.verdict == if_worst.verdict:
        return attrs.evolve(look, if_worst=if_worst)
    reason = f"{look.verdict} only while what failed is left out"
    return attrs.evolve(look, if_worst=if_worst, verdict="undecided", reason=reason)


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
    width = results.bounds(metric.name)[1] - results.bounds(metric.name)[0]
    if metric.margin is not None and metric.margin < width < math.inf:
        least = equal_units_for_equivalence(metric.margin / width, alpha)
        if spread > 0 and wanted["equivalence"] is not None:
            wanted["equivalence"] = max(least, wanted["equivalence"])
        elif look.difference == 0:
            wanted["equivalence"] = least
    counted = {what: count for what, count in wanted.items() if count is not None}
    n = look.pairs.differences.size
    unit = plural(look.pairs.unit)
    hopeless = ""
    if results.test == "sign-flip" and smallest_p(n) > alpha:
        hopeless = f"{n} {unit} are too few for this test in this family, whatever the scores; "
    if not counted:
        none = look.difference == 0 and not spread > 0
        seen = "no difference was seen" if none else f"more than 10,000 {unit} would be needed"
        return attrs.evolve(look, reason=hopeless + seen)
    what = min(counted, key=lambda it: counted[it])
    decided_by = max(counted[what], n + 1)
    reason = f"about {decided_by:,} {unit} would show {what}, if the true difference is the one seen"
    return attrs.evolve(look, decided_by=decided_by, decided_as=what, reason=hopeless + reason)


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan


def plural(unit: Unit) -> str:
    """Several units, for a person."""
    return "pairs of seed and prompt" if unit == "seed and prompt" else f"{unit}s"
