"""The Pareto front: arms that no other beats in everything that counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from glidepath.plugins.studies.report.style import COLORS, INK, WIDTH, new_figure, styled
from glidepath.plugins.studies.results import Arm, Metric
from glidepath.plugins.studies.statistics import Analysis, Estimate

#: Beyond so many arms only those on the front are named.
MOST_NAMES: Final = 16
# Places around a point where its name is tried, in points, the best first.
_PLACES: Final = [
    (8, 5),
    (8, -6),
    (-8, 5),
    (-8, -6),
    (0, 11),
    (0, -11),
    (8, 14),
    (-8, 14),
    (8, -15),
    (-8, -15),
]


def front(analysis: Analysis, metrics: Sequence[Metric]) -> tuple[Arm, ...]:
    """Arms whose means no other arm reaches in all metrics while it exceeds one; those that failed left "
    "out."""
    known = {}
    for arm in analysis.results.arms:
        point = _point(analysis, arm, metrics)
        if not any(map(math.isnan, point)):
            known[arm.name] = tuple(metric.sign * value for metric, value in zip(metrics, point, strict=True))
    return tuple(
        arm
        for arm in analysis.results.arms
        if arm.name in known and not any(_beats(other, known[arm.name]) for other in known.values())
    )


def pareto(analysis: Analysis, metrics: Sequence[Metric]) -> Any:
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
        panel.margins(0.12)
        figure.draw_without_rendering()
        # placed by hand from here on: names would otherwise move the axes that they were placed on
        figure.set_layout_engine("none")
        _name(panel, analysis, across, up, best)
    return figure


def _mark(panel: Any, analysis: Analysis, arm: Arm, x: Metric, y: Metric, best: bool, color: Any) -> None:
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


def _colors(analysis: Analysis, metric: Metric) -> dict[str, Any]:
    import matplotlib

    values = {arm.name: analysis.estimates[arm.name, metric.name].mean for arm in analysis.results.arms}
    scale = _normaliser(list(values.values()))
    shades = matplotlib.colormaps["viridis"]
    return {name: shades(scale(value)) for name, value in values.items() if not math.isnan(value)}


def _scale(panel: Any, analysis: Analysis, metric: Metric) -> None:
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


def _name(panel: Any, analysis: Analysis, x: Metric, y: Metric, best: Sequence[Arm]) -> None:
    """Write names where they hide neither a point nor one another, as far as there is room."""
    arms = analysis.results.arms
    points = {arm.name: _point(analysis, arm, (x, y)) for arm in arms}
    points = {name: point for name, point in points.items() if not any(map(math.isnan, point))}
    places = {name: panel.transData.transform(point) for name, point in points.items()}
    renderer = panel.figure.canvas.get_renderer()
    taken: list[Any] = []
    for arm in sorted(arms, key=lambda it: it not in best):  # the front has the first choice of places
        if arm.name not in points or (arm not in best and len(arms) > MOST_NAMES):
            continue
        text = panel.annotate(
            arm.title, points[arm.name], xytext=(0, 0), textcoords="offset points", va="center", fontsize=7.5,
            color=INK if arm in best else "#666666",
        )  # fmt: skip
        choices = []
        for order, place in enumerate(_PLACES):
            _put(text, place)
            box = text.get_window_extent(renderer).expanded(1.03, 1.05)
            hidden = sum(box.contains(*it) for it in places.values())
            crossed = sum(box.overlaps(it) for it in taken)
            outside = box.x1 > panel.bbox.x1 or box.x0 < panel.bbox.x0 or box.y0 < panel.bbox.y0
            choices.append((3 * crossed + 2 * hidden + 3 * outside, order, box))
        _, order, box = min(choices, key=lambda it: it[:2])
        _put(text, _PLACES[order])
        taken.append(box)


def _put(text: Any, place: tuple[int, int]) -> None:
    text.set_position(place)
    text.set_horizontalalignment("left" if place[0] > 0 else "right" if place[0] < 0 else "center")


def _point(analysis: Analysis, arm: Arm, metrics: Sequence[Metric]) -> tuple[float, ...]:
    return tuple(analysis.estimates[arm.name, metric.name].mean for metric in metrics)


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Of values of which the higher are better."""
    return all(a >= b for a, b in zip(one, other, strict=True)) and one != other


def _error(estimate: Estimate) -> list[list[float]] | None:
    if math.isnan(estimate.low):
        return None
    return [[estimate.mean - estimate.low], [estimate.high - estimate.mean]]


def _label(metric: Metric, arrow: str) -> str:
    return f"{metric.heading}{f' ({metric.unit})' if metric.unit else ''}, better {arrow}"
