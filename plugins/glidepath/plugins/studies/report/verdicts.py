"""Verdicts in words: of one comparison, and of a study."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from glidepath.plugins.studies.report.numbers import interval, number, p_value
from glidepath.plugins.studies.statistics.analysis import Analysis
from glidepath.plugins.studies.statistics.comparison import Comparison, Verdict
from glidepath.plugins.studies.statistics.results import MetricInfo, StudyResults


def summary(analysis: Analysis) -> str:
    """The study's verdict in a sentence or two: how many of the primary comparisons came out which way."""
    family, results = analysis.family, analysis.results
    primary = [it for it in results.metrics if it.primary]
    if not family and primary and all(it.given for it in primary):
        return "The specs decide the primary metrics, so that nothing was tested."
    if not family and primary:
        return "There is one arm, and none to compare it with."
    if not family:
        return "No primary metric was declared, so all comparisons are exploratory."
    if len(family) == 1:
        return sentence(analysis, family[0])
    counts = Counter[str](it.verdict for it in family)
    verdicts = ("better", "worse", "equivalent", "undecided")
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in verdicts if counts[verdict])
    what = "of what the study asks" if results.contrasts else f"with {results.arm(results.baseline).title}"
    once = any(results.of_checkpoints(it.question) for it in family)
    checkpoints = (
        " They are of single checkpoints, and say nothing of how these were trained." if once else ""
    )
    return f"Of {len(family)} primary comparisons {what}: {told}.{checkpoints}"


def sentences(analysis: Analysis) -> list[tuple[str, Verdict]]:
    """Every primary comparison in a sentence, with its verdict; what is decided first."""
    found = sorted(analysis.family, key=lambda it: it.verdict == "undecided")
    return [(sentence(analysis, it), it.verdict) for it in found]


def unfinished(results: StudyResults) -> str:
    """What a reader of a study that has not run to its end has to know first; "" of one that has."""
    progress = results.progress
    if progress is None or progress.finished:
        return ""
    return (
        f"This study is not finished: {progress.done} of {progress.all} nodes are done, and all that "
        "follows may change. "
    )


def sentence(analysis: Analysis, comparison: Comparison) -> str:
    """A comparison in a sentence, and what it would be, were what is missing the worst."""
    results = analysis.results
    metric = results.metric(comparison.metric)
    arm, baseline = comparison.question.title, comparison.question.against
    if math.isnan(comparison.difference):
        return f"{arm} has no result in {metric.label} that pairs with one of {baseline}."
    if comparison.verdict == "given":
        told = number(comparison.difference, signed=True)
        return f"{arm} differs from {baseline} by {told}{_unit(metric.unit)} in {metric.label}, as specified."
    if results.of_checkpoints(comparison.question):
        arm, baseline = f"the one checkpoint of {arm}", f"that of {baseline}"
    word = {
        "better": f"is better than {baseline}",
        "worse": f"is worse than {baseline}",
        "equivalent": f"is equivalent to {baseline}",
        "undecided": f"against {baseline} is undecided",
    }[comparison.verdict]
    parts = list(_difference(results, metric, comparison))
    if comparison.verdict == "equivalent" and metric.margin is not None:
        parts.append(f"margin ±{number(metric.margin)}")
        parts.append(f"adjusted p of equivalence {p_value(comparison.p_equivalent_adjusted)}")
    else:
        parts.append(f"adjusted p {p_value(comparison.p_adjusted)}")
    told = f"{arm} {word} in {metric.label} ({', '.join(parts)})"
    told = f"{told}: {comparison.reason}." if comparison.reason else f"{told}."
    return f"{told}{_if_worst(results, metric, comparison)}"


def infinite_scores(results: StudyResults) -> Iterator[str]:
    """A note for each arm and metric with scores that cannot be computed with."""
    for metric in results.metrics:
        for arm in results.arms:
            count = results.infinite(arm.name, metric.name)
            if count:
                what = (
                    "score is infinite or too large, and is"
                    if count == 1
                    else "scores are infinite or too large, and are"
                )
                yield f"{count} {what} left out with the pair, in {metric.label} of {arm.title}."


def _difference(results: StudyResults, metric: MetricInfo, comparison: Comparison) -> Iterator[str]:
    half = (comparison.high - comparison.low) / 2
    yield f"difference {number(comparison.difference, half, signed=True)}{_unit(metric.unit)}"
    if not math.isnan(comparison.low):
        yield f"{results.level:.0%} interval {interval(comparison.low, comparison.high)}"


def _if_worst(results: StudyResults, metric: MetricInfo, comparison: Comparison) -> str:
    worst = comparison.if_worst
    if worst is None:
        return ""
    missing = worst.pairs.complete - comparison.pairs.complete
    bounded = math.isfinite(results.bounds(metric.name)[metric.sign < 0])
    what = "the worst that a score can be" if bounded else "the worst score that was seen"
    are = (
        "pair is missing because an arm failed" if missing == 1 else "pairs are missing because an arm failed"
    )
    told = ", ".join(_difference(results, metric, worst))
    return f" {missing} {are}; with {what} in place of each it would be {worst.verdict} ({told})."


def _unit(unit: str) -> str:
    return f" {unit}" if unit and unit != "share" else ""
