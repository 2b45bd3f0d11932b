"""Captions of pictures in several forms of words, and what a caption says."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Final

import attrs
import numpy as np

from glidepath.plugins.emoji.styles import STYLES, TONES
from glidepath.plugins.emoji.things import Thing

#: Shares of the captions that list keywords, and that leave the style open.
KEYWORDS: Final = 0.2
NO_STYLE: Final = 0.08

_MOST_KEYWORDS: Final = 3
_ARTICLES: Final = ("a ", "an ")


@attrs.frozen
class Claim:
    """What a caption says; "" where it leaves it open.

    subject: a name, or keywords with commas between them.
    """

    subject: str
    style: str = ""
    tone: str = ""


def caption(name: str, style: str = "", tone: str = "") -> str:
    """The usual form of words: "a red apple, 3d"; "a waving hand, dark skin tone, flat"."""
    tone_phrase = f"{tone} skin tone" if tone else ""
    return ", ".join(phrase for phrase in (with_article(name), tone_phrase, style) if phrase)


def describe(thing: Thing, style: str, tone: str, rng: np.random.Generator) -> str:
    """A caption of a picture, in a form that is drawn."""
    if thing.keywords and rng.random() < KEYWORDS:
        count = int(rng.integers(1, _MOST_KEYWORDS + 1))
        chosen = [str(word) for word in rng.permutation(thing.keywords)[:count]]
        subject = ", ".join(chosen if rng.random() < 0.5 else [thing.name, *chosen[:-1]])
    else:
        subject = with_article(thing.name) if rng.random() < 0.6 else thing.name
    if tone:
        subject += f", {tone} skin tone" if rng.random() < 0.7 else f" with {tone} skin"
    draw = rng.random()
    if draw < NO_STYLE:
        return subject
    if draw < 0.25 and subject.startswith(_ARTICLES):
        return f"a {style} {subject.split(' ', 1)[1]}"
    return f"{subject}, {style}"


def parse(text: str, names: Container[str] = ()) -> Claim:
    """What a caption of `describe` or `caption` says: subject, style and tone.

    names: those of things, for the few that begin like a style: "a flat shoe".
    """
    style, tone, kept = "", "", []
    for piece in text.lower().split(","):
        phrase = without_article(piece.strip())
        before, with_, after = phrase.rpartition(" with ")
        if with_ and after.endswith(" skin") and after.removesuffix(" skin") in TONES[1:]:
            phrase, tone = before, after.removesuffix(" skin")
        first, _, rest = phrase.partition(" ")
        if phrase in STYLES:
            style = phrase
        elif phrase.endswith(" skin tone") and phrase.removesuffix(" skin tone") in TONES[1:]:
            tone = phrase.removesuffix(" skin tone")
        elif first in STYLES and phrase not in names:
            style = first
            kept.append(rest)
        else:
            kept.append(phrase)
    return Claim(", ".join(kept), style, tone)


def with_article(name: str) -> str:
    """ "an apple", "a pear"; a plural has none."""
    if name.endswith("s") and not name.endswith(("ss", "us", "is")):
        return name
    return ("an " if name[0] in "aeiou" else "a ") + name


def without_article(text: str) -> str:
    """ "apple" of "an apple"."""
    for article in _ARTICLES:
        text = text.removeprefix(article)
    return text


def vocabulary(things: Iterable[Thing]) -> list[str]:
    """All words that captions of some things may hold, in alphabetical order."""
    words = {"a", "an", "with", "skin", "tone", *STYLES, *TONES[1:]}
    return sorted(words.union(*(thing.words() for thing in things)))
