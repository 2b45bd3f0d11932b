"""Warnings of a command: each is said once, though a command may open the catalogue again and again."""

from __future__ import annotations

import sys
from functools import cache


@cache
def warn_once(text: str) -> None:
    """Print a warning on the standard error. `main` forgets what was said before it runs a command."""
    print(f"glidepath: warning: {text}", file=sys.stderr)
