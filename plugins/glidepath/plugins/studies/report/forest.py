"""The forest plot: the difference of every arm from the baseline, with its intervals and its units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from glidepath.plugins.studies.report.style import (
    FAINT,
    INK,
    TONES,
    WIDTH,
    bare,
    new_figure,
    signs,
    styled,
    wrapped,
)
from glidepath.plugins.studies.statistics.analysis import Analysis
from glidepath.plugins.studies.statistics.comparison import Comparison
from glidepath.plugins.studies.statistics.results import Arm, MetricInfo

#: No more arms than these are in one figure: those that differ most.
MOST_ARMS: Final = 40
#: Up to so many units each is drawn as a point.
MOST_POINTS: Final = 30
_COLUMNS: Final = 3
# In a line of a panel: of a title, which is bold, and of a label.
_TITLE: Final = 20
_LETTERS: Final = 25


def forest(analysis: Analysis, metrics: Sequence[MetricInfo], arms: Sequence[Arm]) -> Any:
    """A panel for each metric, a row for each arm: thick, the interval; thin, that of the whole family."""
    arms = _foremost(analysis, metrics, arms)
    columns = min(_COLUMNS, len(metrics))
    rows = math.ceil(len(metrics) / columns)
    height = rows * (0.75 + 0.28 * len(arms))
    with styled():
        figure, axes = new_figure(WIDTH, height, rows, columns, sharey=True)
        for number, metric in enumerate(metrics):
            panel = axes[number // columns][number % columns]
            _panel(panel, analysis, metric, arms)
        for number in range(len(metrics), rows * columns):
            axes[number // columns][number % columns].set_visible(False)
        for row in axes:
            row[0].set_yticks(range(len(arms)), [arm.title for arm in arms])
            row[0].set_ylim(len(arms) - 0.5, -0.5)
    return figure


def legend(analysis: Analysis, metrics: Sequence[MetricInfo], arms: Sequence[Arm]) -> str:
    """What the signs of the figure mean, each where it is drawn in at least one panel."""
    found = [
        analysis.comparisons[arm.name, metric.name]
        for arm in _foremost(analysis, metrics, arms)
        for metric in metrics
    ]
    found = [it for it in found if not math.isnan(it.difference)]
    told = {
        f"Thick: {analysis.results.level:.0%} interval": any(not math.isnan(it.low) for it in found),
        "thin: intervals that hold for the whole family together": any(
            not math.isnan(it.family_low) for it in found
        ),
        "grey points: units": any(_has_points(it) for it in found),
        "shaded: the margin of equivalence": any(it.margin is not None for it in metrics),
        "hollow: undecided": any(it.verdict == "undecided" for it in found),
    }
    return signs(told)


def _panel(panel: Any, analysis: Analysis, metric: MetricInfo, arms: Sequence[Arm]) -> None:
    panel.set_title(wrapped(metric.heading, _TITLE))
    if metric.margin is not None:
        panel.axvspan(-metric.margin, metric.margin, color="#eaf1f8", linewidth=0, zorder=0)
    panel.axvline(0, color=INK, linewidth=0.8, zorder=1)
    for row, arm in enumerate(arms):
        _row(panel, analysis.comparisons[arm.name, metric.name], row)
    unit = f" ({metric.unit})" if metric.unit else ""
    better = "right" if metric.sign > 0 else "left"
    panel.set_xlabel(wrapped(f"difference{unit}; better to the {better}", _LETTERS))
    panel.locator_params(axis="x", nbins=5)
    bare(panel)


def _row(panel: Any, comparison: Comparison, row: int) -> None:
    if math.isnan(comparison.difference):
        panel.text(0, row, "failed", ha="center", va="center", color=TONES["undecided"], fontsize=7.5)
        return
    color = TONES[comparison.verdict]
    differences = comparison.pairs.differences
    if _has_points(comparison):
        panel.scatter(differences, [row + 0.25] * differences.size, s=5, color=FAINT, linewidths=0, zorder=2)
    panel.hlines(row, comparison.family_low, comparison.family_high, color=color, linewidth=0.8, zorder=3)
    panel.hlines(row, comparison.low, comparison.high, color=color, linewidth=2.6, zorder=3)
    panel.plot(
        comparison.difference, row, "o", markersize=5, color=color, zorder=4,
        markerfacecolor="white" if comparison.verdict == "undecided" else color,
    )  # fmt: skip


def _has_points(comparison: Comparison) -> bool:
    return 1 < comparison.pairs.differences.size <= MOST_POINTS


def _foremost(analysis: Analysis, metrics: Sequence[MetricInfo], arms: Sequence[Arm]) -> list[Arm]:
    if len(arms) <= MOST_ARMS:
        return list(arms)
    name = metrics[0].name
    sizes = {it.name: abs(analysis.comparisons[it.name, name].difference) for it in arms}
    kept = sorted(arms, key=lambda it: -1 if math.isnan(sizes[it.name]) else sizes[it.name])[-MOST_ARMS:]
    return [arm for arm in arms if arm in kept]
