"""`glidepath runs`: what runs there are, how they differ, their curves, a page of one, and stopping them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from glidepath.core import GlidepathError
from glidepath.plugins.trackers.runs import STOP, Recorded, differences, find_runs
from glidepath.registry import (
    CommandParser,
    UsageError,
    add_json_argument,
    print_json,
    text_table,
    write_text,
    write_whole,
)

EPILOG = """\
examples:
  glidepath runs
  glidepath runs runs/a runs/b --compare
  glidepath runs runs/a runs/b --curves loss.png --figure loss
  glidepath runs runs/a --page a.html
  glidepath runs runs/a --stop
"""


def main(argv: Sequence[str]) -> int:
    """Returns 0.

    Raises:
        GlidepathError: there are no runs, or a file cannot be written.
    """
    arguments = parser().parse_args(argv)
    runs = find_runs(arguments.folders or [Path("runs")])
    if arguments.stop:
        _stop(runs, named=bool(arguments.folders))
    elif arguments.curves is not None:
        _draw(runs, arguments.figure or ["loss"], arguments.curves)
    elif arguments.page is not None:
        _page(runs, arguments.page)
    elif arguments.compare:
        _compare(runs, as_json=arguments.json)
    elif arguments.json:
        print_json([_summary(run) for run in runs])
    else:
        rows = [_row(run) for run in runs]
        print(text_table([("RUN", "STATE", "STEP", "STAGE", "LOSS", "IMAGES/S"), *rows]))
    return 0


def _row(run: Recorded) -> tuple[str, ...]:
    loss, rate = run.last.get("loss"), run.last.get("images_per_second")
    return (
        str(run.folder),
        run.state,
        f"{run.step} of {run.total}",
        run.stage or "-",
        "-" if loss is None else f"{loss:g}",
        "-" if rate is None else f"{rate:g}",
    )


def _summary(run: Recorded) -> dict[str, object]:
    stands = {"run": str(run.folder), "state": run.state, "step": run.step, "total": run.total}
    return {**stands, "stage": run.stage, "figures": dict(run.last)}


def _compare(runs: Sequence[Recorded], *, as_json: bool) -> None:
    """What differs between their specs, and where their figures stand."""
    differ = differences(runs)
    figures = {
        name: [f"{run.last[name]:g}" if _has(run, name) else "-" for run in runs]
        for name in dict.fromkeys(name for run in runs for name in run.names)
        if any(_has(run, name) for run in runs)
    }
    if as_json:
        print_json({"runs": [str(run.folder) for run in runs], "spec": differ, "figures": figures})
        return
    head = ("", *(str(run.folder) for run in runs))
    rows = [(name, *values) for name, values in {**differ, **figures}.items()]
    print(text_table([head, *rows]))


def _has(run: Recorded, name: str) -> bool:
    return isinstance(run.last.get(name), int | float)


def _draw(runs: Sequence[Recorded], names: Sequence[str], file: Path) -> None:
    for name in names:
        if not any(run.curve(name)[0] for run in runs):
            known = sorted({known for run in runs for known in run.names})
            raise UsageError(f"no run has a figure {name!r}; there are {', '.join(known)}")
    data = _drawing()(runs, names)
    write_whole(file, lambda partial: partial.write_bytes(data))
    print(file)


def _page(runs: Sequence[Recorded], file: Path) -> None:
    if len(runs) != 1:
        raise UsageError(f"a page is of one run, and these are {len(runs)}")
    _drawing()
    from glidepath.plugins.trackers.page import page

    write_text(file, page(runs[0]))
    print(file)


def _stop(runs: Sequence[Recorded], *, named: bool) -> None:
    """Have runs stop, wherever they go on that their folders are seen from."""
    if not named:
        raise UsageError("name the runs that are to stop, such as glidepath runs runs/a --stop")
    for run in runs:
        if run.state != "running":
            raise GlidepathError(f"{run.folder} does not run: it is {run.state}")
    for run in runs:
        write_text(run.folder / STOP, "{}\n")
        print(f"{run.folder} stops after its step, with a checkpoint")


def _drawing() -> Callable[[Sequence[Recorded], Sequence[str]], bytes]:
    try:
        from glidepath.plugins.trackers.curves import curves
    except ImportError as error:
        raise GlidepathError(
            "matplotlib draws curves, and is not installed: pip install 'glidepath-diffusion[studies]'"
        ) from error
    return curves


def parser() -> argparse.ArgumentParser:
    """Its arguments. Completion in shells asks for them."""
    parser = CommandParser(
        prog="glidepath runs",
        description="List, compare, draw and stop runs of training.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "folders", nargs="*", type=Path, metavar="FOLDER", help="of a run, or of several (default: runs)"
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--compare", action="store_true", help="what differs between specs, and the figures")
    shown.add_argument("--curves", type=Path, metavar="FILE", help="draw figures into a PNG")
    shown.add_argument("--page", type=Path, metavar="FILE", help="write a page of one run, HTML in one file")
    shown.add_argument("--stop", action="store_true", help="have running ones stop, with a checkpoint")
    parser.add_argument(
        "--figure", action="append", metavar="NAME", help="for --curves: which (default: loss); repeatable"
    )
    add_json_argument(parser)
    return parser
