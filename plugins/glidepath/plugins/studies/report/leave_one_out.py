"""The leave-one-out chart: what each part is worth, as the loss when it is taken out; and variance shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from glidepath.plugins.studies.report.style import (
    FAINT,
    INK,
    TONES,
    WIDTH,
    bare,
    distinct,
    legend_above,
    new_figure,
    signs,
    styled,
)
from glidepath.plugins.studies.statistics.analysis import Analysis
from glidepath.plugins.studies.statistics.comparison import Comparison
from glidepath.plugins.studies.statistics.results import Arm, MetricInfo

_MOST_METRICS = 3
_MOST_POINTS = 30


def leave_one_out(analysis: Analysis, metrics: Sequence[MetricInfo], arms: Sequence[Arm]) -> Any:
    """A panel for each metric, a bar for each arm with a part less, the costliest first; bars begin at 0."""
    metrics = metrics[:_MOST_METRICS]
    ordered = sorted(arms, key=lambda arm: _loss(analysis, metrics[0], arm), reverse=True)
    with styled():
        size = (WIDTH if len(metrics) > 1 else WIDTH * 0.7, 0.8 + 0.32 * len(arms))
        figure, axes = new_figure(*size, 1, len(metrics), sharey=True)
        for panel, metric in zip(axes[0], metrics, strict=True):
            panel.set_title(metric.heading)
            for row, arm in enumerate(ordered):
                _bar(panel, analysis, metric, arm, row)
            panel.axvline(0, color=INK, linewidth=0.8)
            unit = f" ({metric.unit})" if metric.unit else ""
            panel.set_xlabel(f"change{unit}; worse to the {'left' if metric.sign > 0 else 'right'}")
            panel.locator_params(axis="x", nbins=5)
            bare(panel)
        names = [" and ".join(arm.removed) for arm in ordered]
        axes[0][0].set_yticks(range(len(ordered)), [f"without {name}" for name in names])
        axes[0][0].set_ylim(len(ordered) - 0.5, -0.5)
    return figure


def legend(analysis: Analysis, metrics: Sequence[MetricInfo], arms: Sequence[Arm]) -> str:
    """What the signs of the chart mean, each where it is drawn in at least one panel."""
    found = [
        analysis.comparisons[arm.name, metric.name] for metric in metrics[:_MOST_METRICS] for arm in arms
    ]
    found = [it for it in found if not math.isnan(it.difference)]
    told = {
        f"Lines: {analysis.results.level:.0%} intervals": any(not math.isnan(it.low) for it in found),
        "points: units": any(_has_points(it) for it in found),
        "pale: undecided": any(it.verdict == "undecided" for it in found),
    }
    return signs(told)


def shares(analysis: Analysis, metrics: Sequence[MetricInfo]) -> Any:
    """A bar for each metric, divided into what each axis explains alone, together, and what seeds explain."""
    first = analysis.decompositions[metrics[0].name]
    names = [" × ".join(term.axes) for term in first.terms] + ["seeds", "seeds × axes"]
    colors = [*distinct(len(first.terms)), "#999999", "#d9d9d9"]
    with styled():
        figure, axes = new_figure(WIDTH, 0.75 + 0.3 * len(metrics))
        panel = axes[0][0]
        for row, metric in enumerate(metrics):
            found = analysis.decompositions[metric.name]
            left = 0.0
            parts = [*(term.share for term in found.terms), found.units, found.residual]
            for part, name, color in zip(parts, names, colors, strict=True):
                label = name if row == 0 else None
                panel.barh(row, part, left=left, height=0.62, color=color, label=label, edgecolor="white")
                if part > 0.06:
                    panel.text(
                        left + part / 2, row, f"{part:.0%}", ha="center", va="center", fontsize=7.5,
                        color=INK if color == "#d9d9d9" else "white",
                    )  # fmt: skip
                left += part
        panel.set_yticks(range(len(metrics)), [metric.heading for metric in metrics])
        panel.set_ylim(len(metrics) - 0.5, -0.5)
        panel.set_xlim(0, 1)
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        panel.set_xlabel("share of the variance")
        legend_above(figure, *panel.get_legend_handles_labels())
        bare(panel)
    return figure


def _bar(panel: Any, analysis: Analysis, metric: MetricInfo, arm: Arm, row: int) -> None:
    found = analysis.comparisons[arm.name, metric.name]
    if math.isnan(found.difference):
        panel.text(0, row, "failed", ha="center", va="center", color=TONES["undecided"], fontsize=7.5)
        return
    faded = found.verdict == "undecided"
    panel.barh(
        row,
        found.difference,
        height=0.6,
        color=TONES[found.verdict],
        alpha=0.45 if faded else 0.85,
        linewidth=0,
    )
    panel.hlines(row, found.low, found.high, color=INK, linewidth=1.1)
    differences = found.pairs.differences
    if _has_points(found):
        panel.scatter(
            differences, [row + 0.18] * differences.size, s=6, color="white", edgecolors=FAINT,
            linewidths=0.6, zorder=3,
        )  # fmt: skip


def _has_points(comparison: Comparison) -> bool:
    return 1 < comparison.pairs.differences.size <= _MOST_POINTS


def _loss(analysis: Analysis, metric: MetricInfo, arm: Arm) -> float:
    value = -metric.sign * analysis.comparisons[arm.name, metric.name].difference
    return -math.inf if math.isnan(value) else value
