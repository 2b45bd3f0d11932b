"""What one walk from noise to images took."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import torch

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


_OF_RUNS = ("threads", "clock", "rounds", "steps")


def machine(options: argparse.Namespace) -> dict[str, Any]:
    """Where and how figures were measured, for those who compare them."""
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        **{name: value for name, value in vars(options).items() if name in _OF_RUNS},
    }


def read_options(
    arguments: Sequence[str] | None,
    description: str | None,
    models: Sequence[str],
    *,
    steps: int,
    rounds: int,
    of: str,
    least_steps: int = 1,
) -> argparse.Namespace:
    """The options of a benchmark whose loops take turns. of: what steps are of."""
    parser = option_parser(description, rounds=rounds, clock="cpu")
    parser.add_argument("--models", nargs="+", choices=models, default=models)
    parser.add_argument("--steps", type=int, default=steps, help=f"of {of} (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1)
    return checked_options(parser, arguments, least_steps=least_steps)


def option_parser(description: str | None, *, rounds: int, clock: str) -> argparse.ArgumentParser:
    """The options of every benchmark that times rounds; `--threads` and `--steps` are its own."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument(
        "--clock",
        choices=["wall", "cpu"],
        default=clock,
        help="cpu: processor time of one thread, for a machine that is busy with other things too "
        "(default: %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    return parser


def checked_options(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None, *, least_steps: int = 1
) -> argparse.Namespace:
    """What was given, unless it makes no sense together."""
    options = parser.parse_args(arguments)
    if options.clock == "cpu" and options.threads not in (1, [1]):
        parser.error("--clock cpu is for one thread; use it with --threads 1")
    if options.rounds < 1 or getattr(options, "steps", least_steps) < least_steps:
        parser.error(f"--rounds is at least 1, and --steps at least {least_steps}")
    return options
