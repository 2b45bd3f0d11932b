"""The command `glidepath`. What it needs is imported within `main`, where Ctrl-C is told in a line."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    0 done; 2 the command line or the spec is wrong; 1 something else failed; 130 interrupted, by SIGTERM
    143; 141 the reader of the output has gone.
    """
    try:
        from glidepath.registry.cli.dispatch import run

        return run(argv)
    except KeyboardInterrupt:  # before the command began, or after it ended
        print("glidepath: interrupted", file=sys.stderr)
        return 130
