"""`--locked`: a command that runs a spec only as its lock has it."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.core.errors import GlidepathError
from glidepath.registry.cli.arguments import OptionalFile
from glidepath.registry.text.problems import SpecError

if TYPE_CHECKING:
    from glidepath.registry.discovery.catalogue import Catalogue
    from glidepath.registry.plan.plan import Plan


def add_locked_option(parser: argparse.ArgumentParser) -> None:
    """`--locked [FILE]`."""
    parser.add_argument(
        "--locked",
        action=OptionalFile,
        suffix=".json",
        metavar="FILE.json",
        help="refuse to run unless all is as the lock has it that `glidepath lock` wrote (default: "
        "NAME.lock.json beside the spec)",
    )


@contextlib.contextmanager
def minding_the_lock(arguments: argparse.Namespace) -> Iterator[None]:
    """Around the reading of a spec: where it fails under `--locked`, say which distributions have drifted."""
    try:
        yield
    except SpecError:
        if arguments.locked is not None:
            from glidepath.registry.records.lock import other_versions, read_lock

            with contextlib.suppress(GlidepathError):
                for told in other_versions(read_lock(_file(arguments))):
                    print(f"glidepath: note: {told}", file=sys.stderr)
        raise


def check_lock(plan: Plan, catalogue: Catalogue, arguments: argparse.Namespace) -> None:
    """Under `--locked`, hold the plan against the lock.

    Raises:
        LockError: something drifted, or there is no lock.
    """
    if arguments.locked is not None:
        from glidepath.registry.records.lock import require_locked

        require_locked(plan, catalogue, _file(arguments), arguments.spec)


def _file(arguments: argparse.Namespace) -> Path:
    from glidepath.registry.records.lock import lock_file

    return Path(arguments.locked) if arguments.locked else lock_file(arguments.spec)
