"""A study under way, as a terminal shows it; and how a person interrupts it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from glidepath.plugins.studies.driver import Progress
from glidepath.registry.cli.common import shorten


class Display:
    """A bar on the standard error: stages that are done, and the time left; a line for each failure."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __enter__(self) -> Display:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def report(self, progress: Progress) -> None:
        """Show where the run stands."""
        from tqdm import tqdm

        if self._bar is None:
            layout = "{n_fmt} of {total_fmt} |{bar}| {elapsed} gone, {remaining} left, {desc}"
            self._bar = tqdm(
                total=progress.total, initial=progress.done, bar_format=layout, file=sys.stderr, leave=False
            )
        last = progress.last
        if last is not None and last.state != "done":
            line = f"{progress.label}: {last.state} at attempt {last.number}: {shorten(last.message, 100)}"
            self._bar.write(line, file=sys.stderr)
        stages = ", ".join(f"{stage} {done}/{count}" for stage, (done, count) in progress.by_stage.items())
        failed = f", {progress.failed} failed" if progress.failed else ""
        self._bar.set_description_str(stages + failed, refresh=False)
        self._bar.update(progress.done - self._bar.n)
        self._bar.refresh()


@contextmanager
def interrupts() -> Iterator[Callable[[], int]]:
    """Within it SIGINT (Ctrl-C) and SIGTERM are counted, and the third acts as it would have before."""
    count = 0

    def counted() -> int:
        return count

    if threading.current_thread() is not threading.main_thread():
        yield counted
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        said = (
            b"stopping when what runs is finished; once more kills it" if count == 1 else b"killing what runs"
        )
        # not print: the signal may have come while something was printed, and then Python refuses
        os.write(2, b"\n" + said + b"\n")
        if count > 1:
            restore()

    for number in before:
        signal.signal(number, stop)
    try:
        yield counted
    finally:
        restore()


def ask() -> bool:
    """Whether to go on past the budget; no, where nobody can be asked."""
    if not sys.stdin.isatty():
        return False
    sys.stderr.write("the budget is spent; go on? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
