"""What a caption says, as answers to fixed questions: what a text encoder is taught first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from glidepath.plugins.emoji.captions import parse
from glidepath.plugins.emoji.styles import COLOURS, STYLES, TONES, colour_and_shape
from glidepath.plugins.emoji.things import Thing

_OPEN: Final = -1


class Facts:
    """Answers about captions of some things: which thing, category and group, what colour; style; tone.

    A caption of keywords is about every thing that has all of its words. Where these agree on an answer, it
    is the caption's; where not, the caption leaves it open.
    """

    def __init__(self, things: Sequence[Thing]) -> None:
        self._named = {thing.name: index for index, thing in enumerate(things)}
        self._words = [frozenset(thing.words()) for thing in things]
        categories = sorted({thing.category for thing in things})
        groups = sorted({thing.group for thing in things})
        colours = ("", *COLOURS)
        self._answers = [
            (
                index,
                categories.index(thing.category),
                groups.index(thing.group),
                colours.index(colour_and_shape(thing.name)[0]),
            )
            for index, thing in enumerate(things)
        ]
        self.answers = (len(things), len(categories), len(groups), len(colours), len(STYLES), len(TONES))

    def of(self, caption: str) -> tuple[int, ...]:
        """The answer to each question, in [0, answers); -1 where the caption leaves it open."""
        claim = parse(caption, self._named)
        of_subject = _agreed(self._answers[index] for index in self._about(claim.subject))
        style = STYLES.index(claim.style) if claim.style else _OPEN
        return (*of_subject, style, TONES.index(claim.tone))

    def _about(self, subject: str) -> Iterable[int]:
        if subject in self._named:
            return [self._named[subject]]
        wanted = set(subject.replace(",", "").split())
        return [index for index, known in enumerate(self._words) if wanted <= known]


def _agreed(answers: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    columns = [set(column) for column in zip(*answers, strict=True)] or [set[int]()] * 4
    return tuple(column.pop() if len(column) == 1 else _OPEN for column in columns)
