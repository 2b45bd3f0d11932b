"""The engine `local`: one process for each trial on this machine, forked from a warm one."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from glidepath.core import GlidepathError
from glidepath.plugins.studies.interface import Ended, Task
from glidepath.plugins.studies.store.store import LOG

if TYPE_CHECKING:
    from glidepath.plugins.studies.engines.configs import LocalConfig

_GONE = -9


class LocalEngine:
    """Starts trials, as many at a time as there are slots; on GPUs, as many on each as share it.

    A trial that is killed takes no other along. The warm process is started with the first task, and again
    after it has died; what ran then is lost. Where a process cannot fork, each trial imports for itself.
    """

    def __init__(self, config: LocalConfig) -> None:
        self.config = config
        self._slots = min(config.slots, config.gpus * config.per_gpu) if config.gpus else config.slots
        self._running: dict[str, tuple[Task, int | None]] = {}
        self._ended: list[Ended] = []
        self._launcher: _Forking | _Spawning | None = None

    def room(self, task: Task) -> bool:
        """Whether a slot is free."""
        return sum(running.slots for running, _ in self._running.values()) + task.slots <= self._slots

    def submit(self, task: Task) -> None:
        """Start a task."""
        if self._launcher is None:
            self._launcher = _Forking(self.config.warm_up) if hasattr(os, "fork") else _Spawning()
        gpu = self._free_gpu()
        environment = dict(task.environment)
        if gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = str(gpu)
        self._running[task.id] = (task, gpu)
        self._launcher.start(task, environment)

    def wait(self, seconds: float) -> Sequence[Ended]:
        """The tasks that ended; all that ran are lost when the warm process has died."""
        found = self._ended
        self._ended = []
        if self._launcher is not None and not found:
            answers = self._launcher.wait(seconds)
            if answers is None:
                found = [Ended(task_id, _GONE) for task_id in self._running]
                self._launcher.close()
                self._launcher = None
            else:
                found = [it for it in answers if it.id in self._running]
        for ended in found:
            self._running.pop(ended.id, None)
        return found

    def cancel(self, task_id: str) -> None:
        """Kill a task's process."""
        if self._launcher is not None and task_id in self._running:
            self._launcher.kill(task_id)

    def close(self) -> None:
        """Kill all that runs."""
        if self._launcher is not None:
            self._launcher.close()
        self._launcher = None
        self._running.clear()

    def _free_gpu(self) -> int | None:
        """The GPU that has the fewest trials."""
        used = [gpu for _, gpu in self._running.values()]
        return min(range(self.config.gpus), key=used.count, default=None)


class _Forking:
    """The warm process, and what is said to it."""

    def __init__(self, patience: float) -> None:
        command = [sys.executable, "-m", "glidepath.plugins.studies.engines.fork_server"]
        # a session of its own: a Ctrl-C in the terminal is for the study, which lets trials finish
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests: IO[bytes] = self._process.stdin
        self._answers = self._process.stdout.fileno()
        self._waiting = b""
        deadline = time.monotonic() + patience
        ready: list[dict[str, Any]] | None = []
        while not ready:
            ready = self._read(max(0.0, deadline - time.monotonic()))
            if ready is None or (not ready and time.monotonic() > deadline):
                self.close()
                why = "ended" if ready is None else f"was not ready within {patience:g} seconds (warm_up)"
                raise GlidepathError(f"the process that trials start from {why}; what it said is above")

    def start(self, task: Task, environment: Mapping[str, str]) -> None:
        order = task.order.absolute()
        request = {"start": task.id, "order": str(order), "log": str(order.with_name(LOG))}
        self._say({**request, "environment": dict(environment)})

    def kill(self, task_id: str) -> None:
        self._say({"kill": task_id})

    def wait(self, seconds: float) -> list[Ended] | None:
        """None when the warm process is gone."""
        answers = self._read(seconds)
        if answers is None:
            return None
        return [Ended(it["ended"], it["status"]) for it in answers if "ended" in it]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._requests.close()  # it kills what it started, and exits
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _say(self, request: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # the next `wait` finds that it is gone
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()

    def _read(self, seconds: float) -> list[dict[str, Any]] | None:
        readable, _, _ = select.select([self._answers], [], [], seconds)
        if not readable:
            return []
        data = os.read(self._answers, 65536)
        if not data:
            return None
        *lines, self._waiting = (self._waiting + data).split(b"\n")
        return [json.loads(line) for line in lines]


class _Spawning:
    """A new interpreter for each trial, where there is no fork."""

    def __init__(self) -> None:
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, task: Task, environment: Mapping[str, str]) -> None:
        command = [
            sys.executable,
            "-m",
            "glidepath.plugins.studies.engines.worker",
            str(task.order.absolute()),
        ]
        with task.order.with_name(LOG).open("ab") as log:
            self._processes[task.id] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
            )

    def kill(self, task_id: str) -> None:
        self._processes[task_id].kill()

    def wait(self, seconds: float) -> list[Ended] | None:
        deadline = time.monotonic() + seconds
        while True:
            ended = [
                Ended(name, process.returncode)
                for name, process in self._processes.items()
                if process.poll() is not None
            ]
            for it in ended:
                del self._processes[it.id]
            if ended or time.monotonic() >= deadline:
                return ended
            time.sleep(0.05)

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()
        self._processes.clear()
