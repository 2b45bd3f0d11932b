"""What one walk from noise to images took."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs

Clock = Callable[[], float]


@attrs.frozen
class Timing:
    """Seconds of one walk.

    whole: from prompts (for diffusers: from embeddings) to 8-bit images.
    loop: from the first step's beginning to the last step's end; what is prepared before is not in it.
    network: of `loop`, what was spent inside the network.
    """

    whole: float
    loop: float
    network: float

    @property
    def overhead(self) -> float:
        """Time spent in the loop outside the network, over time inside it."""
        return (self.loop - self.network) / self.network


class Stopwatch:
    """Adds up the time spent inside a function."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.inside = 0.0

    def watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, watched."""

        def watched(*args: Any, **kwargs: Any) -> Any:
            start = self.clock()
            result = function(*args, **kwargs)
            self.inside += self.clock() - start
            return result

        return watched


class Counter:
    """Counts the calls of functions."""

    def __init__(self) -> None:
        self.calls = 0

    def counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, counted."""

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return function(*args, **kwargs)

        return counted


@contextmanager
def replaced(thing: object, name: str, value: Any) -> Iterator[None]:
    """Put a value in the place of an object's attribute, and take it away again."""
    before = vars(thing).get(name, _ABSENT)
    vars(thing)[name] = value
    try:
        yield
    finally:
        if before is _ABSENT:
            del vars(thing)[name]
        else:
            vars(thing)[name] = before


_ABSENT = object()
