"""`glidepath check`: whether a spec is right, before anything is built or downloaded."""

from __future__ import annotations

import argparse
import sys

from glidepath.registry.cli.arguments import CommandParser
from glidepath.registry.cli.opening import (
    add_json_argument,
    add_spec_arguments,
    doubts,
    open_plan,
)
from glidepath.registry.cli.printing import print_json
from glidepath.registry.text.problems import Problem, SpecError

EPILOG = """\
Reads the spec, its presets and overrides, finds the parts, checks every parameter, and checks
that the parts fit one another. Builds nothing, loads no weights, imports no torch. The exit
status is 2 if there are faults. A warning is what will not make the images that are meant: weights
that were trained otherwise (their header says how), or that are not there yet, a file that is not
given, or a device that cannot be here (cuda, where torch is built without it).

examples:
  glidepath check my.yaml
  glidepath check my.yaml --set sampler=ddim --set sampler.steps=50
  glidepath check my.yaml --json
"""


def parser() -> CommandParser:
    """Its arguments."""
    parser = CommandParser(
        prog="glidepath check",
        description="Whether a spec is right; every fault, with its place.",
        epilog=EPILOG,
    )
    add_spec_arguments(parser)
    add_json_argument(parser)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Print "SPEC: ok".

    Raises:
        SpecError: with all faults of the spec; with `--json` they are the document instead.
    """
    from glidepath.registry.assembly.devices import absent_device
    from glidepath.registry.plan.targets import require_targets

    problems: tuple[Problem, ...] = ()
    warnings: list[str] = []
    try:
        catalogue, plan = open_plan(arguments)
        require_targets(plan)
        absent = absent_device(plan)
        doubtful = [*doubts(plan, catalogue), *([absent] if absent else [])]
        warnings = [problem.render() for problem in doubtful]
    except SpecError as error:
        if not arguments.json:
            raise
        problems = error.problems
    if arguments.json:
        told = [_as_json(it) for it in problems]
        print_json({"spec": arguments.spec, "ok": not problems, "problems": told, "warnings": warnings})
        return 2 if problems else 0
    for warning in warnings:
        print(f"glidepath: warning: {warning}", file=sys.stderr)
    print(f"{arguments.spec}: ok")
    return 0


def _as_json(problem: Problem) -> dict[str, object]:
    place = problem.place
    return {
        "what": problem.what,
        "file": place.file if place else "",
        "line": place.line if place else 0,
        "column": place.column if place else 0,
        "path": problem.path,
        "hint": problem.hint,
        "allowed": list(problem.allowed),
    }
