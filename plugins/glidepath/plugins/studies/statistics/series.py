"""Arms in order along a numeric axis, and arms as a complete grid: what curves and decompositions are of."""

from __future__ import annotations

import itertools
import math

import attrs

from glidepath.plugins.studies.statistics.results import Arm, Axis, StudyResults, Value

#: A trend, or a curve, has so many points at least.
LEAST: int = 3


@attrs.frozen(kw_only=True)
class Series:
    """Arms that differ in one numeric axis alone, in its order.

    label: what they have in common and other series have not; "" where there is one series.
    """

    axis: Axis
    label: str
    arms: tuple[Arm, ...]
    positions: tuple[float, ...]

    @property
    def logarithmic(self) -> bool:
        """Whether the axis is drawn so, and can be."""
        return self.axis.scale == "log" and min(self.positions) > 0


def series(results: StudyResults, axis: Axis) -> list[Series]:
    """The series of a numeric axis: one for each setting of the others; none where it has no numbers."""
    groups: dict[tuple[tuple[str, Value], ...], list[Arm]] = {}
    for arm in results.arms:
        value = arm.values.get(axis.name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            continue
        others = tuple((name, it) for name, it in sorted(arm.values.items()) if name != axis.name)
        groups.setdefault(others, []).append(arm)
    common = set.intersection(*(set(it) for it in groups)) if len(groups) > 1 else set()
    found = []
    for others, arms in groups.items():
        ordered = sorted(arms, key=lambda arm: _number(arm, axis))
        positions = tuple(_number(arm, axis) for arm in ordered)
        if len(set(positions)) < max(LEAST, len(positions)):
            continue
        own = [f"{name} {value}" for name, value in others if (name, value) not in common]
        label = ", ".join(own) if len(groups) > 1 else ""
        found.append(Series(axis=axis, label=label, arms=tuple(ordered), positions=positions))
    return found


@attrs.frozen(kw_only=True)
class Grid:
    """A complete grid: an arm for each combination of values, in the order of `itertools.product`."""

    axes: tuple[Axis, ...]
    values: tuple[tuple[Value, ...], ...]
    arms: tuple[Arm, ...]


def grid(results: StudyResults) -> Grid | None:
    """The grid that the arms are; None where one is missing, doubled, or has another axis."""
    axes = tuple(it for it in results.axes if len({arm.values.get(it.name) for arm in results.arms}) > 1)
    if not axes or any(axis.name not in arm.values for axis in axes for arm in results.arms):
        return None
    levels = tuple(tuple(dict.fromkeys(arm.values[axis.name] for arm in results.arms)) for axis in axes)
    by_place = {tuple(arm.values[axis.name] for axis in axes): arm for arm in results.arms}
    places = list(itertools.product(*levels))
    if len(places) != len(results.arms) or any(place not in by_place for place in places):
        return None
    return Grid(axes=axes, values=levels, arms=tuple(by_place[place] for place in places))


def _number(arm: Arm, axis: Axis) -> float:
    value = arm.values[axis.name]
    assert isinstance(value, int | float)
    return float(value)
