"""Which pairs are kept from training, so that composing can be measured; every word is trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from glidepath.plugins.emoji.styles import STYLES, TONES, colour_and_shape
from glidepath.plugins.emoji.table import HELD

#: (colour, shape) pairs that training sees in no style.
COLOURED: Final = frozenset(
    {
        ("purple", "heart"), ("orange", "heart"),
        ("green", "circle"), ("brown", "circle"),
        ("red", "square"), ("blue", "square"),
    }
)  # fmt: skip

_ONE_STYLE: Final = 200
_TWO_STYLES: Final = 50
_ONE_TONE: Final = 34

_OF_COLOUR: Final = HELD.index("colour")
_OF_TONE: Final = HELD.index("tone")


class HeldOut:
    """Which rows of a table are held out: decided by hashes of names, whatever order they stand in."""

    def __init__(self, in_every_style: Iterable[str], toned: Iterable[str]) -> None:
        """in_every_style: things drawn in every style, without a skin tone; toned: with every one."""
        ranked = sorted((name for name in in_every_style if not is_held_colour(name)), key=_rank)
        self._styles = {name: {_rank(name) % len(STYLES)} for name in ranked[:_ONE_STYLE]}
        for name in ranked[_ONE_STYLE : _ONE_STYLE + _TWO_STYLES]:
            self._styles[name] = set(range(len(STYLES))) - {_rank(name) % len(STYLES)}
        tones = range(1, len(TONES))
        self._tone = {name: tones[_rank(name) % len(tones)] for name in sorted(toned, key=_rank)[:_ONE_TONE]}

    def why(self, name: str, style: int, tone: int) -> int:
        """The index into `HELD` of the reason for which a picture is held out; 0: it is not."""
        if is_held_colour(name):
            return _OF_COLOUR
        styles = self._styles.get(name, set())
        if style in styles:
            return HELD.index("style" if len(styles) == 1 else "style-of-two")
        return _OF_TONE if tone and self._tone.get(name) == tone else 0


def is_held_colour(name: str) -> bool:
    """Whether a name says a colour of a shape that training does not see together."""
    return colour_and_shape(name) in COLOURED


def _rank(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
