"""Names beside points: not over one another, over points or outside, with a line to a point that is far."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

import attrs

from glidepath.plugins.studies.report.style import backed
from glidepath.registry import needed

#: In points: of the text, the gap between a name and what it must not touch, how near a name needs no line.
_SIZE: Final = 7.5
_GAP: Final = 2.0
_NEAR: Final = 14.0
#: In points, from a point to its name: where places are tried.
_RADII: Final = (5.0, 8.0, 13.0, 20.0, 28.0, 38.0, 50.0, 64.0, 80.0, 100.0, 125.0)
_ANGLES: Final = 24
_ROUNDS: Final = 4

Pair = tuple[float, float]
Segment = tuple[Pair, Pair]


@attrs.frozen(kw_only=True)
class Named:
    """A name, the data coordinates of its point, and its colour."""

    text: str
    point: Pair
    color: str


@attrs.frozen
class _Box:
    left: float
    low: float
    right: float
    high: float

    def grown(self, by: float) -> _Box:
        return _Box(self.left - by, self.low - by, self.right + by, self.high + by)

    def overlaps(self, other: _Box) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.low < other.high
            and other.low < self.high
        )

    def contains(self, point: Pair) -> bool:
        return self.left < point[0] < self.right and self.low < point[1] < self.high

    def distance(self, point: Pair) -> float:
        """From its edge; 0 of a point inside."""
        x, y = point
        return math.hypot(max(self.left - x, 0, x - self.right), max(self.low - y, 0, y - self.high))

    def is_crossed(self, segment: Segment) -> bool:
        """Whether a segment runs through it (Liang and Barsky 1984)."""
        (x, y), (to_x, to_y) = segment
        begin, end = 0.0, 1.0
        for step, before, after in (
            (to_x - x, self.left - x, self.right - x),
            (to_y - y, self.low - y, self.high - y),
        ):
            if step == 0:
                if not before < 0 < after:
                    return False
                continue
            enter, leave = sorted((before / step, after / step))
            begin, end = max(begin, enter), min(end, leave)
        return begin < end


def write_names(panel: Any, named: Sequence[Named], points: Sequence[Pair], bars: Sequence[Segment]) -> None:
    """Write names; those that come first have the first choice.

    points, bars: of all that is drawn, in data coordinates. A name avoids points, and bars where it can. The
    axes must not move afterwards.
    """
    scale = panel.figure.dpi / 72
    drawn = _Drawn(
        room=_Box(*panel.bbox.extents),
        points=[_moved(panel, point) for point in points],
        bars=[(_moved(panel, start), _moved(panel, end)) for start, end in bars],
        scale=scale,
    )
    choices = [
        [(drawn.cost(it), it) for it in _places(_moved(panel, name.point), *_extent(name.text, scale), scale)]
        for name in named
    ]
    chosen: dict[int, _Place] = {}
    for _ in range(_ROUNDS):  # each gives way to those that were placed after it
        for number, places in enumerate(choices):
            others = [place for other, place in chosen.items() if other != number]
            chosen[number] = min(places, key=lambda it: it[0] + drawn.clash(it[1], others))[1]
    for number, name in enumerate(named):
        place = chosen[number]
        x, y = (middle - at for middle, at in zip(place.leader[0], place.leader[1], strict=True))
        line = {"arrowstyle": "-", "color": "#999999", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2}
        panel.annotate(
            name.text, name.point, xytext=(x / scale, y / scale), textcoords="offset points", ha="center",
            va="center", fontsize=_SIZE, color=name.color, arrowprops=line if place.is_far else None,
            path_effects=backed(), zorder=4,
        )  # fmt: skip


@attrs.frozen
class _Place:
    """Where a name may stand: its box, how far that is from its point, and the line between them."""

    box: _Box
    distance: float
    leader: Segment

    @property
    def is_far(self) -> bool:
        return self.distance > _NEAR


def _places(at: Pair, width: float, height: float, scale: float) -> Iterator[_Place]:
    """Places around a point, the nearest first and, of those, the ones to its right."""
    for radius in _RADII:
        for turn in range(_ANGLES):
            # never along an axis, where a line would pass for an interval
            angle = math.pi / _ANGLES * (turn + 1 if turn % 2 == 0 else -turn)
            x = at[0] + (radius * scale + width / 2) * math.cos(angle)
            y = at[1] + (radius * scale + height / 2) * math.sin(angle)
            box = _Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            yield _Place(box, radius, ((x, y), at))


@attrs.frozen(kw_only=True)
class _Drawn:
    """What is there before the names are, in pixels. scale: of a point."""

    room: _Box
    points: Sequence[Pair]
    bars: Sequence[Segment]
    scale: float

    def cost(self, place: _Place) -> float:
        """How bad a place is by itself: outside or over a point is worst, then over a bar, or far away."""
        box, wide, room = place.box, place.box.grown(_GAP * self.scale), self.room
        outside = (
            wide.left < room.left or wide.right > room.right or wide.low < room.low or wide.high > room.high
        )
        cost = 100.0 * outside + 0.4 * place.distance
        cost += 60 * sum(box.grown(2 * _GAP * self.scale).contains(point) for point in self.points)
        dot, near = self._dot(place.leader[1]), box.grown(self.scale)
        for bar in self.bars:
            if dot.is_crossed(bar):  # its own: through its name, it reads as striking that out
                cost += 20 * near.is_crossed(bar)
            else:
                cost += 4 * box.is_crossed(bar)
        own, rest = place.leader[1], [point for point in self.points if point != place.leader[1]]
        if place.is_far:
            cost += 30 * sum(self._dot(point).is_crossed(place.leader) for point in rest)
        else:  # without a line, a name is taken for that of the nearest point
            cost += 15 * any(box.distance(point) < box.distance(own) for point in rest)
        return cost

    def clash(self, place: _Place, others: Sequence[_Place]) -> float:
        """How bad a place is beside other names: over one of them, or over or under the line of one."""
        wide = place.box.grown(_GAP * self.scale)
        cost = 100.0 * sum(wide.overlaps(other.box) for other in others)
        cost += 30 * sum(other.is_far and place.box.is_crossed(other.leader) for other in others)
        if place.is_far:
            cost += 30 * sum(other.box.is_crossed(place.leader) for other in others)
        return cost

    def _dot(self, point: Pair) -> _Box:
        return _Box(*point, *point).grown(2 * _GAP * self.scale)


def _moved(panel: Any, point: Pair) -> Pair:
    x, y = panel.transData.transform(point)
    return float(x), float(y)


def _extent(text: str, scale: float) -> Pair:
    """The width and height of a name, in pixels: of its outlines, which a raster of any size comes near."""
    font = needed("matplotlib.font_manager", "figures", extra="studies").FontProperties(
        family="sans-serif", size=_SIZE
    )
    outlines = needed("matplotlib.textpath", "figures", extra="studies").TextPath((0, 0), text, prop=font)
    return float(outlines.get_extents().width) * 1.04 * scale, 1.2 * _SIZE * scale
