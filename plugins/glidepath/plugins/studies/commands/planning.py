"""`study plan` and `study show`."""

from __future__ import annotations

import argparse

from glidepath.plugins.studies.commands.opening import open_graph, open_study, store_of
from glidepath.registry import print_json, yaml_block


def plan(arguments: argparse.Namespace) -> int:
    """`study plan`: what it would run, what it will take, and what it can show."""
    from glidepath.plugins.studies.run import planning

    _catalogue, study, graph = open_graph(arguments)
    seconds = arguments.probe
    if seconds is None:
        seconds = planning.PROBE_SECONDS if len(study.arms) <= planning.MOST_PROBED else 0.0
    store = store_of(arguments, study)
    planned = planning.plan(study, graph, store, probe_seconds=seconds, no_plugins=arguments.no_plugins)
    if arguments.json:
        print_json(planning.as_json(planned))
    else:
        for line in planning.as_text(planned, everything=arguments.all):
            print(line)
    return 0


def show(arguments: argparse.Namespace) -> int:
    """`study show`: an arm as an ordinary spec."""
    _catalogue, study = open_study(arguments)
    tree = study.arm(arguments.arm).tree()
    if arguments.json:
        print_json(tree)
    else:
        print(f"# arm {arguments.arm} of {study.name}\n{yaml_block(tree)}")
    return 0
