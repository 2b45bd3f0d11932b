"""`glidepath study`: plan, run and look into a study."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from glidepath.plugins.studies.commands import inspecting, planning, reporting, running
from glidepath.plugins.studies.commands.inspecting import MOST_LISTED
from glidepath.plugins.studies.store.files import StoreError
from glidepath.plugins.studies.study.sections import FAILURES
from glidepath.registry import CommandParser, add_plugin_switches, key_value

EPILOG = """\
STUDY is a study file; for status, stop, export and compare also the folder of one that has run.

examples:
  glidepath study plan scales.yaml
  glidepath study run scales.yaml --set engine.slots=2
  glidepath study show scales.yaml scale=3 > arm.yaml
  glidepath study status scales.yaml
  glidepath study why scales.yaml scale=3
  glidepath study export scales.yaml --out scores.csv
  glidepath study compare old/scales runs/studies/scales
"""


def main(argv: Sequence[str]) -> int:
    """Run one of the subcommands.

    Raises:
        SpecError: the study has problems; all are listed.
        GlidepathError: the store cannot be used, or nothing has the name that was given.
    """
    arguments = parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except OSError as error:
        if error.filename is None or isinstance(error, BrokenPipeError):
            raise
        # a folder of another user, or a file in the place of a folder
        raise StoreError(f"cannot use {error.filename}: {error.strerror}") from error
    return status


@cache
def parser() -> CommandParser:
    """Its arguments, with those of its subcommands."""
    parser = CommandParser(
        prog="glidepath study",
        description=__doc__,
        epilog=EPILOG,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], int], text: str, *, reads: bool) -> CommandParser:
        command: CommandParser = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        if name not in ("list", "compare"):
            kinds = "a study file" if reads else "a study file, or the folder of one that has run"
            command.add_argument("study", metavar="STUDY", type=Path, help=kinds)
            command.add_argument(
                "--store", type=Path, metavar="FOLDER", help="of the results (default: runs/studies/NAME)"
            )
        if reads:
            command.add_argument(
                "--set",
                metavar="KEY=VALUE",
                type=key_value,
                dest="overrides",
                action="append",
                default=[],
                help="change a value of the study, such as seeds.sample=2 or base.sampler.steps=10",
            )
        add_plugin_switches(command)
        command.add_argument("--json", action="store_true", help="print one JSON document")
        return command

    plan = add(
        "plan",
        planning.plan,
        "what a study would run, what is there already, and what it can show",
        reads=True,
    )
    plan.add_argument("--all", action="store_true", help=f"list all arms, not {MOST_LISTED} of them")
    probing = plan.add_mutually_exclusive_group()
    probing.add_argument(
        "--probe",
        type=float,
        metavar="SECONDS",
        help="try a few steps of each kind of work for so long (default: 60, or 0 for over 1000 arms)",
    )
    probing.add_argument(
        "--no-probe",
        dest="probe",
        action="store_const",
        const=0.0,
        help="tell the time by what has run, or not at all",
    )
    show = add("show", planning.show, "an arm as an ordinary spec", reads=True)
    show.add_argument("arm", metavar="ARM", help="its name, as `study plan` lists it")
    add("run", running.run, "run what is missing of a study; the same command resumes it", reads=True)
    retry = add("retry", running.retry, "try again what has failed for good, and run the rest", reads=True)
    retry.add_argument(
        "--class", dest="classes", action="append", choices=FAILURES, help="only what failed so; repeatable"
    )
    why = add("why", inspecting.why, "why a stage of an arm runs again, or how it failed", reads=True)
    why.add_argument("node", metavar="NODE", help="an arm's name, or the beginning of a key")
    add("status", inspecting.status, "how far a study is", reads=False)
    stop = add("stop", running.stop, "let a running study end: what runs is finished first", reads=False)
    stop.add_argument("--now", action="store_true", help="kill what runs")
    export = add(
        "export", reporting.export, "every score of a study as CSV or Parquet, or its images", reads=False
    )
    export.add_argument(
        "--pictures",
        type=Path,
        metavar="FOLDER",
        help="write every image there, each with what made it, and a list of them",
    )
    export.add_argument("--out", type=Path, metavar="FILE", help="default: the standard output")
    export.add_argument(
        "--format",
        choices=("csv", "parquet"),
        help="default: by the ending of --out, else csv; parquet needs glidepath-diffusion[parquet]",
    )
    report = add("report", reporting.report, "compare the arms: a page, tables and figures", reads=True)
    report.add_argument("--out", type=Path, metavar="FOLDER", help="default: `report` beside the results")
    report.add_argument(
        "--as-measured",
        action="store_true",
        help="of the last run, though code has changed since; the report says so",
    )
    compared = add("compare", reporting.compare, "an earlier study beside this one", reads=False)
    compared.add_argument("first", metavar="EARLIER", type=Path, help="a study file, or a folder of results")
    compared.add_argument("second", metavar="STUDY", type=Path, help="the same")
    listed = add("list", inspecting.list_studies, "the studies that have run", reads=False)
    listed.add_argument(
        "folder", nargs="?", type=Path, default=Path("runs/studies"), help="default: %(default)s"
    )
    return parser
