"""`study status`, `study why` and `study list`."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path
from typing import Any

from glidepath.plugins.studies.commands.opening import existing_store, open_graph, store_of
from glidepath.plugins.studies.store.files import StoreError, read_json
from glidepath.plugins.studies.store.shapes import is_graph
from glidepath.plugins.studies.store.store import GRAPH, LOG, OTHERS, STUDY, Store
from glidepath.plugins.studies.study.sections import CANCELLED
from glidepath.registry import indent, print_json, read_text, text_table

MOST_LISTED = 30
_MOST_OF_LOG, _MOST_LINES = 8_192, 40


def why(arguments: argparse.Namespace) -> int:
    """`study why`: why the stages of an arm run again, or how they failed."""
    _catalogue, study, graph = open_graph(arguments)
    store = store_of(arguments, study)
    keys = [key for key in graph.nodes if key.startswith(arguments.node)] if _is_key(arguments.node) else []
    if not keys:
        name = study.arm(arguments.node).name
        keys = list(dict.fromkeys(key for trial in graph.trials if trial.arm == name for key in trial.keys))
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


def status(arguments: argparse.Namespace) -> int:
    """`study status`: how far a study is."""
    from glidepath.plugins.studies.run.so_far import verdicts_of
    from glidepath.plugins.studies.store.summary import read_summary

    store = existing_store(arguments)
    verdicts = verdicts_of(store)
    graph = store.graph()
    running = store.is_running()
    summary = read_summary(store)
    states, arms, failures = summary.by_stage(), summary.by_arm(), summary.failures()
    seconds = summary.mean_seconds()
    if arguments.json:
        keys = ("stage", "key", "class", "message", "attempts", "arms")
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
                    {
                        **dict(zip(keys, it, strict=True)),
                        "log": _log(store, it.key) if number < MOST_LISTED else "",
                    }
                    for number, it in enumerate(failures)
                ],
                "verdicts": verdicts,
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
            for arm, (done, failed, count) in unfinished[:MOST_LISTED]
        ]
        print(indent(text_table(lines)))
        if len(unfinished) > MOST_LISTED:
            print(f"  ... and {len(unfinished) - MOST_LISTED} more")
    for failure in failures[:10]:
        print(failure.told)
    if verdicts is not None:
        print("\n" + verdicts["summary"])
        for it in verdicts["verdicts"][:10]:
            if it["told"] not in verdicts["summary"]:
                print(f"  {it['told']}")
    return 0


def list_studies(arguments: argparse.Namespace) -> int:
    """`study list`: the studies that have run."""
    rows: list[dict[str, Any]] = []
    found = [*arguments.folder.glob(f"*/{GRAPH}"), *arguments.folder.glob(f"*/{OTHERS}/*/{GRAPH}")]
    for path in sorted(found):
        broken = f"{path} is damaged"
        try:
            graph = read_json(path, is_graph) or {}
        except StoreError as error:  # of another user: the others are listed all the same
            graph, broken = {}, str(error)
        store = Store(path.parent)
        rows.append(
            {
                "study": graph.get("study", broken),
                "arms": len(graph.get("arms", ())),
                "trials": len(graph.get("trials", ())),
                "running": store.is_running(),
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


def _log(store: Store, key: str) -> str:
    """The traceback of a node's last failure, or else the end of what its process wrote; "" for nothing."""
    failed = [attempt for attempt in store.attempts(key) if attempt.state not in ("done", CANCELLED)]
    told = str(failed[-1].record.get("traceback", "")) if failed else ""
    try:
        if failed and not told:
            with (failed[-1].folder / LOG).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _MOST_OF_LOG))
                told = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    # what stands before a carriage return was a bar of progress
    lines = [line.rpartition("\r")[2] for line in told[-_MOST_OF_LOG:].split("\n")]
    return "\n".join(lines[-_MOST_LINES:]).strip()


def _has_changed(path: Path, store: Store) -> bool:
    """Whether a study file has another text than the one that ran last; overrides are no part of either."""
    try:
        now, then = (read_text(it) for it in (path, store.folder / STUDY))
    except (OSError, UnicodeDecodeError):  # a folder, or a store without a copy
        return False
    return now != then


def _is_key(text: str) -> bool:
    return len(text) >= 6 and all(letter in "0123456789abcdef" for letter in text)
