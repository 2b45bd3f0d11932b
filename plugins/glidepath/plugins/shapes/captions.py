"""Captions of scenes: what they say, their vocabulary, and the parser that takes them back to claims.

The grammar, with [...] optional and | for a choice:

    caption    = [ARTICLE background "background" "with"] [opening] thing [["is"] relation thing]
                 | the same without the first part, followed by "on" background
                 | the same, followed by "on" ARTICLE background "background"
    opening    = "there is" | "a picture of"
    thing      = ARTICLE [size] color shape
    relation   = "above" | "below" | ["to the"] ("left" | "right") "of"
    ARTICLE    = "a" | "the" | "one"
"""

import hashlib
from collections.abc import Sequence
from typing import Final

import attrs
import numpy as np

from glidepath.plugins.shapes.scenes import BACKGROUNDS, COLORS, MIRROR, SHAPES, SIZES, Object, Scene

ARTICLES: Final = ("a", "the", "one")
_CONNECTIVES: Final = (
    *("above", "below", "left", "right", "of", "to"),
    *("background", "is", "on", "picture", "there", "with"),
)

#: Every word that a caption may contain, sorted.
VOCABULARY: Final = tuple(sorted({*ARTICLES, *_CONNECTIVES, *SIZES, *COLORS, *SHAPES, *BACKGROUNDS}))

#: No caption that `describe` writes has more words.
MAX_WORDS: Final = 18


@attrs.frozen
class ClaimedObject:
    """An object as a caption puts it; `size` is None where the caption leaves it open."""

    shape: str
    color: str
    size: str | None = None


@attrs.frozen
class Claim:
    """What a caption says; None is left open. `relation` is that of the first object to the second."""

    objects: tuple[ClaimedObject, ...]
    background: str | None = None
    relation: str | None = None


def describe(scene: Scene, rng: np.random.Generator, *, near_first: float = 0.5) -> str:
    """Write one of the captions of a scene, drawn with `rng`; at most `MAX_WORDS` words of `VOCABULARY`.

    Sizes are said in 70 % of captions (of both objects or of neither), the background in 50 %.

    near_first: the share of captions of two objects that begin with the upper or left one ("A above B"); the
        others say the same the other way round ("B below A"). At 0.5 neither the order nor the word for the
        relation alone tells where an object is, only both together; a text encoder finds that out late, or
        never, unless one way round is the more frequent in training.
    """
    with_size = rng.random() < 0.7
    if len(scene.objects) == 1:
        body = _describe_one(scene, with_size, rng)
    else:
        body = _describe_two(scene, with_size, rng, near_first)
    if rng.random() >= 0.5:
        return body
    form = rng.random()
    if form < 0.4:
        return f"{body} on a {scene.background} background"
    # "with" takes a noun phrase, not a clause; and a background "with a picture" would be another claim.
    if form < 0.75 or " is " in body or body.startswith("a picture"):
        return f"{body} on {scene.background}"
    return f"a {scene.background} background with {body}"


def is_held_out_caption(caption: str) -> bool:
    """Whether the caption is kept from training: the first byte of its SHA-256 is a multiple of 10.

    The rule (26 of 256 captions) depends on nothing but the words, so it never changes between runs.
    """
    return hashlib.sha256(caption.encode()).digest()[0] % 10 == 0


def parse(caption: str) -> Claim:
    """Read a caption back (the grammar is in the module's docstring).

    Raises:
        ValueError: the caption is not in the grammar; the message names the word and what was expected.
    """
    return _Parser(caption).claim()


def _thing(item: Object, with_size: bool, article: str) -> str:
    size = f"{item.size} " if with_size else ""
    return f"{article} {size}{item.color} {item.shape}"


def _describe_one(scene: Scene, with_size: bool, rng: np.random.Generator) -> str:
    (item,) = scene.objects
    form = rng.random()
    if form < 0.45:
        return _thing(item, with_size, "a")
    if form < 0.6:
        return _thing(item, with_size, "the")
    if form < 0.75:
        return _thing(item, with_size, "one")
    if form < 0.88:
        return f"there is {_thing(item, with_size, 'a')}"
    return f"a picture of {_thing(item, with_size, 'a')}"


def _describe_two(scene: Scene, with_size: bool, rng: np.random.Generator, near_first: float) -> str:
    first, second = scene.objects
    relation = scene.relation
    assert relation is not None
    if (relation in ("above", "left of")) != (rng.random() < near_first):
        first, second, relation = second, first, MIRROR[relation]
    if relation in ("left of", "right of") and rng.random() < 0.4:
        relation = f"to the {relation}"
    form = rng.random()
    article = "the" if form >= 0.85 else "a"
    before, after = _thing(first, with_size, article), _thing(second, with_size, article)
    if form < 0.2:
        return f"there is {before} {relation} {after}"
    if form < 0.4:
        return f"{before} is {relation} {after}"
    return f"{before} {relation} {after}"


class _Parser:
    """Recursive descent over the words of one caption."""

    def __init__(self, caption: str) -> None:
        self._caption = caption
        self._words = caption.split()
        self._at = 0

    def claim(self) -> Claim:
        background = self._leading_background()
        if not self._skip("there", "is"):
            self._skip("a", "picture", "of")
        objects = [self._object()]
        relation = None
        if self._skip("is") or self._peek() in ("above", "below", "left", "right", "to"):
            relation = self._relation()
            objects.append(self._object())
        if self._peek() == "on":
            if background is not None:
                raise self._error("the end, because the background was already said")
            background = self._trailing_background()
        if self._peek() is not None:
            raise self._error("the end")
        return Claim(tuple(objects), background, relation)

    def _leading_background(self) -> str | None:
        if self._peek(2) != "background":
            return None
        self._one_of(ARTICLES, "an article")
        background = self._one_of(BACKGROUNDS, "a background")
        self._at += 1
        self._one_of(("with",), "the word")
        return background

    def _trailing_background(self) -> str:
        self._at += 1
        if self._peek() not in ARTICLES:
            return self._one_of(BACKGROUNDS, "an article or a background")
        self._at += 1
        background = self._one_of(BACKGROUNDS, "a background")
        self._one_of(("background",), "the word")
        return background

    def _object(self) -> ClaimedObject:
        self._one_of(ARTICLES, "an article")
        size = self._one_of(SIZES, "a size") if self._peek() in SIZES else None
        color = self._one_of(COLORS, "a color" if size else "a size or color")
        shape = self._one_of(SHAPES, "a shape")
        return ClaimedObject(shape, color, size)

    def _relation(self) -> str:
        options: tuple[str, ...] = ("left", "right")
        if not self._skip("to", "the"):
            options = ("above", "below", *options, "to the left", "to the right")
        word = self._one_of(options, "a relation")
        if word in ("above", "below"):
            return word
        self._one_of(("of",), "the word")
        return f"{word} of"

    def _peek(self, ahead: int = 0) -> str | None:
        at = self._at + ahead
        return self._words[at] if at < len(self._words) else None

    def _skip(self, *words: str) -> bool:
        """Step over `words` if they come next, and say whether they did."""
        if tuple(self._words[self._at : self._at + len(words)]) != words:
            return False
        self._at += len(words)
        return True

    def _one_of(self, options: Sequence[str], what: str) -> str:
        word = self._peek()
        if word is None or word not in options:
            raise self._error(f"{what} ({', '.join(options)})")
        self._at += 1
        return word

    def _error(self, expected: str) -> ValueError:
        word = self._peek()
        found = "the caption ends" if word is None else f"word {self._at + 1} is {word!r}"
        return ValueError(f"cannot read caption {self._caption!r}: {found}, expected {expected}")
