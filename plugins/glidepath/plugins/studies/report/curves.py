"""Curves: scores along a numeric axis, with intervals and units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from glidepath.plugins.studies.report.style import COLORS, INK, WIDTH, new_figure, styled
from glidepath.plugins.studies.results import Metric
from glidepath.plugins.studies.stat_series import Series
from glidepath.plugins.studies.stat_units import unit_means
from glidepath.plugins.studies.statistics import Analysis

_COLUMNS: Final = 3
_MOST_POINTS: Final = 10
# Positions that are all marked on the axis, rather than round numbers.
_MOST_TICKS: Final = 7


def curves(analysis: Analysis, lines: Sequence[Series], metrics: Sequence[Metric]) -> Any:
    """A panel for each metric, a line for each series of one axis; bands are intervals of the means.

    The intervals are of each arm by itself: whether two arms differ is told by paired differences, which may
    be clear where the bands overlap.
    """
    columns = min(_COLUMNS, len(metrics))
    rows = math.ceil(len(metrics) / columns)
    with styled():
        # one panel alone is not stretched over the page
        width = WIDTH if columns > 1 else WIDTH * 0.6
        figure, axes = new_figure(width, 2.25 * rows + 0.3 * (len(lines) > 1), rows, columns)
        for number, metric in enumerate(metrics):
            _panel(axes[number // columns][number % columns], analysis, lines, metric)
        for number in range(len(metrics), rows * columns):
            axes[number // columns][number % columns].set_visible(False)
        if len(lines) > 1:
            handles, labels = axes[0][0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside upper center", ncols=min(len(lines), 4))
    return figure


def _panel(panel: Any, analysis: Analysis, lines: Sequence[Series], metric: Metric) -> None:
    results = analysis.results
    panel.set_title(metric.heading)
    for line, color in zip(lines, _colors(len(lines)), strict=True):
        found = [analysis.estimates[arm.name, metric.name] for arm in line.arms]
        panel.fill_between(
            line.positions,
            [it.low for it in found],
            [it.high for it in found],
            color=color,
            alpha=0.16,
            linewidth=0,
        )
        panel.plot(
            line.positions, [it.mean for it in found], "-o", color=color, markersize=4, linewidth=1.4,
            label=line.label or line.axis.title,
        )  # fmt: skip
        for arm, position in zip(line.arms, line.positions, strict=True):
            units = unit_means(results.of(arm.name, metric.name))
            if 1 < units.size <= _MOST_POINTS:
                panel.plot(np.full(units.size, position), units, ".", color=color, markersize=2.5, alpha=0.6)
    base = analysis.estimates[results.baseline, metric.name]
    if not any(arm.name == results.baseline for line in lines for arm in line.arms) and not math.isnan(
        base.mean
    ):
        panel.axhline(base.mean, color=INK, linewidth=0.9, linestyle=(0, (4, 2)))
        _label(panel, base.mean, results.arm(results.baseline).title)
    for real, what in ((metric.floor, "real images"), (metric.ceiling, "real images")):
        if real is not None:
            panel.axhline(real, color="#888888", linewidth=0.9, linestyle=(0, (1, 2)))
            _label(panel, real, what)
    if all(line.logarithmic for line in lines):
        panel.set_xscale("log")
        positions = sorted({it for line in lines for it in line.positions})
        panel.set_xticks(positions, [f"{it:g}" for it in positions])
        panel.minorticks_off()
    elif len({it for line in lines for it in line.positions}) <= _MOST_TICKS:
        panel.set_xticks(sorted({it for line in lines for it in line.positions}))
        panel.xaxis.set_major_formatter("{x:g}")
    panel.set_xlabel(lines[0].axis.title)
    better = "higher" if metric.sign > 0 else "lower"
    panel.set_ylabel(f"{metric.unit + '; ' if metric.unit else ''}{better} is better")
    panel.margins(y=0.12)


def _label(panel: Any, height: float, text: str) -> None:
    """A name at the right end of a horizontal line."""
    panel.annotate(
        text, (1, height), xycoords=("axes fraction", "data"), xytext=(0, 2), textcoords="offset points",
        ha="right", va="bottom", fontsize=7, color="#555555",
    )  # fmt: skip


def _colors(count: int) -> list[str]:
    return [COLORS[number % len(COLORS)] for number in range(count)]
