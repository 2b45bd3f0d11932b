"""`glidepath test-plugin`: whether the parts of an installed distribution keep their contracts."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.core import GlidepathError
from glidepath.registry import (
    CommandParser,
    add_json_argument,
    add_plugin_switches,
    open_catalogue,
    print_json,
)

if TYPE_CHECKING:
    from glidepath.testing import Outcome

EPILOG = """\
A part is built with the parameters of its descriptor's `example`, or else with its defaults. A file of
expected failures is a YAML mapping of ids to reasons:

  sampler/acme:order-of-convergence: a corrector after each step draws noise anew

Exit status: 0 when every check is ok, does not apply, or fails as expected; 1 otherwise.
In pytest, `glidepath.testing.parametrize_with_checks` runs the same checks.
"""


def main(argv: Sequence[str]) -> int:
    """Print a line for each check, as it is done, what is odd beside them, and a count.

    Raises:
        KitError: the distribution is not installed, or an expected failure is unknown.
    """
    arguments = parser().parse_args(argv)
    from glidepath.testing import Suite

    suite = Suite(
        arguments.distribution,
        expected_failures=_expected(arguments.expected_failures),
        catalogue=open_catalogue(arguments),
    )
    outcomes = list(_printed(suite.outcomes(), quiet=arguments.json))
    passed = not any(outcome.is_fault for outcome in outcomes)
    if arguments.json:
        checks = [
            {"id": outcome.id, "status": outcome.status, "reason": outcome.reason} for outcome in outcomes
        ]
        print_json({"distribution": suite.distribution, "passed": passed, "checks": checks})
    else:
        print(f"\n{suite.distribution}: {_count(outcomes)}")
    sys.stdout.flush()
    return 0 if passed else 1


def parser() -> CommandParser:
    """Its arguments."""
    parser = CommandParser(
        prog="glidepath test-plugin",
        description="Run the conformance checks for every part of an installed distribution.",
        epilog=EPILOG,
    )
    parser.add_argument("distribution", metavar="DISTRIBUTION", help="the name that pip knows it by")
    parser.add_argument(
        "--expected-failures", metavar="FILE", type=Path, help="reasons by id; one that passes is a problem"
    )
    add_json_argument(parser)
    add_plugin_switches(parser)
    return parser


def _printed(outcomes: Iterable[Outcome], *, quiet: bool) -> Iterator[Outcome]:
    """Print each outcome, unless quiet; of those in a row that one cause keeps from running, the count."""
    for _, group in groupby(outcomes, key=_behind):
        kept_back = []
        for outcome in group:
            yield outcome
            if quiet:
                continue
            if _behind(outcome) == outcome.id:
                print(outcome, flush=True)
            else:
                kept_back.append(outcome)
        if len(kept_back) == 1:
            print(kept_back[0], flush=True)
        elif kept_back:
            subject, reason = _subject(kept_back[0]), kept_back[0].reason
            print(f"{subject}: {len(kept_back)} checks not applicable: {reason}", flush=True)


def _behind(outcome: Outcome) -> str:
    """What keeps a check from running, and others of its subject alike; its own id where it ran."""
    if outcome.status == "not applicable" and outcome.stops:
        return f"{_subject(outcome)}: {outcome.reason}"
    return outcome.id


def _subject(outcome: Outcome) -> str:
    return outcome.id.rpartition(":")[0]


def _count(outcomes: list[Outcome]) -> str:
    """How many checks ended how: "41 ok, 1 failed, 6 not applicable"."""
    counts = Counter(outcome.status for outcome in outcomes)
    return ", ".join(f"{count} {status}" for status, count in counts.items())


def _expected(file: Path | None) -> Mapping[str, str]:
    if file is None:
        return {}
    import yaml

    try:
        read = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise GlidepathError(f"cannot read the expected failures in {file}: {error}") from error
    if not isinstance(read, dict) or not all(isinstance(reason, str) for reason in read.values()):
        raise GlidepathError(f"{file} is no mapping of the ids of checks to reasons")
    return {str(id): reason for id, reason in read.items()}
