"""Runs a study: which node comes next, whether a failed one is tried again, and when to stop."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from glidepath.core import Event, Listener
from glidepath.plugins.studies.engines.tasks import order_of
from glidepath.plugins.studies.interface import Engine, Task
from glidepath.plugins.studies.store.files import read_json, write_json
from glidepath.plugins.studies.store.store import (
    FAILURE,
    GRAPH,
    LOG,
    ORDER,
    RUNNING,
    STOP,
    STUDY,
    Attempt,
    Store,
    make_folder,
)
from glidepath.plugins.studies.store.summary import MEASURE
from glidepath.plugins.studies.study.graph import Graph, Node
from glidepath.plugins.studies.study.sections import CANCELLED
from glidepath.plugins.studies.study.study import Study
from glidepath.registry import write_whole

STOP_REQUESTED = "a stop was requested"
"""Why a run ended that somebody stopped."""
_TICK = 0.5


@attrs.frozen
class RunOutcome:
    """How a run ended.

    ran: nodes that it ran to a result. found: those that had one before.
    stopped: why it ended before the study did, "" for a study that has nothing left to run.
    """

    ran: int
    found: int
    failed: int
    blocked: int
    stopped: str


@attrs.define(eq=False)
class _Running:
    """A task under way, and the order of steps that it was given.

    began: when it was handed to the engine; since: when the engine had taken it, which may warm up first.
    """

    nodes: Sequence[Node]
    numbers: Sequence[int]
    began: float
    since: float = float("inf")
    why: str = ""


class Driver:
    """Runs the nodes of a study that have no result. Retries are decided here: engines retry nothing.

    listeners: are told what happens: "started", "trial-done" and "trial-failed" (of each node, which is the
        `stage` of the event), "step" when a node begins, "done", "stopped" and "error".
    interrupted: polled while the study runs; 1 lets running tasks finish, 2 kills them.
    go_on: called when the budget is spent, where the study says `on_exceed: ask`.
    """

    def __init__(
        self,
        study: Study,
        graph: Graph,
        store: Store,
        engine: Engine,
        *,
        listeners: Sequence[Listener] = (),
        interrupted: Callable[[], int] = lambda: 0,
        go_on: Callable[[], bool] = lambda: False,
        no_plugins: bool = False,
    ) -> None:
        self.study, self.graph, self.store, self.engine = study, graph, store, engine
        self._listeners, self._interrupted, self._go_on = tuple(listeners), interrupted, go_on
        self._no_plugins = no_plugins
        self._order = self._balanced()
        self._done: set[str] = set()
        self._failed: set[str] = set()
        self._is_blocked: set[str] = set()
        self._blocked_by = 0
        self._alone: set[str] = set()
        self._totals = graph.counts()
        self._counts: Counter[str] = Counter()
        self._trials = {key: trial for trial in reversed(graph.trials) for key in trial.keys}
        self._running: dict[str, _Running] = {}
        self._same: dict[str, set[str]] = {}
        self._stopped = ""
        self._ran = self._found = self._count = 0
        self._spent = 0.0
        self._budget = (study.budget.hours or float("inf")) * 3600
        self._began = time.monotonic()

    def run(self) -> RunOutcome:
        """Run until nothing is left, or something says stop.

        Raises:
            CannotWrite, StoreError: the store cannot be written; what it holds is whole.
        """
        try:
            outcome = self._run()
        except BaseException as error:
            self._tell("error", message=f"{type(error).__name__}: {error}")
            raise
        self._tell("stopped" if outcome.stopped else "done", message=outcome.stopped)
        return outcome

    def _run(self) -> RunOutcome:
        write_graph(self.study, self.graph, self.store)
        (self.store.folder / STOP).unlink(missing_ok=True)
        for key in self.graph.nodes:
            if self.store.done(key) is not None:
                self._finish(key)
            else:
                self._note_failures(key)
        self._found = len(self._done)
        self._tell("started")
        try:
            while True:
                self._look_for_stops()
                self._start()
                if not self._running:
                    break
                for ended in self.engine.wait(_TICK):
                    self._take(ended.id, ended.status, ended.why)
        finally:
            self.engine.close()
            for task in list(self._running):
                self._running[task].why = self._running[task].why or "the run ended"
                self._take(task, -9)
        blocked = len(self._blocked())
        return RunOutcome(self._ran, self._found, len(self._failed), blocked, self._stopped)

    def _balanced(self) -> list[str]:
        """Nodes, the last one first to run: all arms of the first seeds, then of the next.

        So half a study is a study of fewer seeds.
        """
        order: dict[str, None] = {}
        for trial in self.graph.trials:
            order.update(dict.fromkeys(trial.keys))
        return list(reversed(order))

    def _note_failures(self, key: str) -> None:
        """Decide whether a node without a result is tried again."""
        counted = self.store.counted(key)
        classes = Counter(attempt.state for attempt in counted if attempt.state != CANCELLED)
        if any(count > self.study.failures.allowed(failure) for failure, count in classes.items()):
            self._failed.add(key)
        elif counted and counted[-1].state == "oom":
            self._alone.add(key)

    def _start(self) -> None:
        """Start what there is room for."""
        if self._stopped:
            return
        busy = {node.key for running in self._running.values() for node in running.nodes}
        while self._order and (self._order[-1] in self._done or self._order[-1] in self._failed):
            self._order.pop()
        for key in reversed(self._order):
            if key in self._done or key in self._failed or key in busy:
                continue
            node = self.graph.nodes[key]
            if not all(other.key in self._done for other in node.upstream):
                continue
            nodes = self._together(node, busy)
            alone = any(node.key in self._alone for node in nodes)
            if self._running and (alone or self._one_runs_alone()):
                return
            self._count += 1
            name = f"{self._count:06d}"
            order = self.store.next_attempt(nodes[0].key) / ORDER
            task = Task(name, order)
            if not self.engine.room(task):
                return
            self._submit(task, nodes)
            busy.update(node.key for node in nodes)

    def _one_runs_alone(self) -> bool:
        return any(node.key in self._alone for running in self._running.values() for node in running.nodes)

    def _together(self, node: Node, busy: set[str]) -> list[Node]:
        """A node, the other batches of its stage, and the measurements that follow at once in one process."""
        if node.stage == "train":
            return [node]
        trial = self._trials[node.key]
        keys = list(trial.nodes.get(node.stage, ())) if node.stage != "measure" else []
        if node.stage != "embed":
            keys += [key for step, some in trial.nodes.items() if step.startswith(MEASURE) for key in some]
        found: dict[str, Node] = {}
        for key in keys:
            there = key in self._done or key in self._failed or key in busy
            other = self.graph.nodes[key]
            if not there and all(it.key in self._done or it.key in found for it in other.upstream):
                found[key] = other
        return list(found.values())

    def _submit(self, task: Task, nodes: Sequence[Node]) -> None:
        order = order_of(nodes, self.study, self.store, no_plugins=self._no_plugins)
        for node in nodes:
            self.store.write_preimage(node.key, node.preimage)
        numbers = [int(step["attempt"].rpartition("/")[2]) for step in order["steps"]]
        make_folder(task.order.parent)
        write_json(task.order, order)
        self._running[task.id] = _Running(nodes, numbers, time.monotonic())
        self._tell("step")
        self.engine.submit(task)
        self._running[task.id].since = time.monotonic()

    def _take(self, task: str, status: int, said: str = "") -> None:
        """Record how the steps of a task ended, and that at which its process died."""
        running = self._running.pop(task)
        self._spent += time.monotonic() - running.began
        ended: list[Attempt] = []
        for node, number in zip(running.nodes, running.numbers, strict=True):
            attempt = next((it for it in self.store.attempts(node.key) if it.number == number), None)
            if attempt is None:
                continue  # it was not begun
            if attempt.state == "running":
                seconds = time.monotonic() - running.began
                write_json(attempt.folder / FAILURE, _lost(running.why, status, seconds, said))
                attempt = next(it for it in self.store.attempts(node.key) if it.number == number)
            ended.append(attempt)
        labels = {node.key: node.label for node in running.nodes}
        for attempt in ended:
            stage, details = labels[attempt.key], {"attempt": attempt.number, "state": attempt.state}
            if attempt.state == "done":
                self._finish(attempt.key)
                self._ran += 1
                self._tell("trial-done", stage=stage, figures=_figures(attempt), details=details)
            else:
                self._note_failures(attempt.key)
                self._remember(attempt)
                self._tell("trial-failed", stage=stage, message=attempt.message, details=details)

    def _remember(self, attempt: Attempt) -> None:
        """Stop the run when many nodes fail with the same traceback."""
        same = attempt.record.get("same")
        if same is None:
            return
        keys = self._same.setdefault(str(same), set())
        keys.add(attempt.key)
        if len(keys) >= self.study.failures.same_errors and not self._stopped:
            self._stopped = f"{len(keys)} trials failed alike: {attempt.message}"

    def _look_for_stops(self) -> None:
        asked = read_json(self.store.folder / STOP)
        hard = isinstance(asked, dict) and asked.get("now")
        interrupted = self._interrupted()
        if (asked is not None or interrupted) and not self._stopped:
            self._stopped = STOP_REQUESTED
        if hard or interrupted > 1:
            self._cancel(self._running, STOP_REQUESTED)
        if not self._stopped and self._spent > self._budget:
            if self.study.budget.on_exceed == "ask" and self._go_on():
                self._budget = float("inf")
            else:
                self._stopped = f"the budget of {self.study.budget.hours:g} hours is spent"
        timeout = self.study.failures.timeout
        if timeout is not None:
            late = [
                task
                for task, it in self._running.items()
                if time.monotonic() - it.since > timeout and not it.why
            ]
            self._cancel(late, "timeout")

    def _cancel(self, tasks: Any, why: str) -> None:
        for task in list(tasks):
            if not self._running[task].why:
                self._running[task].why = why
                self.engine.cancel(task)

    def _blocked(self) -> set[str]:
        """Nodes that wait for one that failed for good."""
        if len(self._failed) != self._blocked_by:
            blocked: set[str] = set()
            for key, node in self.graph.nodes.items():
                if any(other.key in self._failed or other.key in blocked for other in node.upstream):
                    blocked.add(key)
            self._is_blocked, self._blocked_by = blocked - self._done, len(self._failed)
        return self._is_blocked

    def _finish(self, key: str) -> None:
        self._done.add(key)
        self._counts[self.graph.nodes[key].stage] += 1

    def _tell(
        self,
        name: str,
        *,
        stage: str = "",
        figures: Mapping[str, float] = MappingProxyType({}),
        message: str = "",
        details: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Tell the listeners, and where the run stands besides: nodes done of all, and of each stage."""
        stages = {stage: [self._counts[stage], total] for stage, total in self._totals.items() if total}
        stands = {"failed": len(self._failed), "blocked": len(self._blocked()), "stages": stages}
        event = Event(
            name=name,
            step=len(self._done),
            total=len(self.graph.nodes),
            stage=stage,
            figures=figures,
            message=message,
            details={**stands, **details},
        )
        for listener in self._listeners:
            if listener.wants_steps or name != "step":
                listener.tell(event)


def _figures(attempt: Attempt) -> dict[str, float]:
    """How long a node took; of a measurement the mean score."""
    record = attempt.record
    figures = {"seconds": float(record.get("seconds", 0.0))}
    scores = [score for score in record.get("scores", ()) if score is not None]
    if scores:
        figures[str(record.get("name", "score"))] = sum(scores) / len(scores)
    return figures


def _lost(why: str, status: int, seconds: float, said: str) -> dict[str, Any]:
    """The failure of an attempt whose process left neither a result nor a failure."""
    if why == "timeout":
        return {
            "failure": "timeout",
            "message": f"it took more than {seconds:.0f} seconds",
            "seconds": seconds,
        }
    if why:
        return {"failure": CANCELLED, "message": why, "seconds": seconds}
    if status > 0:
        message = f"its process ended with status {status}: its {LOG} says why"
        return {"failure": "error", "message": message, "seconds": seconds}
    how = f"was killed by signal {-status}" if status < 0 else "ended"
    message = f"its process {how} without a result" + (f" ({said})" if said else "")
    return {"failure": "lost", "message": message, "seconds": seconds}


def graph_json(study: Study, graph: Graph) -> dict[str, Any]:
    """What is kept of a study's arms and trials, to read its store without its spec."""
    return {
        "study": study.name,
        "file": str(study.file.absolute()),
        "set": list(study.overrides),
        "threads": study.threads,
        "folder": str(Path.cwd()),
        "question": study.about.question,
        "baseline": study.baseline.name,
        "arms": [
            {
                "name": arm.name,
                "factors": dict(arm.factors),
                "also": [
                    {"name": name, "factors": dict(factors)}
                    for name, factors in zip(arm.also, arm.also_factors, strict=False)
                ],
            }
            for arm in study.arms
        ],
        "excluded": [attrs.asdict(excluded) for excluded in study.excluded],
        "train_seeds": list(study.train_seeds),
        "sample_seeds": list(study.sample_seeds),
        "prompts": list(study.prompts),
        "batches": [attrs.asdict(batch) for batch in graph.batches],
        "metrics": [{"label": metric.label, "family": metric.family} for metric in study.metrics],
        "trials": [attrs.asdict(trial) for trial in graph.trials],
    }


def write_graph(study: Study, graph: Graph, store: Store) -> None:
    """Keep the study's file and its graph beside the results."""
    make_folder(store.folder)
    write_json(store.root / RUNNING, {"study": study.name})
    write_json(store.folder / GRAPH, graph_json(study, graph))
    text = study.text.encode("utf-8", "surrogatepass")
    write_whole(store.folder / STUDY, lambda partial: partial.write_bytes(text))
