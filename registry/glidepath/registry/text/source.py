"""A text that values come from, and the places in it."""

from __future__ import annotations

from bisect import bisect
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import attrs

from glidepath.registry.text.problems import Place

_BREAKS = "\n\r\x85\u2028\u2029"
"""What ends a line for YAML 1.1."""

_WIDTH = 100
"""Longer lines are cut for display, to what is around the column."""


@attrs.frozen(eq=False, slots=False)
class Source:
    """A text that values come from.

    name: as the user knows it: a path, "preset NAME", "--set #1".
    folder: what relative paths in it are relative to; None where it may name no file.
    beside: a second folder, for files that are not in the first; there the bare name will do.
    skip: how many characters at the start are not YAML: the path and "=" of an override.
    override: it is one, so that places in it have a column and no line.
    trusted: it may name files outside its folder.
    distribution: the one that the text ships with, whose own parts its short names mean first; "" for none.
    """

    name: str
    folder: Path | None
    text: str = attrs.field(repr=False)
    skip: int = 0
    override: bool = False
    trusted: bool = True
    distribution: str = ""
    beside: Path | None = None

    @cached_property
    def _starts(self) -> list[int]:
        """Where each line starts."""
        lines = self.text[self.skip :].splitlines(keepends=True)
        starts = list(accumulate(map(len, lines), initial=self.skip))
        if lines and lines[-1][-1] not in _BREAKS:
            starts.pop()  # no line starts at the end of the text
        return starts

    def place(self, line: int, column: int) -> Place:
        """The place that YAML marks as `line` and `column`, both from 0."""
        if line >= len(self._starts):  # the parser marks the end of the text behind it
            line, column = len(self._starts) - 1, len(self.text) - self._starts[-1]
        start = self._starts[line]
        if self.override:
            text, shift = _cut(self.text, 0, len(self.text), start + column)
            return Place(self.name, 0, start + column + 1, text, shift)
        end = self._starts[line + 1] if line + 1 < len(self._starts) else len(self.text)
        while end > start and self.text[end - 1] in _BREAKS:
            end -= 1
        text, shift = _cut(self.text, start, end, column)
        return Place(self.name, line + 1, column + 1, text, shift)

    def at(self, index: int) -> Place:
        """The place of a character of the text, from 0."""
        line = max(bisect(self._starts, index) - 1, 0)
        return self.place(line, index - self._starts[line])


def _cut(text: str, start: int, end: int, column: int) -> tuple[str, int]:
    """What is shown of the line from `start` to `end`, and how many characters of its start are not."""
    first, last = start, end
    if end - start > _WIDTH:
        first = max(start, min(start + column - _WIDTH // 2, end - _WIDTH))
        last = first + _WIDTH
    shown = text[first:last].replace("\t", " ")
    if not shown.isprintable():
        shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in shown)
    if last < end:
        shown += "..."
    return (f"...{shown}", first - start - 3) if first > start else (shown, 0)
