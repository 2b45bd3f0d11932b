"""The process that trials start from: it has imported what takes long, and forks for each of them.

    python -m glidepath.plugins.studies.engines.fork_server

It reads a line of JSON for each request from its standard input, and answers on its standard output:

    {"start": ID, "order": FILE, "log": FILE, "environment": {...}}
    {"kill": ID}
        -> {"ready": PID}     once
        -> {"ended": ID, "status": N}     the exit status, or the signal as a negative number

When its input ends, because the study's process has, it kills all that it started, and exits. A trial that
loses it kills itself. It computes nothing: threads of a computation would not survive a fork.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, NoReturn

PRELOADED = (
    "numpy",
    "torch",
    "safetensors.torch",
    "glidepath.plugins.studies.engines.steps",
)


def main() -> int:
    """Serve until the standard input ends."""
    from importlib import import_module

    requests, answers = os.dup(0), os.dup(1)
    # what is printed from here on, by whatever is imported, belongs in no answer
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    # a Ctrl-C in the terminal is for the study to act upon
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in PRELOADED:
        import_module(name)
    from glidepath.registry import load_catalogue

    load_catalogue()
    return _Server(requests, answers).serve()


class _Server:
    def __init__(self, requests: int, answers: int) -> None:
        self.requests, self.answers = requests, answers
        self.running: dict[int, str] = {}
        self.woken, self.waker = os.pipe()
        os.set_blocking(self.waker, False)
        os.set_blocking(self.woken, False)

    def serve(self) -> int:
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(self.waker, warn_on_full_buffer=False)
        self.answer({"ready": os.getpid()})
        waiting = b""
        while True:
            readable, _, _ = select.select([self.requests, self.woken], [], [])
            if self.woken in readable:
                os.read(self.woken, 4096)
                self.reap()
            if self.requests in readable:
                data = os.read(self.requests, 65536)
                if not data:
                    for pid in self.running:
                        os.kill(pid, signal.SIGKILL)
                    return 0
                *lines, waiting = (waiting + data).split(b"\n")
                for line in lines:
                    self.obey(json.loads(line))

    def obey(self, request: Mapping[str, Any]) -> None:
        if "kill" in request:
            for pid, task in self.running.items():
                if task == request["kill"]:
                    os.kill(pid, signal.SIGKILL)
            return
        pid = os.fork()
        if pid == 0:
            self.become(request)
        self.running[pid] = request["start"]

    def reap(self) -> None:
        for pid in list(self.running):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self.answer({"ended": self.running.pop(pid), "status": os.waitstatus_to_exitcode(status)})

    def answer(self, said: Mapping[str, Any]) -> None:
        try:
            os.write(self.answers, json.dumps(said).encode() + b"\n")
        except BrokenPipeError:
            return  # the end of the input follows, which ends everything

    def become(self, request: Mapping[str, Any]) -> NoReturn:
        """In the child: the trial, and nothing after it."""
        status = 3
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for descriptor in (self.requests, self.answers, self.woken, self.waker):
                os.close(descriptor)
            log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.environ.update(request["environment"])
            _die_with(os.getppid())
            from glidepath.plugins.studies.engines.worker import main as work

            status = work([request["order"]])
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            # not sys.exit: what the parent registered for its exit is not for its children
            os._exit(status)


def _die_with(parent: int) -> None:
    """Kill this process soon after its parent is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
