"""Judges whether an image of shapes shows what its caption says."""

import itertools
from collections.abc import Sequence

import attrs
import numpy as np
import numpy.typing as npt
from torch import Tensor

from glidepath.plugins.shapes.captions import Claim, parse
from glidepath.plugins.shapes.reader import Reading, ReadObject, read, size_word


@attrs.frozen
class Judgement:
    """Which attributes of a caption its image gets right; None where the caption does not say.

    `shape`, `color` and `size` are right if they are so of every claimed object. `count` is right if the
    image shows as many objects as the caption claims, no fewer and no more.
    """

    count: bool
    shape: bool
    color: bool
    size: bool | None
    background: bool | None
    relation: bool | None

    @property
    def all_right(self) -> bool:
        """Whether nothing that the caption says is wrong."""
        return False not in attrs.astuple(self)


def judge(image: Tensor | npt.NDArray[np.generic], caption: str) -> Judgement:
    """Judge one image, [3, S, S] as for `read`, against its caption.

    Raises:
        ValueError: as `read` and `parse`.
    """
    return judge_reading(read(image[None])[0], parse(caption))


def judge_reading(reading: Reading, claim: Claim) -> Judgement:
    """Judge what was read against what is claimed.

    Claimed objects are paired with read ones so that as many shapes and colors as possible are right. With
    an object too many, the claimed ones may all be found, but `count` is wrong; with one missing, its shape,
    color, claimed size and relation are wrong as well.
    """
    options: list[Sequence[ReadObject | None]] = list(
        itertools.permutations(
            [*reading.objects, *[None] * max(0, len(claim.objects) - len(reading.objects))],
            len(claim.objects),
        )
    )
    return max(
        (_judge_pairing(reading, claim, option) for option in options),
        key=lambda judged: (judged[0], judged[1].relation is True, judged[1].size is True),
    )[1]


def relation_between(first: tuple[float, float], second: tuple[float, float]) -> str:
    """The relation of a centre (y, x) to another one, along the axis on which they are further apart."""
    down, right = first[0] - second[0], first[1] - second[1]
    if abs(down) > abs(right):
        return "below" if down > 0 else "above"
    return "right of" if right > 0 else "left of"


def _judge_pairing(
    reading: Reading, claim: Claim, option: Sequence[ReadObject | None]
) -> tuple[int, Judgement]:
    """The number of right shapes and colors under this pairing of claimed with read objects, and the rest."""
    pairs = list(zip(claim.objects, option, strict=True))
    shapes = [item is not None and item.shape == claimed.shape for claimed, item in pairs]
    colors = [item is not None and item.color == claimed.color for claimed, item in pairs]
    # The claimed number of objects sets the scale: one object too many must not turn "small" into "large".
    sizes = [
        item is not None and size_word(item.radius, len(claim.objects)) == claimed.size
        for claimed, item in pairs
        if claimed.size is not None
    ]
    relation: bool | None = None
    if claim.relation is not None:
        first, second = option
        relation = (
            first is not None
            and second is not None
            and relation_between(first.center, second.center) == claim.relation
        )
    judged = Judgement(
        count=len(reading.objects) == len(claim.objects),
        shape=all(shapes),
        color=all(colors),
        size=all(sizes) if sizes else None,
        background=None if claim.background is None else reading.background == claim.background,
        relation=relation,
    )
    return sum(shapes) + sum(colors), judged
