"""What is wrong with a spec: each problem with its place, and with what would be right."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType

import attrs

from glidepath.core.errors import GlidepathError

_ELSEWHERE = {
    **dict.fromkeys(("fp16", "f16", "half"), "float16"),
    **dict.fromkeys(("bf16", "bfp16", "brain"), "bfloat16"),
    **dict.fromkeys(("fp32", "f32", "float", "single", "full"), "float32"),
    **dict.fromkeys(("fp64", "f64", "double"), "float64"),
    **dict.fromkeys(("gpu", "nvidia", "hip", "rocm"), "cuda"),
    **dict.fromkeys(("metal", "apple"), "mps"),
    "lr": "learning_rate",
}
"""What other programs call a thing, and how it is called here."""


WIDTH = 118
"""How wide lists and tables that wrap are, in characters."""

MOST = 100
"""More problems than this are counted and not described: no person reads them, and hints take time."""

_LONGEST_WORD = 100
_MOST_WORDS = 60
_MOST_KNOWN = 100


@attrs.frozen
class Place:
    """Where a value was written.

    file: the path as the user gave it, or "--set #2", "preset NAME", "mapping".
    line, column: counted from 1; 0 when the place has no lines.
    text: the source line, for the caret; of a long line, what is around the column.
    shift: how many characters of the line's start `text` leaves out.
    path: the dotted path of a value that stands in no text, but in a mapping of Python's.
    """

    file: str
    line: int = 0
    column: int = 0
    text: str = ""
    shift: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"{self.file}: {self.path}"
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
    """One thing that is wrong.

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
        """The problem as a person reads it."""
        head = f"{self.place}: {self.what}" if self.place else self.what
        lines = [head]
        if self.path and (self.place is None or self.place.path != self.path):
            lines.append(f"    at {self.path}")
        if self.place is not None and self.place.text:
            lines.append(f"    | {self.place.text}")
            lines.append(f"    | {' ' * self.place.caret}^")
        return with_names("\n".join(lines), self.hint, self.allowed)


def with_names(what: str, hint: str, allowed: Collection[str]) -> str:
    """A message with a hint, if any, and below it the names that would be right, if any."""
    names = textwrap.fill(
        ", ".join(allowed),
        WIDTH,
        initial_indent="    allowed: ",
        subsequent_indent=" " * len("    allowed: "),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join([what, *([f"    {hint}"] if hint else []), *([names] if allowed else [])])


class UsageError(GlidepathError):
    """The command line asks for what cannot be: `glidepath` ends with status 2, and not with 1."""


class SpecError(GlidepathError):
    """A spec has problems: all of them, in `problems`, in the order of their places."""

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
    for name in known:
        folded.setdefault(name.casefold(), name)
    meant = known_as(word)
    if meant in folded:
        return folded[meant]
    from difflib import SequenceMatcher, get_close_matches  # most commands find every word

    lowered = word.casefold()

    def meant_by(name: str) -> tuple[bool, float, bool]:
        """The same letters in another order; else the most alike, and of those one that begins alike."""
        alike = SequenceMatcher(None, name, lowered).ratio()
        return sorted(name) == sorted(lowered), alike, name[:1] == lowered[:1]

    near = get_close_matches(lowered, folded, n=3, cutoff=cutoff)
    return folded[max(near, key=meant_by)] if near else ""


class Problems:
    """Problems as they are found.

    files: the names of the files read, in order; problems are sorted by it, then by line and column.
    lent: where an interpolated value is from, by the place of the interpolation. What is wrong with a value
        is said where it is written, and not again where it is borrowed.
    """

    def __init__(self, files: Iterable[str] = (), lent: Mapping[Place, Place] = MappingProxyType({})) -> None:
        self.files = list(files)
        self.lent = dict(lent)
        self._problems: dict[Problem, None] = {}
        self._warnings: dict[Problem, None] = {}
        self._beyond = 0

    def __len__(self) -> int:
        return len(self._problems) + self._beyond

    def add(
        self,
        what: str,
        place: Place | None,
        path: str = "",
        hint: str = "",
        allowed: Iterable[str] = (),
        near: tuple[str, Iterable[str]] | None = None,
    ) -> None:
        """Add a problem. near: a word and the known ones, of which the nearest is a better hint."""
        if len(self._problems) >= MOST:
            self._beyond += 1
            return
        if near is not None and len(near[0]) <= _LONGEST_WORD:
            word, known = near[0], list(islice(near[1], _MOST_KNOWN))
            hint = did_you_mean(word, known) or hint
        words = tuple(printable(word, 100) for word in islice(allowed, _MOST_WORDS + 1))
        if len(words) > _MOST_WORDS:
            words = (*words[:-1], "...")
        self._problems[_problem(what, place, path, hint, words)] = None

    def extend(self, problems: Iterable[Problem]) -> None:
        """Add problems that were found elsewhere."""
        self._problems.update(dict.fromkeys(problems))

    def warn(self, what: str, place: Place | None, path: str = "", hint: str = "") -> None:
        """Add what is right as yet, and is to go, or will not do what is meant."""
        if len(self._warnings) < MOST:
            self._warnings[_problem(what, place, path, hint)] = None

    @property
    def warnings(self) -> Sequence[Problem]:
        """What was warned of, in the order of the places."""
        return sorted(self._not_borrowed(self._warnings), key=self._order)

    def sorted(self) -> Sequence[Problem]:
        """Each problem once, in the order of the places; those without a place first."""
        problems = sorted(self._not_borrowed(self._problems), key=self._order)
        if self._beyond:
            problems.append(Problem(what=f"and {self._beyond} more problems"))
        return problems

    def _not_borrowed(self, problems: Collection[Problem]) -> Iterator[Problem]:
        """Problems without those of values that stand where another problem is."""
        places = {problem.place for problem in problems if problem.place is not None}
        return (
            problem
            for problem in problems
            if problem.place is None or self.lent.get(problem.place) not in places
        )

    def _order(self, problem: Problem) -> tuple[int, int, int]:
        if problem.place is None:
            return (-1, 0, 0)
        known = problem.place.file in self.files
        rank = self.files.index(problem.place.file) if known else len(self.files)
        return (rank, problem.place.line, problem.place.column)

    def error(self) -> SpecError:
        """All of them as one exception."""
        return SpecError(self.sorted())


def _problem(what: str, place: Place | None, path: str, hint: str, allowed: Sequence[str] = ()) -> Problem:
    return Problem(
        what=printable(what, 1000),
        place=place,
        path=printable(path, 300),
        hint=printable(hint, 1000),
        allowed=allowed,
    )


def quoted(text: str) -> str:
    """A text from a spec as messages quote it: escaped and shortened."""
    return repr(text if len(text) <= 60 else f"{text[:60]}...")


def printable(text: str, longest: int) -> str:
    """A text without what could steer a terminal, and shortened."""
    short = text if len(text) <= longest else f"{text[:longest]}..."
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in short)
