"""A plugin that keeps a command waiting is named on the terminal meanwhile, and where it is interrupted."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from glidepath.registry.discovery.import_errors import raised_within

SECONDS = 2.0
"""How long a plugin may take before it is named."""


@contextmanager
def naming_slow(title: str, module: str) -> Iterator[None]:
    """While the block runs: name what it does once it has taken `SECONDS`, where a person is at a terminal.

    title: "importing the plugin 'acme' of acme 1.0". module: of the plugin, whose line an interrupt names.
    The block runs in the calling thread; only the message comes from another.
    """
    watch = _watch(f"glidepath: still {title} (Ctrl-C says at which line)") if sys.stderr.isatty() else None
    try:
        yield
    except KeyboardInterrupt as interrupt:
        where = raised_within(interrupt, module)
        interrupt.add_note(f"while {title}" + (f", at {where}" if where else ""))
        raise
    finally:
        if watch is not None:
            watch.cancel()


def _watch(message: str) -> threading.Timer:
    timer = threading.Timer(SECONDS, print, [message], {"file": sys.stderr})
    timer.daemon = True
    timer.start()
    return timer
