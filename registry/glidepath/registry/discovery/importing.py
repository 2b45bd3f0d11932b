"""A module of a plugin imported while patience lasts, so that one which hangs costs its part alone."""

from __future__ import annotations

import sys
from functools import partial
from importlib import import_module
from types import ModuleType

from glidepath.registry.discovery.patience import Done, Hanging, run_each

_stuck: dict[str, Hanging] = {}
"""Modules whose import was given up: another attempt would wait for the first."""


def import_within(seconds: float, module: str) -> Done[ModuleType] | Hanging:
    """What came of importing a module, whatever it raised; one that still hangs is not waited for again.

    seconds: 0 for no limit.

    Raises:
        KeyboardInterrupt: the import was interrupted.
    """
    if (before := _stuck.get(module)) and before.thread.is_alive():
        return before
    here = not seconds or module in sys.modules  # a thread costs a fraction of a millisecond
    (outcome,) = run_each([partial(import_module, module)], 0 if here else seconds)
    if isinstance(outcome, Hanging):
        _stuck[module] = outcome
    elif isinstance(outcome.error, KeyboardInterrupt):
        raise outcome.error
    return outcome
