"""Captions that are nearly right: one thing in them is changed, and so they no longer fit their image.

Told apart from the right ones they teach a text encoder what words do to one another (Yuksekgonul et al.
2023, "When and Why Vision-Language Models Behave like Bags-of-Words", arXiv:2210.01936, section 4).
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Final

import numpy as np

from glidepath.plugins.shapes.captions import Claim, is_held_out_caption, parse
from glidepath.plugins.shapes.scenes import COLORS, HELD_OUT_PAIRS, HELD_OUT_TRIPLES, SHAPES, SIZES

_OPPOSITES: Final = {"above": "below", "below": "above", "left": "right", "right": "left"}
# The share of captions with a relation in which the relation is what is changed: the hardest to learn.
_RELATION_SHARE: Final = 0.5


def near_miss(caption: str, rng: np.random.Generator) -> str:
    """A caption with one change that makes it wrong.

    A relation is turned round, or two objects exchange sizes, colors or shapes; of a single object one of
    these is replaced.

    Never one that is kept from training. Every caption of the dataset has some.
    """
    words = caption.split()
    turned = [_OPPOSITES.get(word, word) for word in words]
    if turned != words and rng.random() < _RELATION_SHARE and _is_seen(" ".join(turned)):
        return " ".join(turned)
    exchanged = [other for other in _exchanged(words) if _is_seen(other)]
    others = exchanged or [other for other in _replaced(words) if _is_seen(other)]
    return others[int(rng.random() * len(others))]


def _exchanged(words: Sequence[str]) -> Iterator[str]:
    """Captions in which the two objects have exchanged sizes, colors or shapes."""
    for names in (COLORS, SHAPES, SIZES):
        places = [place for place, word in enumerate(words) if word in names]
        if len(places) == 2 and words[places[0]] != words[places[1]]:
            yield _with(words, places, [words[places[1]], words[places[0]]])


def _replaced(words: Sequence[str]) -> Iterator[str]:
    """Captions in which one color, shape or size is another."""
    for names in (COLORS, SHAPES, SIZES):
        for place, word in enumerate(words):
            if word in names:
                yield from (_with(words, [place], [name]) for name in names if name != word)


def _with(words: Sequence[str], places: Sequence[int], new: Sequence[str]) -> str:
    changed = list(words)
    for place, word in zip(places, new, strict=True):
        changed[place] = word
    return " ".join(changed)


def _is_seen(caption: str) -> bool:
    """Whether training may see it: no held-out caption, and nothing held out in it."""
    return not is_held_out_caption(caption) and not _names_held_out(parse(caption))


def _names_held_out(claim: Claim) -> bool:
    if any((item.shape, item.color) in HELD_OUT_PAIRS for item in claim.objects):
        return True
    triples = product([claim.objects[0].shape], [claim.relation], [item.shape for item in claim.objects[1:]])
    return any(triple in HELD_OUT_TRIPLES for triple in triples)
