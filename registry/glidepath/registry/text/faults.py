"""The faults of one spec, gathered while it is read and planned."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType

from glidepath.registry.text.problems import Place, Problem, SpecError, did_you_mean

MOST = 100
"""More faults than this are counted and not described: no person reads them, and hints take time."""

_LONGEST_WORD = 100
_MOST_WORDS = 60
_MOST_KNOWN = 100


class Faults:
    """Faults as they are found.

    files: the names of the files read, in order; faults are sorted by it, then by line and column.
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
        """Add a fault. near: a word and the known ones; the nearest goes before the hint."""
        if len(self._problems) >= MOST:
            self._beyond += 1
            return
        if near is not None and len(near[0]) <= _LONGEST_WORD:
            word, known = near[0], list(islice(near[1], _MOST_KNOWN))
            hint = "; ".join(filter(None, (did_you_mean(word, known), hint)))
        words = tuple(printable(word, 100) for word in islice(allowed, _MOST_WORDS + 1))
        if len(words) > _MOST_WORDS:
            words = (*words[:-1], "...")
        problem = Problem(
            what=printable(what, 1000),
            place=place,
            path=printable(path, 300),
            hint=printable(hint, 1000),
            allowed=words,
        )
        self._problems[problem] = None

    def extend(self, problems: Iterable[Problem]) -> None:
        """Add faults that were found elsewhere."""
        self._problems.update(dict.fromkeys(problems))

    def warn(self, what: str, place: Place | None, path: str = "", hint: str = "") -> None:
        """Add what is right as yet, and is to go, or will not do what is meant."""
        if len(self._warnings) < MOST:
            problem = Problem(
                what=printable(what, 1000), place=place, path=printable(path, 300), hint=printable(hint, 1000)
            )
            self._warnings[problem] = None

    @property
    def warnings(self) -> Sequence[Problem]:
        """What was warned of, in the order of the places."""
        return sorted(self._not_borrowed(self._warnings), key=self._order)

    def sorted(self) -> Sequence[Problem]:
        """Each fault once, in the order of the places; those without a place first."""
        problems = sorted(self._not_borrowed(self._problems), key=self._order)
        if self._beyond:
            problems.append(Problem(what=f"and {self._beyond} more faults"))
        return problems

    def _not_borrowed(self, problems: Collection[Problem]) -> Iterator[Problem]:
        """Problems without those of values that stand where another problem is."""
        places = {problem.place for problem in problems if problem.place is not None}
        return (it for it in problems if it.place is None or self.lent.get(it.place) not in places)

    def _order(self, problem: Problem) -> tuple[int, int, int]:
        if problem.place is None:
            return (-1, 0, 0)
        known = problem.place.file in self.files
        rank = self.files.index(problem.place.file) if known else len(self.files)
        return (rank, problem.place.line, problem.place.column)

    def error(self) -> SpecError:
        """All of them as one exception."""
        return SpecError(self.sorted())


def shown(text: str, longest: int = 60) -> str:
    """A text from a spec as messages quote it: escaped and shortened."""
    return repr(text if len(text) <= longest else f"{text[:longest]}...")


def printable(text: str, longest: int) -> str:
    """A text without what could steer a terminal, and shortened."""
    short = text if len(text) <= longest else f"{text[:longest]}..."
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in short)
