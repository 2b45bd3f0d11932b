"""`glidepath alert`: try the alerts of a spec, and watch runs from another machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.core import GlidepathError
from glidepath.registry import (
    CommandParser,
    add_plugin_switches,
    add_spec_arguments,
    build_part,
    list_names,
    make_plan,
    open_catalogue,
    open_plan,
    read_spec,
)

if TYPE_CHECKING:
    from glidepath.plugins.alerts.alert import Alert
    from glidepath.registry import Catalogue, Plan

EPILOG = """\
Alerts stand in a spec, and their addresses in the environment:

  alerts: [{use: webhook, url_env: MY_WEBHOOK, tell: [crashed, nan, done]}]

`watch` reads the heartbeat of runs, such as on a disk that several machines share: it tells of a machine
that is gone, which no process there can.

examples:
  glidepath alert test my.yaml
  glidepath alert watch runs/photos runs/shapes
"""


def main(argv: Sequence[str]) -> int:
    """Returns 0 when every message was taken, or every run that is watched has come to its end; 1 otherwise.

    Raises:
        SpecError: the spec has problems.
        GlidepathError: it has no alerts, or one lacks what it needs.
    """
    arguments = parser().parse_args(argv)
    return int(arguments.run(arguments))


def test(arguments: argparse.Namespace) -> int:
    """`alert test`: send a message through each alert of a spec."""
    from glidepath.plugins.alerts.message import Message, Undelivered

    catalogue, plan = open_plan(arguments)
    failed = 0
    for index, alert in enumerate(alerts_of(plan, catalogue, arguments.spec)):
        alert.require()
        name = f"alerts[{index}] ({type(alert).__name__})"
        body = f"An alert of {arguments.spec}, sent by `glidepath alert test`: it works."
        try:
            alert.send(Message(condition="test", key="test", title="glidepath: a test", body=body))
        except Undelivered as error:
            failed += 1
            print(f"{name}: {error}", file=sys.stderr)
        except Exception as error:  # its text may name an address
            failed += 1
            print(f"{name}: {type(error).__name__}", file=sys.stderr)
        else:
            print(f"{name}: delivered")
    return 1 if failed else 0


def watch(arguments: argparse.Namespace) -> int:
    """`alert watch`: tell of runs whose heartbeat stops."""
    from glidepath.plugins.alerts.switch import Switch, watch_all

    switches = []
    for folder in arguments.runs:
        spec = arguments.spec or folder / "spec.yaml"
        catalogue = open_catalogue(arguments)
        plan = make_plan(read_spec(spec, catalogue=catalogue), catalogue)
        alerts = alerts_of(plan, catalogue, str(spec))
        for alert in alerts:
            alert.require()
        switches.append(Switch(folder, alerts, after=arguments.after))
    print(f"watching {list_names([str(it) for it in arguments.runs])}", flush=True)
    return watch_all(switches, partial(print, flush=True))


def alerts_of(plan: Plan, catalogue: Catalogue, spec: str) -> list[Alert]:
    """The alerts of a spec, built.

    Raises:
        GlidepathError: it has none.
    """
    planned = plan.parts.get("alerts", ())
    if not isinstance(planned, tuple) or not planned:
        raise GlidepathError(f"{spec} has no alerts; write some: alerts: [{{use: webhook}}]")
    return [build_part(part, catalogue) for part in planned]


def parser() -> argparse.ArgumentParser:
    """Its arguments. Completion in shells asks for them."""
    parser = CommandParser(
        prog="glidepath alert", description="Try alerts, or watch runs from another machine.", epilog=EPILOG
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    tried = commands.add_parser("test", help="send a message through each alert of a spec")
    add_spec_arguments(tried)
    add_plugin_switches(tried)
    tried.set_defaults(run=test)
    watched = commands.add_parser("watch", help="tell of runs whose heartbeat stops")
    watched.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="the folder of a run")
    watched.add_argument(
        "--spec",
        type=Path,
        metavar="SPEC",
        help="whose alerts tell of it (default: spec.yaml in each)",
    )
    watched.add_argument(
        "--after",
        type=float,
        default=40.0,
        metavar="SECONDS",
        help="without a heartbeat that count as gone (default: 40; a heart beats every 15)",
    )
    add_plugin_switches(watched)
    watched.set_defaults(run=watch)
    return parser
