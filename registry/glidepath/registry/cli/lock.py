"""`glidepath lock`: what a spec stands for here, written down."""

from __future__ import annotations

import argparse
from pathlib import Path

from glidepath.registry.cli.arguments import CommandParser
from glidepath.registry.cli.opening import add_spec_arguments, open_plan
from glidepath.registry.cli.printing import note_failures, warn_once

EPILOG = """\
The lock holds the resolved spec, the distributions that supply its parts (versions, what they
require, the hash of each of their files), the hashes of its weights and of other files that it names, and the
versions of Python and torch. `--locked` of the commands that run a spec refuses when any of it is not so, and
`glidepath diff` compares two locks, or a lock with a spec or an image.

examples:
  glidepath lock my.yaml
  glidepath lock my.yaml --out locks/my.json
  glidepath sample "a green star" --spec my.yaml --locked
"""


def parser() -> CommandParser:
    """Its arguments."""
    parser = CommandParser(
        prog="glidepath lock",
        description="Write the lock of a spec: all that decides what it makes, as it is here and now.",
        epilog=EPILOG,
    )
    add_spec_arguments(parser)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="where it goes; one that is there is replaced (default: NAME.lock.json beside the spec, for a "
        "preset in the current directory)",
    )
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Write the lock, say where it is.

    Raises:
        SpecError: the spec has problems.
        WeightsError: a file of weights is not the one that the spec means.
    """
    from glidepath.registry.records.lock import lock_file, write_lock
    from glidepath.registry.records.recording import NOT_THERE, describe_plan
    from glidepath.registry.text.tree import join_path

    catalogue, plan = open_plan(arguments)
    lock = describe_plan(plan, catalogue)
    for path, hash_ in lock.weights.items():
        if hash_ == NOT_THERE:
            warn_once(f"the file of {join_path(path, 'weights')} is not there yet; the lock holds to that")
    file = arguments.out or lock_file(arguments.spec)
    write_lock(lock, file)
    note_failures(catalogue)
    print(file)
    return 0
