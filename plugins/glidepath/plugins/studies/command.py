"""`glidepath study`: plan, run and look into a study."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from glidepath.core import GlidepathError
from glidepath.plugins.studies.store.files import StoreError, locked, read_json, write_json
from glidepath.plugins.studies.store.store import GRAPH, STOP, STUDY, Store
from glidepath.plugins.studies.study.sections import FAILURES
from glidepath.registry import (
    CannotWrite,
    CommandParser,
    add_plugin_switches,
    indent,
    note_failures,
    open_catalogue,
    print_json,
    shorten,
    text_table,
    yaml_text,
)
from glidepath.registry.files.folder_lock import take_lock

if TYPE_CHECKING:
    from glidepath.plugins.studies.run.stale_results import AsMeasured
    from glidepath.plugins.studies.study.graph import Graph
    from glidepath.plugins.studies.study.study import Study
    from glidepath.registry import Catalogue

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

_MOST_LISTED = 30


def main(argv: Sequence[str]) -> int:
    """Run one of the subcommands.

    Raises:
        SpecError: the study has faults; all are listed.
        GlidepathError: the store cannot be used, or nothing has the name that was given.
    """
    arguments = parser().parse_args(argv)
    status: int = arguments.run(arguments)
    return status


def parser() -> CommandParser:
    """Its arguments, with those of its subcommands."""
    parser = CommandParser(
        prog="glidepath study",
        description=__doc__,
        epilog=EPILOG,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], int], text: str, *, reads: bool) -> CommandParser:
        one: CommandParser = commands.add_parser(name, help=text, description=text)
        one.set_defaults(run=run)
        if name not in ("list", "compare"):
            kinds = "a study file" if reads else "a study file, or the folder of one that has run"
            one.add_argument("study", metavar="STUDY", type=Path, help=kinds)
            one.add_argument(
                "--store", type=Path, metavar="FOLDER", help="of the results (default: runs/studies/NAME)"
            )
        if reads:
            one.add_argument(
                "--set",
                metavar="KEY=VALUE",
                dest="overrides",
                action="append",
                default=[],
                help="change a value of the study, such as seeds.sample=2 or base.sampler.steps=10",
            )
        add_plugin_switches(one)
        one.add_argument("--json", action="store_true", help="print one JSON document")
        return one

    plan = add(
        "plan", _plan, "what a study would run, what is there already, and what it can show", reads=True
    )
    plan.add_argument("--all", action="store_true", help=f"list all arms, not {_MOST_LISTED} of them")
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
    show = add("show", _show, "an arm as an ordinary spec", reads=True)
    show.add_argument("arm", metavar="ARM", help="its name, as `study plan` lists it")
    add("run", _run, "run what is missing of a study; the same command resumes it", reads=True)
    retry = add("retry", _retry, "try again what has failed for good, and run the rest", reads=True)
    retry.add_argument(
        "--class", dest="classes", action="append", choices=FAILURES, help="only what failed so; repeatable"
    )
    why = add("why", _why, "why a stage of an arm runs again, or how it failed", reads=True)
    why.add_argument("node", metavar="NODE", help="an arm's name, or the beginning of a key")
    add("status", _status, "how far a study is", reads=False)
    stop = add("stop", _stop, "let a running study end: what runs is finished first", reads=False)
    stop.add_argument("--now", action="store_true", help="kill what runs")
    export = add("export", _export, "every score of a study as CSV or Parquet", reads=False)
    export.add_argument("--out", type=Path, metavar="FILE", help="default: the standard output")
    export.add_argument(
        "--format",
        choices=("csv", "parquet"),
        help="default: by the ending of --out, else csv; parquet needs glidepath-diffusion[parquet]",
    )
    report = add("report", _report, "compare the arms: a page, tables and figures", reads=True)
    report.add_argument("--out", type=Path, metavar="FOLDER", help="default: `report` beside the results")
    report.add_argument(
        "--as-measured",
        action="store_true",
        help="of the last run, though code has changed since; the report says so",
    )
    compared = add("compare", _compare, "an earlier study beside this one", reads=False)
    compared.add_argument("first", metavar="EARLIER", type=Path, help="a study file, or a folder of results")
    compared.add_argument("second", metavar="STUDY", type=Path, help="the same")
    listed = add("list", _list, "the studies that have run", reads=False)
    listed.add_argument(
        "folder", nargs="?", type=Path, default=Path("runs/studies"), help="default: %(default)s"
    )
    return parser


def _plan(arguments: argparse.Namespace) -> int:
    from glidepath.plugins.studies.run.planning import MOST_PROBED, PROBE_SECONDS, as_json, as_text, plan

    _catalogue, study, graph = _read(arguments)
    seconds = arguments.probe
    if seconds is None:
        seconds = PROBE_SECONDS if len(study.arms) <= MOST_PROBED else 0.0
    store = Store(_folder(arguments, study))
    planned = plan(study, graph, store, probe_seconds=seconds, no_plugins=arguments.no_plugins)
    if arguments.json:
        print_json(as_json(planned))
    else:
        for line in as_text(planned, everything=arguments.all):
            print(line)
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from glidepath.plugins.studies.study.reader import read_study

    _refuse_folder(arguments.study)
    catalogue = open_catalogue(arguments)
    study = read_study(arguments.study, arguments.overrides, catalogue=catalogue)
    tree = study.arm(arguments.arm).tree()
    if arguments.json:
        print_json(tree)
    else:
        print("\n".join([f"# arm {arguments.arm} of {study.name}", *_block(tree, "")]))
    return 0


def _run(arguments: argparse.Namespace) -> int:
    catalogue, study, graph = _read(arguments)
    return _drive(arguments, catalogue, study, graph)


def _retry(arguments: argparse.Namespace) -> int:
    catalogue, study, graph = _read(arguments)
    store = Store(_folder(arguments, study))
    forgiven = 0
    with locked(store.folder):
        for key in graph.nodes:
            counted = store.counted(key)
            if counted and (not arguments.classes or counted[-1].state in arguments.classes):
                store.forgive(key)
                forgiven += 1
    print(f"{forgiven} failed nodes are tried again", file=sys.stderr)
    return _drive(arguments, catalogue, study, graph)


def _drive(arguments: argparse.Namespace, catalogue: Catalogue, study: Study, graph: Graph) -> int:
    from glidepath.plugins.studies.run.display import StudyDisplay, ask, interrupts
    from glidepath.plugins.studies.run.driver import Driver
    from glidepath.plugins.studies.store.summary import read_summary
    from glidepath.registry import build_part

    store = Store(_folder(arguments, study))
    for warning in study.warnings:
        print(f"glidepath: warning: {warning}", file=sys.stderr)
    with ExitStack() as stack:
        stack.enter_context(locked(store.folder))
        store.close_unfinished()
        interrupted = stack.enter_context(interrupts())
        display = stack.enter_context(StudyDisplay())
        driver = Driver(
            study,
            graph,
            store,
            build_part(study.engine, catalogue),
            report=display.report,
            interrupted=interrupted,
            go_on=ask,
            no_plugins=arguments.no_plugins,
        )
        with redirect_stdout(sys.stderr):  # what an engine prints is no result of the command
            outcome = driver.run()
        failures = read_summary(store).failures()
    if arguments.json:
        print_json(
            {
                "folder": str(store.folder),
                "ran": outcome.ran,
                "found": outcome.found,
                "failed": outcome.failed,
                "blocked": outcome.blocked,
                "stopped": outcome.stopped,
            }
        )
    else:
        print(
            f"{outcome.ran} nodes were run, {outcome.found} had a result before; "
            f"{outcome.failed} failed, and {outcome.blocked} wait for them. Results: {store.folder}"
        )
        for stage, key, state, message, count in failures[:10]:
            print(f"  {stage} {key[:12]}: {state} after {count} attempts: {shorten(message, 90)}")
    if outcome.stopped:
        print(f"stopped: {outcome.stopped}. The same command goes on from here.", file=sys.stderr)
        return 130 if outcome.stopped == "it was told to stop" else 1
    return 1 if outcome.failed else 0


def _why(arguments: argparse.Namespace) -> int:
    _catalogue, study, graph = _read(arguments)
    store = Store(_folder(arguments, study))
    keys = [key for key in graph.nodes if key.startswith(arguments.node)] if _is_key(arguments.node) else []
    if not keys:
        name = study.arm(arguments.node).name
        keys = list(
            dict.fromkeys(key for trial in graph.trials if trial.arm == name for key in trial.nodes.values())
        )
    from glidepath.plugins.studies.run.explain import explain

    answers = [explain(graph.nodes[key], store) for key in keys]
    if arguments.json:
        print_json(answers)
        return 0
    for answer in answers:
        print(f"{answer['label']} ({answer['key'][:12]}): {answer['state']}")
        for line in answer["why"]:
            print(f"  {line}")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from glidepath.plugins.studies.store.summary import read_summary

    store = Store(_store_folder(arguments))
    if not _exists(store):
        raise GlidepathError(f"no study has run in {store.folder}: `glidepath study run` begins one")
    graph = read_json(store.folder / GRAPH) or {}
    running = _is_running(store)
    summary = read_summary(store)
    states, arms, failures = summary.by_stage(), summary.by_arm(), summary.failures()
    seconds = summary.mean_seconds()
    if arguments.json:
        print_json(
            {
                "study": graph.get("study"),
                "folder": str(store.folder),
                "running": running,
                "stages": states,
                "arms": {
                    arm: {"done": done, "failed": failed, "all": count}
                    for arm, (done, failed, count) in arms.items()
                },
                "failures": [
                    dict(zip(("stage", "key", "class", "message", "attempts"), it, strict=True))
                    for it in failures
                ],
            }
        )
        return 0
    print(f"{graph.get('study')} is {'running' if running else 'not running'}; {store.folder}")
    if _has_changed(arguments.study, store):
        plan = ["glidepath", "study", "plan", str(arguments.study)]
        plan += ["--store", str(arguments.store)] if arguments.store is not None else []
        print(
            f"shown is the last run; {arguments.study} has changed since "
            f"(`{shlex.join(plan)}` tells what is new)"
        )
    names = ("done", "running", "failed", "waiting")
    rows: list[tuple[str, ...]] = [("stage", *names, "mean seconds")]
    for stage, found in states.items():
        mean = f"{seconds[stage]:.2f}" if stage in seconds else ""
        rows.append((stage, *(str(found.get(name, 0)) for name in names), mean))
    print("\n" + text_table(rows))
    unfinished = [(arm, it) for arm, it in arms.items() if it[0] < it[2]]
    if unfinished:
        print("\narms that are not finished")
        lines = [
            (arm, f"{done} of {count}", f"{failed} failed" if failed else "")
            for arm, (done, failed, count) in unfinished[:_MOST_LISTED]
        ]
        print(indent(text_table(lines)))
        if len(unfinished) > _MOST_LISTED:
            print(f"  ... and {len(unfinished) - _MOST_LISTED} more")
    for stage, key, state, message, count in failures[:10]:
        print(f"{stage} {key[:12]}: {state} after {count} attempts: {shorten(message, 90)}")
    return 0


def _has_changed(path: Path, store: Store) -> bool:
    """Whether a study file has another text than the one that ran last; overrides are no part of either."""
    try:
        now, then = (it.read_text(encoding="utf-8-sig") for it in (path, store.folder / STUDY))
    except (OSError, UnicodeDecodeError):  # a folder, or a store without a copy
        return False
    return now != then


def _stop(arguments: argparse.Namespace) -> int:
    store = Store(_store_folder(arguments))
    if not _exists(store) or not _is_running(store):
        raise GlidepathError(f"no study runs in {store.folder}")
    write_json(store.folder / STOP, {"now": arguments.now})
    print("told: what runs is killed" if arguments.now else "told: it ends when what runs is finished")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    store = Store(_store_folder(arguments))
    if not _exists(store):
        raise GlidepathError(f"no study has run in {store.folder}")
    from glidepath.plugins.studies.run.exporting import format_of, write_csv, write_file
    from glidepath.plugins.studies.store.summary import read_summary

    chosen = format_of(arguments.out, arguments.format)
    if arguments.out is None and chosen == "parquet":
        raise GlidepathError("a Parquet file is no text for the standard output: name it with --out")
    summary = read_summary(store)
    if arguments.out is None:
        write_csv(summary, sys.stdout)
        return 0
    count = write_file(summary, arguments.out, chosen)
    print(f"{count} scores: {arguments.out}", file=sys.stderr)
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    from glidepath.plugins.studies.run.comparing import as_json, as_text, compare, kept

    found = compare(*(kept(_results_of(path)) for path in (arguments.first, arguments.second)))
    if arguments.json:
        print_json(as_json(found))
    else:
        for line in as_text(found):
            print(line)
    return 0


def _results_of(path: Path) -> Path:
    """The folder of a study's results: itself, or that of a study file."""
    if path.is_dir():
        return path
    from glidepath.plugins.studies.study.reader import name_of

    return Path("runs/studies") / name_of(path)


def _report(arguments: argparse.Namespace) -> int:
    from glidepath.plugins.studies.report.write import write_report
    from glidepath.plugins.studies.run.collect import collect
    from glidepath.plugins.studies.run.real_data_scores import real_values
    from glidepath.plugins.studies.run.stale_results import as_measured

    catalogue, study, graph = _read(arguments)
    store = Store(_folder(arguments, study))
    if not _exists(store):
        raise GlidepathError(f"no study has run in {store.folder}: `glidepath study run` begins one")
    command = f"glidepath study run {arguments.study}"
    stale = as_measured(graph, store)
    if arguments.as_measured:
        graph, study = stale.graph, attrs.evolve(study, warnings=(*study.warnings, *stale.notes))
    results = collect(study, graph, store, command=command, real=real_values(study, catalogue))
    if not results.metrics:
        raise GlidepathError(_nothing_measured(arguments, stale, store))
    folder: Path = arguments.out or store.folder / "report"
    try:
        page = write_report(results, folder)
    except OSError as error:
        raise StoreError(f"an image of the report cannot be read: {error}") from error
    if arguments.json:
        print_json({"page": str(page)})
    else:
        print(page)
    return 0


def _nothing_measured(arguments: argparse.Namespace, before: AsMeasured, store: Store) -> str:
    """What to tell where there is nothing to report; before: what there was, by other code."""
    again = f"`glidepath study run {arguments.study}`"
    measured = (node.key for node in before.graph.nodes.values() if node.stage == "measure")
    if arguments.as_measured or not any(map(store.done, measured)):
        return f"nothing was measured yet: {again} does"
    return (
        f"nothing was measured yet by what is installed. There are results: {before.notes[0]}. "
        f"--as-measured reports them, and {again} measures anew"
    )


def _list(arguments: argparse.Namespace) -> int:
    rows: list[dict[str, Any]] = []
    for path in sorted(arguments.folder.glob(f"*/{GRAPH}")):
        graph = read_json(path) or {}
        store = Store(path.parent)
        rows.append(
            {
                "study": graph.get("study"),
                "arms": len(graph.get("arms", ())),
                "trials": len(graph.get("trials", ())),
                "running": _is_running(store),
                "folder": str(path.parent),
            }
        )
    if arguments.json:
        print_json(rows)
    elif not rows:
        print(f"no study has run in {arguments.folder}")
    else:
        lines = [
            (
                str(it["study"]),
                f"{it['arms']} arms",
                f"{it['trials']} trials",
                "running" if it["running"] else "",
                it["folder"],
            )
            for it in rows
        ]
        print(text_table(lines))
    return 0


def _read(arguments: argparse.Namespace) -> tuple[Catalogue, Study, Graph]:
    """The study that the arguments name, and its graph."""
    from glidepath.plugins.studies.study.graph import build_graph, resolved_runtime
    from glidepath.plugins.studies.study.reader import read_study

    _refuse_folder(arguments.study)
    catalogue = open_catalogue(arguments)
    study = read_study(arguments.study, arguments.overrides, catalogue=catalogue)
    note_failures(catalogue)
    runtime = resolved_runtime(study)
    return (
        catalogue,
        study,
        build_graph(study, catalogue, runtime=runtime),
    )


def _refuse_folder(path: Path) -> None:
    """Of a folder of results, name the file that ran: the copy in it is of no use where its base is not."""
    if not path.is_dir():
        return
    file = Path(str((read_json(path / GRAPH) or {}).get("file", "")))
    near = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    give = f"give the study file, {near}" if file.is_file() else "give the study file"
    copy = f" ({path / STUDY} is a copy of it)" if (path / STUDY).is_file() else ""
    raise GlidepathError(f"{path} is a folder: {give}{copy}")


def _folder(arguments: argparse.Namespace, study: Study) -> Path:
    store: Path | None = arguments.store
    return store or Path("runs/studies") / study.name


def _store_folder(arguments: argparse.Namespace) -> Path:
    """The folder of a study's results, found without reading the specs of its arms."""
    if arguments.store is not None or arguments.study.is_dir():
        folder: Path = arguments.store or arguments.study
        return folder
    from glidepath.plugins.studies.study.reader import name_of

    return Path("runs/studies") / name_of(arguments.study)


def _exists(store: Store) -> bool:
    return (store.folder / GRAPH).exists()


def _is_running(store: Store) -> bool:
    """Whether a driver holds the store's lock."""
    if not (store.folder / ".lock").exists():
        return False
    try:
        descriptor = take_lock(store.folder / ".lock")
    except CannotWrite:  # where we may not write, nobody that we could hinder runs
        return False
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def _is_key(text: str) -> bool:
    return len(text) >= 6 and all(letter in "0123456789abcdef" for letter in text)


def _block(mapping: dict[str, Any], margin: str) -> Iterator[str]:
    for key, value in mapping.items():
        if isinstance(value, dict) and value:
            yield f"{margin}{yaml_text(key)}:"
            yield from _block(value, margin + "  ")
        else:
            yield f"{margin}{yaml_text(key)}: {yaml_text(value)}"
