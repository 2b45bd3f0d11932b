"""The Pareto front: arms that no other beats in everything that counts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

from glidepath.plugins.studies.report.names import Named, Segment, write_names
from glidepath.plugins.studies.report.style import COLORS, INK, WIDTH, new_figure, styled, wrapped
from glidepath.plugins.studies.statistics.analysis import Analysis, Estimate
from glidepath.plugins.studies.statistics.results import Arm, MetricInfo

#: Beyond so many arms only those on the front are named.
MOST_NAMES: Final = 16
# Of the length of an axis: the room beyond the last value that a score can have.
_ROOM: Final = 0.15

# Of a label, in a line.
_LETTERS: Final = 44

Bounds = tuple[float, float]


def front(analysis: Analysis, metrics: Sequence[MetricInfo]) -> tuple[Arm, ...]:
    """Arms whose means no other arm reaches in all metrics while it exceeds one; those that failed left "
    "out."""
    known = {}
    for arm in analysis.results.arms:
        point = _means(analysis, arm, metrics)
        if not any(map(math.isnan, point)):
            known[arm.name] = tuple(metric.sign * value for metric, value in zip(metrics, point, strict=True))
    return tuple(
        arm
        for arm in analysis.results.arms
        if arm.name in known and not any(_beats(other, known[arm.name]) for other in known.values())
    )


def pareto(analysis: Analysis, metrics: Sequence[MetricInfo]) -> Any:
    """The first metric across, the second up, a third as colour.

    metrics: two or three. Large points are on the front, over all of them.
    """
    across, up, *third = metrics
    best = front(analysis, metrics)
    with styled():
        figure, axes = new_figure(WIDTH * 0.85, 3.9)
        panel = axes[0][0]
        colors = _colors(analysis, third[0]) if third else {}
        for arm in analysis.results.arms:
            _mark(panel, analysis, arm, across, up, arm in best, colors.get(arm.name, COLORS[0]))
        if third:
            _scale(panel, analysis, third[0])
        panel.set_xlabel(_label(across, "→" if across.sign > 0 else "←"))
        panel.set_ylabel(_label(up, "↑" if up.sign > 0 else "↓"))
        panel.margins(0.2, 0.12)  # room for names beside the outermost points
        figure.draw_without_rendering()
        _within(panel.xaxis, analysis.results.bounds(across.name))
        _within(panel.yaxis, analysis.results.bounds(up.name))
        figure.draw_without_rendering()  # the room of its labels is another
        # placed by hand from here on: names would otherwise move the axes that they were placed on
        figure.set_layout_engine("none")
        _name(panel, analysis, across, up, best)
    return figure


def legend(analysis: Analysis, metrics: Sequence[MetricInfo]) -> str:
    """What the signs of the figure mean, for its caption."""
    found = [
        analysis.estimates[arm.name, metric.name] for arm in analysis.results.arms for metric in metrics[:2]
    ]
    bars = not all(math.isnan(it.low) for it in found)
    told = (
        "Large: no other arm is at least as good in all of them and better in one; square: the baseline"
        f"{'; bars: intervals' if bars else ''}. "
    )
    chance = "where bars overlap it may be chance" if bars else "it may be chance"
    return f"{told}The front is one of means: {chance}."


def _mark(
    panel: Any, analysis: Analysis, arm: Arm, x: MetricInfo, y: MetricInfo, best: bool, color: Any
) -> None:
    across, up = analysis.estimates[arm.name, x.name], analysis.estimates[arm.name, y.name]
    panel.errorbar(
        across.mean, up.mean, xerr=_error(across), yerr=_error(up), fmt="none", ecolor="#999999",
        elinewidth=0.7, zorder=1,
    )  # fmt: skip
    square = arm.name == analysis.results.baseline
    panel.plot(
        across.mean, up.mean, "s" if square else "o", markersize=8 if best else 4.5, color=color,
        markeredgecolor=INK if best else "#999999", markeredgewidth=0.8 if best else 0.5,
        zorder=3 if best else 2,
    )  # fmt: skip


def _colors(analysis: Analysis, metric: MetricInfo) -> dict[str, Any]:
    import matplotlib

    values = {arm.name: analysis.estimates[arm.name, metric.name].mean for arm in analysis.results.arms}
    scale = _normaliser(list(values.values()))
    shades = matplotlib.colormaps["viridis"]
    return {name: shades(scale(value)) for name, value in values.items() if not math.isnan(value)}


def _scale(panel: Any, analysis: Analysis, metric: MetricInfo) -> None:
    from matplotlib.cm import ScalarMappable

    values = [analysis.estimates[arm.name, metric.name].mean for arm in analysis.results.arms]
    shown = ScalarMappable(_normaliser(values), "viridis")
    bar = panel.figure.colorbar(
        shown, ax=panel, label=_label(metric, "↑" if metric.sign > 0 else "↓"), aspect=30
    )
    bar.outline.set_visible(False)


def _normaliser(values: Sequence[float]) -> Any:
    from matplotlib.colors import Normalize

    known = [value for value in values if not math.isnan(value)] or [0.0]
    low, high = min(known), max(known)
    return Normalize(low, high if high > low else low + 1)


def _name(panel: Any, analysis: Analysis, x: MetricInfo, y: MetricInfo, best: Sequence[Arm]) -> None:
    """Write the arms' names, of many arms those on the front."""
    arms = analysis.results.arms
    means = {
        arm.name: (analysis.estimates[arm.name, x.name].mean, analysis.estimates[arm.name, y.name].mean)
        for arm in arms
    }
    points = {name: point for name, point in means.items() if not any(map(math.isnan, point))}
    bars = [bar for name in points for bar in _bars(analysis, name, x, y)]
    # the front has the first choice of places
    shown = sorted(arms, key=lambda it: it not in best) if len(arms) <= MOST_NAMES else best
    named = [
        Named(text=arm.title, point=points[arm.name], color=INK if arm in best else "#666666")
        for arm in shown
        if arm.name in points
    ]
    write_names(panel, named, list(points.values()), bars)


def _bars(analysis: Analysis, arm: str, x: MetricInfo, y: MetricInfo) -> Iterator[Segment]:
    """The intervals of an arm that has some."""
    across, up = analysis.estimates[arm, x.name], analysis.estimates[arm, y.name]
    if not math.isnan(across.low):
        yield (across.low, up.mean), (across.high, up.mean)
    if not math.isnan(up.low):
        yield (across.mean, up.low), (across.mean, up.high)


def _means(analysis: Analysis, arm: Arm, metrics: Sequence[MetricInfo]) -> tuple[float, ...]:
    return tuple(analysis.estimates[arm.name, metric.name].mean for metric in metrics)


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Of values of which the higher are better."""
    return all(a >= b for a, b in zip(one, other, strict=True)) and one != other


def _error(estimate: Estimate) -> list[list[float]] | None:
    if math.isnan(estimate.low):
        return None
    return [[estimate.mean - estimate.low], [estimate.high - estimate.mean]]


def _within(axis: Any, bounds: Bounds) -> None:
    """End an axis where the score does; beyond it there is room for names alone."""
    least, most = bounds
    low, high = sorted(axis.get_view_interval())
    room = _ROOM * (min(high, most) - max(low, least))
    low, high = max(low, least - room), min(high, most + room)
    ends = max(low, least), min(high, most)
    marks = [float(mark) for mark in axis.get_majorticklocs() if ends[0] <= round(mark, 12) <= ends[1]]
    axis.set_ticks(marks)
    if axis.axis_name == "x":
        axis.axes.set_xlim(low, high)
    else:
        axis.axes.set_ylim(low, high)
    axis.axes.spines["bottom" if axis.axis_name == "x" else "left"].set_bounds(*ends)


def _label(metric: MetricInfo, arrow: str) -> str:
    return wrapped(f"{metric.heading}{f' ({metric.unit})' if metric.unit else ''}, better {arrow}", _LETTERS)
