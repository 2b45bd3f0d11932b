"""Curves: scores along a numeric axis, with intervals and units."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np

from glidepath.plugins.studies.report.style import (
    INK,
    WIDTH,
    backed,
    distinct,
    legend_above,
    new_figure,
    styled,
    wrapped,
)
from glidepath.plugins.studies.statistics.analysis import Analysis
from glidepath.plugins.studies.statistics.results import Array, MetricInfo
from glidepath.plugins.studies.statistics.series import Series
from glidepath.plugins.studies.statistics.units import unit_means

# In a line of a panel: of a title, which is bold, and of a unit.
_TITLE: Final = 19
_LETTERS: Final = 26
# Panels in a row, where the series of a metric share one, and where they do not.
_COLUMNS: Final = 3
_NARROW_COLUMNS: Final = 4
_MOST_POINTS: Final = 10
# Positions that are all marked on the axis, rather than round numbers.
_MOST_TICKS: Final = 7
# Series whose last positions differ by more than this factor would squeeze one another on one axis.
_ALIKE: Final = 2.0
# Positions above 0 over a wider range than this are drawn on a logarithmic axis: a straight one crowds them.
_STRAIGHT: Final = 30.0


def curves(analysis: Analysis, lines: Sequence[Series], metrics: Sequence[MetricInfo]) -> Any:
    """A panel for each metric, a line for each series of one axis; bands are intervals of the means.

    Series that go about equally far share a panel; one that goes much further than another, and would squeeze
    it, has its own beside it. The intervals are of each arm by itself: whether two arms differ is told by
    paired differences, which may be clear where the bands overlap.
    """
    groups = _groups(lines)
    abreast = max(1, min((_NARROW_COLUMNS if len(groups) > 1 else _COLUMNS) // len(groups), len(metrics)))
    columns = abreast * len(groups)
    rows = math.ceil(len(metrics) / abreast)
    colors = {id(line): color for line, color in zip(lines, distinct(len(lines)), strict=True)}
    legend = any(len(group) > 1 for group in groups)
    with styled():
        # one panel alone is not stretched over the page
        width = WIDTH if columns > 1 else WIDTH * 0.6
        figure, axes = new_figure(width, 2.4 * rows, rows, columns)
        for number, metric in enumerate(metrics):
            first = number % abreast * len(groups)
            panels = axes[number // abreast][first : first + len(groups)]
            _metric(panels, analysis, groups, metric, colors)
        for number in range(len(metrics) * len(groups), rows * columns):
            axes[number // columns][number % columns].set_visible(False)
        if legend:
            found = [panel.get_legend_handles_labels() for panel in axes[0][: len(groups)]]
            handles = [handle for handles, _ in found for handle in handles]
            labels = [label for _, labels in found for label in labels]
            legend_above(figure, handles, labels)
    return figure


def shows_units(analysis: Analysis, lines: Sequence[Series], metrics: Sequence[MetricInfo]) -> bool:
    """Whether units are drawn as points in at least one panel."""
    return any(
        _are_points(unit_means(analysis.results.of(arm.name, metric.name), analysis.results.unit))
        for metric in metrics
        for line in lines
        for arm in line.arms
    )


def _are_points(units: Array) -> bool:
    return 1 < units.size <= _MOST_POINTS


def _groups(lines: Sequence[Series]) -> list[list[Series]]:
    """The series that share a panel; all in one where there would be too many panels."""
    groups: list[list[Series]] = []
    for line in lines:
        group = next((group for group in groups if _alike(group[0], line)), None)
        if group is None:
            groups.append([line])
        else:
            group.append(line)
    return groups if len(groups) <= _NARROW_COLUMNS else [list(lines)]


def _alike(one: Series, other: Series) -> bool:
    """Whether two series go about equally far."""
    near, far = sorted(max(map(abs, line.positions)) for line in (one, other))
    return far <= _ALIKE * near


def _metric(
    panels: Sequence[Any],
    analysis: Analysis,
    groups: Sequence[Sequence[Series]],
    metric: MetricInfo,
    colors: Mapping[int, str],
) -> None:
    """A metric along all series: panels of one height, the first of which says what it is."""
    first = panels[0]
    # with several groups the panels of a metric are narrow, and its name stands over all of them
    first.set_title(wrapped(metric.heading, _TITLE * len(panels)))
    better = "higher" if metric.sign > 0 else "lower"
    first.set_ylabel("\n".join(filter(None, (wrapped(metric.unit, _LETTERS), f"{better} is better"))))
    for panel, group in zip(panels, groups, strict=True):
        if panel is not first:
            panel.sharey(first)
            panel.tick_params(axis="y", labelleft=False)
        _panel(panel, analysis, group, metric, colors)
        title = group[0].axis.title
        labels = [line.label for line in group if line.label]
        panel.set_xlabel(f"{title}\n{labels[0]}" if len(groups) > 1 and len(labels) == 1 else title)
        for height in (metric.floor, metric.ceiling):
            if height is not None:
                panel.axhline(height, color="#888888", linewidth=0.9, linestyle=(0, (1, 2)), zorder=1.5)
                if panel is first:
                    # on the side that no arm is expected to reach
                    _label(panel, height, "real images", at=1, above=metric.sign > 0)


def _panel(
    panel: Any, analysis: Analysis, lines: Sequence[Series], metric: MetricInfo, colors: Mapping[int, str]
) -> None:
    results = analysis.results
    for line in lines:
        color = colors[id(line)]
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
            units = unit_means(results.of(arm.name, metric.name), results.unit)
            if _are_points(units):
                panel.plot(np.full(units.size, position), units, ".", color=color, markersize=2.5, alpha=0.6)
    base = analysis.estimates[results.baseline, metric.name]
    if not any(arm.name == results.baseline for line in lines for arm in line.arms) and not math.isnan(
        base.mean
    ):
        panel.axhline(base.mean, color=INK, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1.5)
        _label(panel, base.mean, results.arm(results.baseline).title, at=0)
    _positions(panel, lines)
    panel.margins(y=0.12)


def _positions(panel: Any, lines: Sequence[Series]) -> None:
    """The scale of the axis of positions, and its marks."""
    positions = sorted({it for line in lines for it in line.positions})
    if all(line.logarithmic for line in lines) or positions[-1] > _STRAIGHT * positions[0] > 0:
        panel.set_xscale("log")
        panel.set_xticks(positions, [f"{it:g}" for it in positions])
        panel.minorticks_off()
    elif len(positions) <= _MOST_TICKS:
        panel.set_xticks(positions)
        panel.xaxis.set_major_formatter("{x:g}")
    else:
        panel.locator_params(axis="x", nbins=5, steps=(1, 2, 5, 10))


def _label(panel: Any, height: float, text: str, *, at: Literal[0, 1], above: bool = True) -> None:
    """A name at the left or the right end of a horizontal line, over such lines and under curves."""
    panel.annotate(
        text, (at, height), xycoords=("axes fraction", "data"), xytext=(2 - 2 * at, 3 if above else -3),
        textcoords="offset points", ha="right" if at else "left", va="bottom" if above else "top",
        fontsize=7, color="#555555", path_effects=backed(), zorder=1.8,
    )  # fmt: skip
