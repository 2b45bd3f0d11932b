"""A study under way, as a terminal shows it; and how a person interrupts it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from glidepath.core import Event, Listener
from glidepath.registry import count_interrupts, shorten


class StudyDisplay(Listener):
    """A bar on the standard error: stages that are done, and the time left; a line for each failure."""

    wants_steps = True

    def __init__(self) -> None:
        self._bar: Any = None

    def __enter__(self) -> StudyDisplay:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def tell(self, event: Event) -> None:
        """Show where the run stands."""
        from tqdm import tqdm

        if self._bar is None:
            layout = "{n_fmt} of {total_fmt} |{bar}| {elapsed} gone, {remaining} left, {desc}"
            self._bar = tqdm(
                total=event.total, initial=event.step, bar_format=layout, file=sys.stderr, leave=False
            )
        details = event.details
        if event.name == "trial-failed":
            tried = f"{details['state']} at attempt {details['attempt']}"
            line = f"{event.stage}: {tried}: {shorten(event.message, 100)}"
            self._bar.write(line, file=sys.stderr)
        stages = ", ".join(f"{stage} {done}/{count}" for stage, (done, count) in details["stages"].items())
        failed = f", {details['failed']} failed" if details["failed"] else ""
        self._bar.set_description_str(stages + failed, refresh=False)
        self._bar.update(event.step - self._bar.n)
        self._bar.refresh()


def interrupts() -> AbstractContextManager[Callable[[], int]]:
    """Within it the first SIGINT (Ctrl-C) or SIGTERM lets what runs finish, the second kills it.

    The context is a function that tells how many have come; the third acts as it would have before.
    """
    return count_interrupts("stopping when what runs is finished; once more kills it", "killing what runs")


def ask() -> bool:
    """Whether to go on past the budget; no, where nobody can be asked."""
    if not sys.stdin.isatty():
        return False
    sys.stderr.write("the budget is spent; go on? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
