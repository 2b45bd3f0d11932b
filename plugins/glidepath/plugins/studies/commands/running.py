"""`study run`, `study retry` and `study stop`."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack, redirect_stdout
from typing import TYPE_CHECKING

from glidepath.core import GlidepathError, Subject
from glidepath.plugins.studies.commands.opening import find_store, open_graph, store_of
from glidepath.plugins.studies.store.files import lock_study, write_json
from glidepath.plugins.studies.store.store import STOP
from glidepath.registry import listening, print_json

if TYPE_CHECKING:
    from glidepath.plugins.studies.study.graph import Graph
    from glidepath.plugins.studies.study.study import Study
    from glidepath.registry import Catalogue


def run(arguments: argparse.Namespace) -> int:
    """`study run`: what is missing of a study."""
    catalogue, study, graph = open_graph(arguments)
    return _drive(arguments, catalogue, study, graph)


def retry(arguments: argparse.Namespace) -> int:
    """`study retry`: what has failed for good, and the rest."""
    catalogue, study, graph = open_graph(arguments)
    store = store_of(arguments, study)
    forgiven = 0
    with lock_study(store.root):
        for key in graph.nodes:
            counted = store.counted(key)
            if counted and (not arguments.classes or counted[-1].state in arguments.classes):
                store.forgive(key)
                forgiven += 1
    print(f"{forgiven} failed nodes are tried again", file=sys.stderr)
    return _drive(arguments, catalogue, study, graph)


def stop(arguments: argparse.Namespace) -> int:
    """`study stop`: end a study that is running elsewhere."""
    store = find_store(arguments.study, arguments.store)
    if not store.has_run() or not store.is_running():
        raise GlidepathError(f"no study runs in {store.folder}")
    write_json(store.folder / STOP, {"now": arguments.now})
    print("running tasks are killed" if arguments.now else "the study stops when its running tasks are done")
    return 0


def _drive(arguments: argparse.Namespace, catalogue: Catalogue, study: Study, graph: Graph) -> int:
    from glidepath.plugins.studies.commands.display import StudyDisplay, ask, interrupts
    from glidepath.plugins.studies.run.driver import STOP_REQUESTED, Driver
    from glidepath.plugins.studies.run.so_far import SoFar
    from glidepath.plugins.studies.store.summary import read_summary
    from glidepath.registry import build_part

    store = store_of(arguments, study)
    for warning in study.warnings:
        print(f"glidepath: warning: {warning}", file=sys.stderr)
    with ExitStack() as stack:
        stack.enter_context(lock_study(store.root))
        store.close_unfinished()
        interrupted = stack.enter_context(interrupts())
        display = stack.enter_context(StudyDisplay())
        guests = [build_part(part, catalogue) for part in study.listeners]
        subject = Subject(kind="study", name=study.name, folder=store.folder, spec={"study": study.text})
        listeners = stack.enter_context(listening(subject, guests, _warn))
        driver = Driver(
            study,
            graph,
            store,
            build_part(study.engine, catalogue),
            listeners=(display, SoFar(study, graph, store), *listeners),
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
        for failure in failures[:10]:
            print(f"  {failure.told}")
        if failures:
            print(
                f"`glidepath study why {arguments.study} {failures[0].key[:12]}` tells more of the first; "
                f"`glidepath study retry {arguments.study}` tries again"
            )
    if outcome.stopped:
        print(f"stopped: {outcome.stopped}. The same command goes on from here.", file=sys.stderr)
        return 130 if outcome.stopped == STOP_REQUESTED else 1
    return 1 if outcome.failed else 0


def _warn(sentence: str) -> None:
    print(f"glidepath: warning: {sentence}", file=sys.stderr)
