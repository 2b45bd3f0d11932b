"""What a caption says, as answers to fixed questions: what a text encoder is taught first."""

from typing import Final

from glidepath.plugins.shapes.captions import Claim, ClaimedObject
from glidepath.plugins.shapes.scenes import BACKGROUNDS, COLORS, SHAPES, SIZES

_LEFT_OPEN: Final = -1
_LAYOUTS: Final = {None: 0, "above": 1, "below": 1, "left of": 2, "right of": 2}
_OF_OBJECT: Final = (len(COLORS), len(SHAPES), len(SIZES))

#: How many answers each question has: one object, two above each other, or two beside each other; color,
#: shape and size of the only, upper or left object; the same of the other; the background.
ANSWERS: Final = (3, *_OF_OBJECT, *_OF_OBJECT, len(BACKGROUNDS))


def facts_of(claim: Claim) -> tuple[int, ...]:
    """The answer to each question, in [0, answers); -1 where the claim leaves it open."""
    objects = claim.objects if claim.relation in (None, "above", "left of") else claim.objects[::-1]
    layout = _LAYOUTS[claim.relation]
    described = [answer for item in objects for answer in _of_object(item)]
    described += [_LEFT_OPEN] * (2 * len(_OF_OBJECT) - len(described))
    background = _LEFT_OPEN if claim.background is None else BACKGROUNDS.index(claim.background)
    return (layout, *described, background)


def _of_object(item: ClaimedObject) -> tuple[int, int, int]:
    size = _LEFT_OPEN if item.size is None else SIZES.index(item.size)
    return COLORS.index(item.color), SHAPES.index(item.shape), size
