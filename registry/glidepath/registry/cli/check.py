"""`glidepath check`: whether a spec is right, before anything is built or downloaded."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from glidepath.registry.cli.arguments import CommandParser
from glidepath.registry.cli.opening import (
    add_json_argument,
    add_spec_arguments,
    open_plan,
)
from glidepath.registry.cli.printing import print_json, warn_once
from glidepath.registry.text.problems import Place, Problem, SpecError

if TYPE_CHECKING:
    from glidepath.registry.discovery.catalogue import Catalogue
    from glidepath.registry.plan.plan import Plan

EPILOG = """\
Reads the spec, its presets and overrides, finds the parts, checks every parameter, and checks
that the parts fit one another. Builds nothing, loads no weights, imports no torch, but where weights
were trained otherwise (their header says how): whether they fit at all is then tried. The exit
status is 2 if there are problems. A warning is what will not make the images that are meant: weights
that were trained otherwise, or that are not there yet, or a file that is not given.

examples:
  glidepath check my.yaml
  glidepath check my.yaml --set sampler=ddim --set sampler.steps=50
  glidepath check my.yaml --json
"""


def parser() -> CommandParser:
    """Its arguments."""
    parser = CommandParser(
        prog="glidepath check",
        description="Whether a spec is right; every problem, with its place.",
        epilog=EPILOG,
    )
    add_spec_arguments(parser)
    add_json_argument(parser)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Print "SPEC: ok", and how many warnings there are.

    Raises:
        SpecError: with all problems of the spec; with `--json` they are the document instead.
    """
    from glidepath.registry.assembly.warnings import doubts
    from glidepath.registry.plan.targets import require_targets

    try:
        catalogue, plan = open_plan(arguments)
        require_targets(plan)
        _require_fit(plan, catalogue)
        warnings = [problem.render() for problem in doubts(plan, catalogue)]
    except SpecError as error:
        warnings = _not_there(arguments, error.problems)
        if arguments.json:
            print_json(_document(arguments.spec, error.problems, warnings))
            return 2
        for warning in warnings:
            warn_once(warning)
        raise
    if arguments.json:
        print_json(_document(arguments.spec, (), warnings))
        return 0
    for warning in warnings:
        warn_once(warning)
    count = f", with {len(warnings)} warning{'s' * (len(warnings) > 1)}" if warnings else ""
    print(f"{arguments.spec}: ok{count}")
    return 0


def _not_there(arguments: argparse.Namespace, problems: Sequence[Problem]) -> list[str]:
    """Warnings of weights that are not there, of a spec that has problems, and so no plan."""
    try:
        open_plan(arguments, need_weights=True)
    except SpecError as error:
        return [problem.render() for problem in error.problems if problem not in problems]
    return []


def _require_fit(plan: Plan, catalogue: Catalogue) -> None:
    """Refuse weights of other shapes. It takes seconds: only where networks are not as they were trained."""
    from glidepath.registry.assembly.warnings import training_mismatches

    mismatches = training_mismatches(plan, catalogue)
    if all("schedule" in problem.path.split(".") for problem in mismatches):
        return
    from glidepath.registry.assembly.build import require_fit
    from glidepath.registry.files.tensor_file import WeightsError

    try:
        require_fit(plan, catalogue)
    except WeightsError as error:
        raise SpecError([*mismatches, Problem(what=str(error))]) from error


def _document(spec: str, problems: Sequence[Problem], warnings: Sequence[str]) -> dict[str, object]:
    return {
        "spec": spec,
        "ok": not problems,
        "problems": [_as_json(problem) for problem in problems],
        "warnings": list(warnings),
    }


def _as_json(problem: Problem) -> dict[str, object]:
    place = problem.place or Place("")
    return {
        "what": problem.what,
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "path": problem.path,
        "hint": problem.hint,
        "allowed": list(problem.allowed),
    }
