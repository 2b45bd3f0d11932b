"""Verdicts in words: of one comparison, and of a study."""

from __future__ import annotations

import math

from glidepath.plugins.studies.report.numbers import interval, number, p_value
from glidepath.plugins.studies.statistics.analysis import Analysis
from glidepath.plugins.studies.statistics.comparison import Comparison


def summary(analysis: Analysis) -> str:
    """The study's verdict in a sentence or two: how many of the primary comparisons came out which way."""
    family = analysis.family
    if not family:
        return "No primary metric was declared, so all comparisons are exploratory."
    if len(family) == 1:
        return sentence(analysis, family[0])
    counts = {}
    for verdict in ("better", "worse", "equivalent", "undecided"):
        count = sum(it.verdict == verdict for it in family)
        if count:
            counts[verdict] = count
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    baseline = analysis.results.arm(analysis.results.baseline).title
    return f"Of {len(family)} primary comparisons with {baseline}: {told}."


def sentence(analysis: Analysis, comparison: Comparison) -> str:
    """A comparison in a sentence."""
    results = analysis.results
    metric = results.metric(comparison.metric)
    arm, baseline = results.arm(comparison.arm).title, results.arm(results.baseline).title
    if math.isnan(comparison.difference):
        return f"{arm} has no result in {metric.label} that pairs with one of {baseline}."
    word = {
        "better": f"is better than {baseline}",
        "worse": f"is worse than {baseline}",
        "equivalent": f"is equivalent to {baseline}",
        "undecided": f"against {baseline} is undecided",
    }[comparison.verdict]
    half = (comparison.high - comparison.low) / 2
    parts = [f"difference {number(comparison.difference, half, signed=True)}{_unit(metric.unit)}"]
    if not math.isnan(comparison.low):
        parts.append(f"{results.level:.0%} interval {interval(comparison.low, comparison.high)}")
    if comparison.verdict == "equivalent" and metric.margin is not None:
        parts.append(f"margin ±{number(metric.margin)}")
        parts.append(f"adjusted p of equivalence {p_value(comparison.p_equivalent_adjusted)}")
    else:
        parts.append(f"adjusted p {p_value(comparison.p_adjusted)}")
    told = f"{arm} {word} in {metric.label} ({', '.join(parts)})"
    return f"{told}: {comparison.reason}." if comparison.reason else f"{told}."


def _unit(unit: str) -> str:
    return f" {unit}" if unit and unit != "share" else ""
