"""Stopping in good order when a person or the system asks for it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Within it the first SIGINT (Ctrl-C) or SIGTERM makes the given function return True, and nothing else.

    A second one acts as it would have before. Outside of the main thread Python handles no signals: there,
    nothing changes.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(_number: int, _frame: FrameType | None) -> None:
        restore()
        asked.set()
        # not print: the signal may have come while something was printed, and then Python refuses
        os.write(2, b"\nstopping after this step; once more stops at once\n")

    for number in before:
        signal.signal(number, stop)
    try:
        yield asked.is_set
    finally:
        restore()
