"""What a command tells on the standard error. A warning is said once, however often its cause is met."""

from __future__ import annotations

import sys
from functools import cache


@cache
def warn_once(text: str) -> None:
    """Print a warning on the standard error. `main` forgets what was said before it runs a command."""
    print(f"glidepath: warning: {text}", file=sys.stderr)


def tell_error(error: Exception) -> None:
    """Print an error with its notes on the standard error."""
    told = "\n    ".join([f"glidepath: error: {error}", *getattr(error, "__notes__", ())])
    print(told, file=sys.stderr)
