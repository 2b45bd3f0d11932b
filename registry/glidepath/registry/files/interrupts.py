"""Stopping in good order when a person or the system asks for it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM came: what Ctrl-C asks for, asked by the system."""


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Within it SIGTERM raises `Terminated` where it would have killed the process.

    So whatever keeps finished work when Ctrl-C interrupts it keeps it then too. Outside of the main thread,
    and where the process ignores or handles SIGTERM already, nothing changes.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def exit_status(interrupt: KeyboardInterrupt) -> int:
    """The status that shells expect of a program which a signal ended: 128 and the signal's number."""
    return 128 + (signal.SIGTERM if isinstance(interrupt, Terminated) else signal.SIGINT)


@contextmanager
def count_interrupts(first: str, *more: str) -> Iterator[Callable[[], int]]:
    """Within it SIGINT (Ctrl-C) and SIGTERM interrupt nothing; the given function tells how many have come.

    As many are counted as there are texts; the next acts as it would have before. Outside of the main thread
    Python handles no signals: there, nothing changes.

    first, more: what the first signal, and each after it, says on the standard error.
    """
    texts, count = (first, *more), 0

    def counted() -> int:
        return count

    if threading.current_thread() is not threading.main_thread():
        yield counted
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # None: a handler that is not Python's, and that Python could not bring back
    before = {number: handler for number, handler in handlers.items() if handler is not None}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal count
        text = texts[min(count, len(texts) - 1)]  # one signal may come while another is handled
        count += 1
        if count >= len(texts):
            restore()
        with contextlib.suppress(OSError):  # Ctrl-C ends the reader of a pipe too
            # not print: the signal may have come while something was printed, and then Python refuses
            os.write(2, f"\n{text}\n".encode() if text else b"")

    for number in before:
        signal.signal(number, note)
    try:
        yield counted
    finally:
        restore()
