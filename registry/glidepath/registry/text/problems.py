"""Faults of a spec: what, where, and what would be right."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

import attrs

from glidepath.core.errors import GlidepathError

_ELSEWHERE = {
    **dict.fromkeys(("fp16", "f16", "half"), "float16"),
    **dict.fromkeys(("bf16", "bfp16", "brain"), "bfloat16"),
    **dict.fromkeys(("fp32", "f32", "float", "single", "full"), "float32"),
    **dict.fromkeys(("fp64", "f64", "double"), "float64"),
    **dict.fromkeys(("gpu", "nvidia", "hip", "rocm"), "cuda"),
    **dict.fromkeys(("metal", "apple"), "mps"),
}
"""What other programs call a thing, and how it is called here."""


@attrs.frozen
class Place:
    """Where a value was written.

    file: the path as the user gave it, or "--set #2", "preset shapes".
    line, column: counted from 1; 0 when the place has no lines.
    text: the source line, for the caret; of a long line, what is around the column.
    shift: how many characters of the line's start `text` leaves out.
    """

    file: str
    line: int = 0
    column: int = 0
    text: str = ""
    shift: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    @property
    def caret(self) -> int:
        """How many terminal cells of `text` stand before the column."""
        before = self.text[: max(self.column - 1 - self.shift, 0)]
        return sum(_cells(character) for character in before)


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


@attrs.frozen(kw_only=True)
class Problem:
    """One fault.

    what: a sentence without the place.
    place: where; None when nothing was written (a missing slot).
    path: the dotted path in the spec, "" for the whole.
    hint: a suggestion, such as "did you mean 'steps'?".
    allowed: the values or names that would be right.
    """

    what: str
    place: Place | None = None
    path: str = ""
    hint: str = ""
    allowed: Sequence[str] = ()

    def render(self) -> str:
        """The fault as a person reads it."""
        head = f"{self.place}: {self.what}" if self.place else self.what
        lines = [head]
        if self.path:
            lines.append(f"    at {self.path}")
        if self.place is not None and self.place.text:
            lines.append(f"    | {self.place.text}")
            lines.append(f"    | {' ' * self.place.caret}^")
        if self.hint:
            lines.append(f"    {self.hint}")
        if self.allowed:
            lines.append(f"    allowed: {', '.join(self.allowed)}")
        return "\n".join(lines)


class SpecError(GlidepathError):
    """A spec has faults: all of them, in `problems`, in the order of their places."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.render() for problem in self.problems))


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """A hint that names the nearest known word, or nothing. cutoff: as of `nearest`."""
    near = nearest(word, known, cutoff)
    return f"did you mean {near!r}?" if near else ""


def known_as(word: str) -> str:
    """What a thing is called here that another program calls so; "" where that is not known."""
    return _ELSEWHERE.get(word.casefold().removeprefix("torch."), "")


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The known word that is most like a word, upper and lower case being alike; "" for none.

    What another program calls the same thing is most like it: `fp16` is float16, `gpu` is cuda.
    cutoff: how like it has to be, from 0 to 1, as difflib counts.
    """
    folded: dict[str, str] = {}
    for one in known:
        folded.setdefault(one.casefold(), one)
    meant = known_as(word)
    if meant in folded:
        return folded[meant]
    from difflib import get_close_matches  # most commands find every word

    near = get_close_matches(word.casefold(), folded, n=1, cutoff=cutoff)
    return folded[near[0]] if near else ""
