"""The tables of a report."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from glidepath.plugins.studies.report.document import Cell, Table, table
from glidepath.plugins.studies.report.numbers import (
    NONE,
    duration,
    estimate,
    interval,
    number,
    p_value,
    share,
    size,
)
from glidepath.plugins.studies.statistics.analysis import Analysis
from glidepath.plugins.studies.statistics.comparison import Comparison
from glidepath.plugins.studies.statistics.results import MetricInfo

_MARKS = {"better": " ▲", "worse": " ▼", "equivalent": " ≈"}


def main_table(analysis: Analysis, metrics: Sequence[MetricInfo]) -> Table:
    """A row for each arm, the baseline first, a column for each metric: mean and interval, and the "
    "verdict."""
    results = analysis.results
    rows: list[list[str | Cell]] = []
    for arm in (results.arm(results.baseline), *results.rivals):
        cells: list[str | Cell] = [arm.title + (" (baseline)" if arm.name == results.baseline else "")]
        for metric in metrics:
            found = analysis.estimates[arm.name, metric.name]
            told = estimate(found.mean, found.low, found.high)
            against = analysis.comparisons.get((arm.name, metric.name))
            verdict = against.verdict if against else "undecided"
            cells.append(Cell(told + _MARKS.get(verdict, ""), verdict))
        rows.append(cells)
    if any(it.floor is not None or it.ceiling is not None for it in metrics):
        real: list[str | Cell] = ["real images"]
        real += [number(it.floor if it.floor is not None else it.ceiling) for it in metrics]
        rows.append(real)
    heads = ["< arm"]
    for metric in metrics:
        arrow = "↑" if metric.sign > 0 else "↓"
        unit = f" ({metric.unit})" if metric.unit else ""
        heads.append(f"{metric.label}{unit} {arrow}{' *' if metric.primary else ''}")
    return table(
        "main",
        f"Mean of each arm over units, ± half of its {results.level:.0%} interval, or with an interval that "
        "lies askew.",
        heads,
        rows,
        "↑ higher is better, ↓ lower is better; * primary; ▲ better, ▼ worse, ≈ equivalent to the baseline; "
        "no mark: undecided. Verdicts come from paired differences, not from whether these intervals "
        "overlap.",
    )


def difference_table(analysis: Analysis, found: Sequence[Comparison], name: str, caption: str) -> Table:
    """A row for each comparison, with everything that is known of the difference."""
    results = analysis.results
    metrics = [it for it in results.metrics if any(it.name == one.metric for one in found)]
    margins = any(it.margin is not None for it in metrics)
    what = "question" if name == "contrasts" else "arm"
    heads = f"< metric | < {what} | < verdict | difference | {results.level:.0%} interval | adjusted p"
    heads += " | p equivalence" if margins else ""
    heads += " | p sign-flip | p t | relative | d | improved | n | pairs"
    rows: list[list[str | Cell]] = []
    for one in found:
        title = one.arm if what == "question" else one.question.title
        label = results.metric(one.metric).label
        rows.append([label, title, Cell(one.verdict, one.verdict), *_difference(one, margins)])
    notes = (
        "d: mean of the differences over their standard deviation, corrected for few units; improved: share "
        "of units in which the arm is strictly better, so that a tie is none; n: units; pairs: complete out "
        "of all."
    )
    if any(it.given for it in metrics):
        notes += " Given: decided by the specs, and so not tested."
    if margins:
        told = ", ".join(f"±{number(it.margin)} in {it.label}" for it in metrics if it.margin is not None)
        notes += f" Margins of equivalence: {told}; p of equivalence is adjusted too."
    return table(name, caption, heads, rows, notes)


def trend_table(analysis: Analysis) -> Table:
    """Trends along numeric axes."""
    rows: list[list[str | Cell]] = []
    for line in analysis.trends:
        found = line.trend
        half = (found.high - found.low) / 2
        per = "per doubling of" if line.series.logarithmic else "per unit of"
        rows.append(
            [
                analysis.results.metric(line.metric).label,
                f"{per} {line.series.axis.label or line.series.axis.name}",
                line.series.label or "all",
                number(found.slope, half, signed=True),
                interval(found.low, found.high),
                p_value(found.p_sign_flip),
                p_value(found.p_t),
                number(found.monotone) if not math.isnan(found.monotone) else NONE,
                str(found.units),
            ]
        )
    return table(
        "trends",
        "Trends along numeric axes: the mean slope of the units' straight lines.",
        f"< metric | < slope | < arms | mean | {analysis.results.level:.0%} interval | p sign-flip | p t | "
        "rank correlation | n",
        rows,
        "Exploratory, and not adjusted. A rank correlation near 0 with a clear curve is a bend, not a slope.",
    )


def variance_table(analysis: Analysis) -> Table:
    """Shares of the variance of a complete grid."""
    rows: list[list[str | Cell]] = []
    for metric, found in analysis.decompositions.items():
        label = analysis.results.metric(metric).label
        for term in found.terms:
            freedom = f"{term.freedom[0]}, {term.freedom[1]}" if term.freedom[1] else NONE
            told = [label, " × ".join(term.axes), share(term.share), number(term.f), freedom, p_value(term.p)]
            rows.append(list(told))
        rows.append([label, "seeds", share(found.units), NONE, NONE, NONE])
        rows.append([label, "seeds × axes", share(found.residual), NONE, NONE, NONE])
    return table(
        "variance",
        "Exact decomposition of the variance over the complete grid, with interactions.",
        "< metric | < term | share | F | freedom | p",
        rows,
        "F tests each term against its own interaction with the units; exploratory, and not adjusted.",
    )


def interaction_table(analysis: Analysis) -> Table:
    """Parts taken out together, against each alone."""
    rows: list[list[str | Cell]] = []
    for found in analysis.interactions:
        half = (found.high - found.low) / 2
        rows.append(
            [
                analysis.results.metric(found.metric).label,
                " and ".join(found.parts),
                number(found.value, half, signed=True),
                interval(found.low, found.high),
                p_value(found.p_sign_flip),
                p_value(found.p_t),
                str(found.units),
            ]
        )
    return table(
        "interactions",
        "Interactions: by how much the loss of two parts together differs from the sum of their losses.",
        f"< metric | < parts | interaction | {analysis.results.level:.0%} interval | p sign-flip | p t | n",
        rows,
        "(full − without the first) − (without the second − without both); 0: the effects of the parts add "
        "up. Exploratory, and not adjusted.",
    )


def cost_table(analysis: Analysis) -> Table:
    """What each arm took."""
    results = analysis.results
    rows: list[list[str | Cell]] = []
    for arm in results.arms:
        cost = results.costs.get(arm.name)
        if cost is None:
            continue
        rows.append(
            [
                arm.title,
                duration(cost.seconds_per_image),
                number(cost.evaluations),
                size(cost.peak_bytes),
                duration(cost.seconds),
                NONE if cost.device_hours is None else number(cost.device_hours),
                str(cost.computed),
                str(cost.reused),
            ]
        )
    return table(
        "cost",
        "What each arm took.",
        "< arm | per image | evaluations | peak memory | in all | hours of the device | stages run | "
        "stages reused",
        rows,
        "A stage that several arms share is counted as run for the first of them, and as reused for the "
        "others.",
    )


def failure_table(analysis: Analysis) -> Table:
    """Failed trials, by arm and class."""
    results = analysis.results
    counted = Counter((it.arm, it.kind, it.stage) for it in results.failures)
    rows: list[list[str | Cell]] = []
    for (arm, kind, stage), count in sorted(counted.items()):
        first = next(it for it in results.failures if (it.arm, it.kind, it.stage) == (arm, kind, stage))
        title = next((it.title for it in results.arms if it.name == arm), arm)
        last = first.message.strip().splitlines()[-1:] or [""]
        rows.append([title, str(count), kind, stage, last[0][:160]])
    return table(
        "failures",
        "Trials that gave no result, by arm.",
        "< arm | trials | < class | < stage | < the first of them",
        rows,
        "Their pairs are left out of comparisons, as pairs; beside each verdict stands what it would be with "
        "the worst score in their place.",
    )


def _difference(found: Comparison, margins: bool) -> list[str | Cell]:
    half = (found.high - found.low) / 2
    told: list[str | Cell] = [
        number(found.difference, half, signed=True),
        interval(found.low, found.high),
        p_value(found.p_adjusted),
    ]
    if margins:
        told.append(p_value(found.p_equivalent_adjusted))
    relative = found.effect.relative
    standardised = found.effect.standardised
    return [
        *told,
        p_value(found.p_sign_flip),
        p_value(found.p_t),
        NONE if math.isnan(relative) else f"{number(100 * relative, signed=True)}%",
        NONE if math.isnan(standardised) else number(standardised, 0.03, signed=True),
        share(found.effect.improvement),
        str(found.pairs.differences.size),
        f"{found.pairs.complete}/{found.pairs.all}",
    ]
