"""Procedural scenes of one or two flat shapes: what is in them, how they are drawn, what training never sees.

Lengths (centres, radii, margins) are fractions of the image width; y runs down, x runs right. The constants
are written as n/32 because the geometry was laid out on the 32 x 32 grid the bundled model trains at.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final

import attrs
import numpy as np
import torch
from torch import Tensor

SHAPES: Final = ("circle", "square", "triangle", "star", "ring", "cross")
COLORS: Final = ("red", "green", "blue", "yellow", "purple", "cyan")
BACKGROUNDS: Final = ("white", "grey", "black", "pink")
SIZES: Final = ("small", "large")
RELATIONS: Final = ("above", "below", "left of", "right of")

#: The relation of B to A, given that of A to B.
MIRROR: Final = {"above": "below", "below": "above", "left of": "right of", "right of": "left of"}

#: RGB in [0, 1] of every object color and every background.
RGB: Final = {
    "red": (0.90, 0.08, 0.10),
    "green": (0.08, 0.72, 0.15),
    "blue": (0.10, 0.18, 0.95),
    "yellow": (0.98, 0.86, 0.04),
    "purple": (0.66, 0.08, 0.82),
    "cyan": (0.04, 0.80, 0.92),
    "white": (1.00, 1.00, 1.00),
    "grey": (0.50, 0.50, 0.50),
    "black": (0.00, 0.00, 0.00),
    "pink": (1.00, 0.70, 0.80),
}

#: Nominal radius by (number of objects in the scene, size word).
RADII: Final = {
    (1, "small"): 7.0 / 32,
    (1, "large"): 11.5 / 32,
    (2, "small"): 4.6 / 32,
    (2, "large"): 6.0 / 32,
}

#: 4 of the 36 (shape, color) pairs: never drawn in training. No shape and no color occurs twice.
HELD_OUT_PAIRS: Final = frozenset(
    {("circle", "purple"), ("triangle", "cyan"), ("ring", "red"), ("cross", "green")}
)

_HELD_OUT_ONE_WAY: Final = (
    ("triangle", "above", "circle"),
    ("square", "above", "star"),
    ("ring", "above", "cross"),
    ("star", "left of", "circle"),
    ("cross", "left of", "square"),
    ("triangle", "left of", "ring"),
)
#: 12 of the 144 (shape, relation, shape) triples: never drawn in training. Closed under the mirror,
#: because "A above B" and "B below A" are one picture.
HELD_OUT_TRIPLES: Final = frozenset(_HELD_OUT_ONE_WAY) | frozenset(
    (second, MIRROR[relation], first) for first, relation, second in _HELD_OUT_ONE_WAY
)

_MARGIN: Final = 1.0 / 32
_GAP: Final = 1.0 / 32
# How far a centre may lie from where it would be dead centre. Small, so that a small network on a processor
# learns clean outlines; pictures of one caption still differ in place, and in what the caption leaves open.
_JITTER: Final = 1.0 / 32


@attrs.frozen
class Object:
    """One flat shape. `center` is that of its bounding box; `radius` is nominal (see `half_extents`)."""

    shape: str
    color: str
    size: str
    center: tuple[float, float]
    radius: float


@attrs.frozen
class Scene:
    """One or two objects on a flat background; `relation` is that of the first object to the second.

    Raises:
        ValueError: not one or two objects, or a relation that is missing, unknown or not called for.
    """

    objects: tuple[Object, ...]
    background: str
    relation: str | None = None

    def __attrs_post_init__(self) -> None:
        if len(self.objects) not in (1, 2):
            raise ValueError(f"a scene has 1 or 2 objects, not {len(self.objects)}")
        allowed: tuple[str | None, ...] = RELATIONS if len(self.objects) == 2 else (None,)
        if self.relation not in allowed:
            raise ValueError(
                f"the relation in a scene of {len(self.objects)} object(s) is one of {allowed}, "
                f"not {self.relation!r}"
            )


def has_held_out_pair(scene: Scene) -> bool:
    """Whether an object of the scene is one of `HELD_OUT_PAIRS`."""
    return any((item.shape, item.color) in HELD_OUT_PAIRS for item in scene.objects)


def has_held_out_triple(scene: Scene) -> bool:
    """Whether the scene is one of `HELD_OUT_TRIPLES`."""
    if scene.relation is None:
        return False
    first, second = scene.objects
    return (first.shape, scene.relation, second.shape) in HELD_OUT_TRIPLES


def is_held_out(scene: Scene) -> bool:
    """Whether training never sees this combination: `has_held_out_pair` or `has_held_out_triple`."""
    return has_held_out_pair(scene) or has_held_out_triple(scene)


def sample_scene(rng: np.random.Generator, objects: int) -> Scene:
    """Draw a scene of `objects` (1 or 2) objects, every attribute uniform, held-out combinations included.

    Two objects never share both shape and color, lie inside the frame with a margin of 1/32, and are
    at least 1/32 apart.
    """
    background = _pick(rng, BACKGROUNDS)
    if objects == 1:
        return Scene((_sample_single(rng),), background)
    relation = _pick(rng, RELATIONS)
    first = (_pick(rng, SHAPES), _pick(rng, COLORS))
    second = (_pick(rng, SHAPES), _pick(rng, COLORS))
    while second == first:
        second = (_pick(rng, SHAPES), _pick(rng, COLORS))
    # The object nearer the origin of its axis is the one that is above, or left of, the other.
    first_is_near = relation in ("above", "left of")
    axis = 0 if relation in ("above", "below") else 1
    return Scene(
        (
            _sample_half(rng, *first, axis=axis, near=first_is_near),
            _sample_half(rng, *second, axis=axis, near=not first_is_near),
        ),
        background,
        relation,
    )


def half_extents(shape: str, radius: float) -> tuple[float, float]:
    """Half height and half width of the shape's bounding box, in the unit of `radius`."""
    height, width = _HALF_EXTENTS[shape]
    return height * radius, width * radius


def coverage(shape: str, centers: Tensor, radii: Tensor, size: int) -> Tensor:
    """Anti-aliased masks of one shape at many places.

    Args:
        shape: one of `SHAPES`.
        centers: [N, 2], (y, x) in fractions of the image width.
        radii: [N], nominal, in fractions of the image width.
        size: height and width of the masks, in pixels.

    Returns:
        [N, size, size] in [0, 1]: about the share of each pixel that the shape covers, from the signed
        distance of the pixel centre to the outline (a box filter one pixel wide).
    """
    axis = (torch.arange(size, dtype=centers.dtype, device=centers.device) + 0.5) / size
    scale = radii[:, None, None]
    y = (axis[None, :, None] - centers[:, 0, None, None]) / scale
    x = (axis[None, None, :] - centers[:, 1, None, None]) / scale
    distance = _DISTANCES[shape](y, x) * scale * size
    return (0.5 - distance).clamp_(0.0, 1.0)


def render(scenes: Sequence[Scene], size: int = 32) -> Tensor:
    """Draw scenes: float32 [B, 3, size, size] in [-1, 1], later objects over earlier ones."""
    images = _palette([scene.background for scene in scenes])[:, :, None, None].repeat(1, 1, size, size)
    for slot in range(2):
        for shape in SHAPES:
            rows = [
                row
                for row, scene in enumerate(scenes)
                if slot < len(scene.objects) and scene.objects[slot].shape == shape
            ]
            if not rows:
                continue
            items = [scenes[row].objects[slot] for row in rows]
            centers = torch.tensor([item.center for item in items], dtype=torch.float32)
            radii = torch.tensor([item.radius for item in items], dtype=torch.float32)
            alpha = coverage(shape, centers, radii, size)[:, None]
            color = _palette([item.color for item in items])[:, :, None, None]
            images[rows] = torch.lerp(images[rows], color, alpha)
    return images


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    # Generator.random is several times cheaper per scalar than Generator.choice or integers.
    return options[int(rng.random() * len(options))]


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * rng.random()


def _sample_single(rng: np.random.Generator) -> Object:
    shape, color, size = _pick(rng, SHAPES), _pick(rng, COLORS), _pick(rng, SIZES)
    radius = RADII[1, size] * _uniform(rng, 0.98, 1.02)
    center = tuple(
        0.5 + _uniform(rng, -1.0, 1.0) * min(_JITTER, 0.5 - _MARGIN - extent)
        for extent in half_extents(shape, radius)
    )
    return Object(shape, color, size, (center[0], center[1]), radius)


def _sample_half(rng: np.random.Generator, shape: str, color: str, *, axis: int, near: bool) -> Object:
    """An object in the near or the far half of the frame along `axis` (0 is y, 1 is x)."""
    size = _pick(rng, SIZES)
    radius = RADII[2, size] * _uniform(rng, 0.98, 1.02)
    extents = half_extents(shape, radius)
    # Each object keeps half of the gap on its own side of the middle, so no pair can touch.
    low = max(7.8 / 32, _MARGIN + extents[axis])
    high = min(8.6 / 32, 0.5 - _GAP / 2 - extents[axis])
    along = _uniform(rng, low, high)
    across = 0.5 + _uniform(rng, -1.0, 1.0) * _JITTER
    if not near:
        along = 1.0 - along
    return Object(shape, color, size, (along, across) if axis == 0 else (across, along), radius)


def _palette(names: Sequence[str]) -> Tensor:
    """[len(names), 3] in [-1, 1]."""
    return torch.tensor([RGB[name] for name in names], dtype=torch.float32) * 2.0 - 1.0


# Outlines at nominal radius 1. The disc sets the scale; the others are sized to weigh about as much to the
# eye. Triangle and star are centred on their bounding boxes.
_SQUARE_HALF_SIDE: Final = 0.88
_TRIANGLE_RADIUS: Final = 1.25
_STAR_RADIUS: Final = 1.2
_STAR_INNER: Final = 0.42 * _STAR_RADIUS
_RING_OUTER: Final = 1.05
_RING_INNER: Final = 0.55 * _RING_OUTER
_CROSS_HALF_SPAN: Final = 1.05
_CROSS_HALF_ARM: Final = 0.34 * _CROSS_HALF_SPAN
_STAR_HALF_HEIGHT: Final = _STAR_RADIUS * (1 + math.cos(math.pi / 5)) / 2

_HALF_EXTENTS: Final = {
    "circle": (1.0, 1.0),
    "square": (_SQUARE_HALF_SIDE, _SQUARE_HALF_SIDE),
    "triangle": (0.75 * _TRIANGLE_RADIUS, math.sqrt(0.75) * _TRIANGLE_RADIUS),
    "star": (_STAR_HALF_HEIGHT, _STAR_RADIUS * math.sin(math.pi * 2 / 5)),
    "ring": (_RING_OUTER, _RING_OUTER),
    "cross": (_CROSS_HALF_SPAN, _CROSS_HALF_SPAN),
}


def _box(y: Tensor, x: Tensor, half_height: float, half_width: float) -> Tensor:
    # The largest of the edge distances instead of the Euclidean one outside corners: it keeps corners sharp.
    return torch.maximum(y.abs() - half_height, x.abs() - half_width)


def _circle(y: Tensor, x: Tensor) -> Tensor:
    return torch.hypot(y, x) - 1.0


def _square(y: Tensor, x: Tensor) -> Tensor:
    return _box(y, x, _SQUARE_HALF_SIDE, _SQUARE_HALF_SIDE)


def _triangle(y: Tensor, x: Tensor) -> Tensor:
    half_height = 0.75 * _TRIANGLE_RADIUS
    # Sides at 60 degrees through the apex (y = -half_height, x = 0), and the base at y = half_height.
    sides = x.abs() * math.sqrt(0.75) - (y + half_height) * 0.5
    return torch.maximum(sides, y - half_height)


def _star(y: Tensor, x: Tensor) -> Tensor:
    # The bounding box reaches one outer radius up but only cos(36 degrees) of it down.
    y = y - (_STAR_RADIUS - _STAR_HALF_HEIGHT)
    radius = torch.hypot(y, x)
    wedge = math.pi / 5
    # The angle from the nearest point of the star; each side of a point is one straight line.
    angle = torch.remainder(torch.atan2(x, -y) + wedge, 2 * wedge).sub_(wedge).abs_()
    inner_x, inner_y = _STAR_INNER * math.cos(wedge), _STAR_INNER * math.sin(wedge)
    length = math.hypot(_STAR_RADIUS - inner_x, inner_y)
    normal_x, normal_y = inner_y / length, (_STAR_RADIUS - inner_x) / length
    return radius * (torch.cos(angle) * normal_x + torch.sin(angle) * normal_y) - _STAR_RADIUS * normal_x


def _ring(y: Tensor, x: Tensor) -> Tensor:
    middle, half_width = (_RING_OUTER + _RING_INNER) / 2, (_RING_OUTER - _RING_INNER) / 2
    return (torch.hypot(y, x) - middle).abs() - half_width


def _cross(y: Tensor, x: Tensor) -> Tensor:
    upright = _box(y, x, _CROSS_HALF_SPAN, _CROSS_HALF_ARM)
    return torch.minimum(upright, _box(y, x, _CROSS_HALF_ARM, _CROSS_HALF_SPAN))


_DISTANCES: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "ring": _ring,
    "cross": _cross,
}
