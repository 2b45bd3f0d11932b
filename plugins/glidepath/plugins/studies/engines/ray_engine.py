"""The engine `ray`: trials on the machines of a Ray cluster, by Ray Core alone. The ledger stays the study's.

The folder of the study has one path on all machines, as on a network file system, and all have the same
glidepath, plugins and Ray. Tasks pass paths, and leave what they find in files.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glidepath.core import GlidepathError
from glidepath.plugins.studies.interface import Ended, Task
from glidepath.plugins.studies.store.store import LOG
from glidepath.registry import needed

if TYPE_CHECKING:
    from glidepath.plugins.studies.engines.configs import RayConfig

_LOST = -9
_PATIENCE = 10.0
_COUNTED_FOR = 1.0
"""Seconds for which the size of the cluster is taken to stay."""


class RayEngine:
    """Gives Ray a task for each trial, in a process that does nothing else and is never tried again.

    A cluster that is started here is this machine's, asks for a token, has no dashboard, and ends with the
    study. Ray reports nothing to its makers.
    """

    def __init__(self, config: RayConfig) -> None:
        self.config = config
        self._ray: Any = None
        self._work: Any = None
        self._running: dict[str, Any] = {}
        self._slots, self._counted = 1, float("-inf")

    def room(self, task: Task) -> bool:
        """Whether the cluster has the processors, and the GPUs, for one more."""
        self._start()
        if time.monotonic() - self._counted > _COUNTED_FOR:
            try:
                self._slots, self._counted = self._fitting(), time.monotonic()
            except Exception as error:  # of every kind, where its head does not answer
                raise self._gone(error) from error
        return len(self._running) < self._slots

    def submit(self, task: Task) -> None:
        """Hand a task to Ray."""
        self._start()
        order = task.order.absolute()
        self._running[task.id] = self._work.remote(
            str(order),
            str(order.with_name(LOG)),
            dict(task.environment),
            self.config.gpus > 0,
        )

    def wait(self, seconds: float) -> Sequence[Ended]:
        """The tasks that ended; one whose process or machine died ends as if it had been killed."""
        if not self._running:
            return []
        refs = {ref: name for name, ref in self._running.items()}
        try:
            first, rest = self._ray.wait(list(refs), num_returns=1, timeout=seconds)
            more = self._ray.wait(rest, num_returns=len(rest), timeout=0)[0] if first and rest else []
        except self._ray.exceptions.RayError as error:
            raise self._gone(error) from error
        ended = [self._ended(refs[ref], ref) for ref in (*first, *more)]
        if any(it.why for it in ended) and not self._is_there():
            raise self._gone(next(it.why for it in ended if it.why))
        return ended

    def cancel(self, task_id: str) -> None:
        """Kill a task's process."""
        if task_id in self._running:
            with contextlib.suppress(Exception):  # it may have ended since
                self._ray.cancel(self._running[task_id], force=True)

    def close(self) -> None:
        """Kill what runs, and leave the cluster; one that was started here ends."""
        if self._ray is None:
            return
        for name in list(self._running):
            self.cancel(name)
        self._running.clear()
        self._ray.shutdown()
        self._ray = None

    def _ended(self, name: str, ref: Any) -> Ended:
        del self._running[name]
        try:
            return Ended(name, int(self._ray.get(ref)))
        except self._ray.exceptions.RayTaskError:  # an exception of ours: the log of the trial has it
            return Ended(name, 1)
        except self._ray.exceptions.RayError as error:
            return Ended(name, _LOST, f"Ray says {type(error).__name__}")

    def _is_there(self) -> bool:
        """Whether a machine of the cluster is left."""
        try:
            return any(node.get("Alive") for node in self._ray.nodes())
        except Exception:  # its head does not answer
            return False

    def _gone(self, why: object) -> GlidepathError:
        """The cluster has died, and with it what ran."""
        self._running.clear()  # nobody is there to be told of it
        return GlidepathError(
            f"engine ray: Ray has died ({why}), and what ran on it is lost: "
            "`glidepath study retry --class lost` runs it again"
        )

    def _fitting(self) -> int:
        """How many trials the cluster has room for at a time."""
        there = self._ray.cluster_resources()
        room = [there.get("CPU", 0.0) / self.config.cpus]
        if self.config.gpus:
            room.append(there.get("GPU", 0.0) / self.config.gpus)
        if self.config.slots is not None:
            room.append(self.config.slots)
        # with nothing there now, one waits with Ray until a machine comes back
        return max(1, int(min(room) + 1e-9))

    def _start(self) -> None:
        if self._ray is not None:
            return
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its own log is no line of the study's
        options: dict[str, Any] = {"address": self.config.address}
        if self.config.address is None:
            _ask_for_token()
            options = {"address": "local", "include_dashboard": False}
        else:
            _knock(self.config.address)
        ray = needed("ray", "trials on a Ray cluster", extra="ray")
        try:
            with _handlers_kept():
                ray.init(**options, log_to_driver=False, logging_level="ERROR", configure_logging=True)
        except Exception as error:  # Ray raises of every kind: no cluster, no token, another version
            where = f"the cluster at {self.config.address}" if self.config.address else "Ray on this machine"
            raise GlidepathError(f"engine ray: {where} could not be reached or started: {error}") from error
        self._ray = ray
        self._work = ray.remote(
            num_cpus=self.config.cpus,
            num_gpus=self.config.gpus,
            max_retries=0,  # whether a trial is tried again is the study's to decide
            max_calls=1,  # a process for each: its memory is free when it ends
        )(_work)


def _ask_for_token() -> None:
    """Let nobody without a token into the cluster that is about to start. Ray reads this when imported."""
    if "ray" in sys.modules or os.environ.get("RAY_AUTH_MODE", "token") != "token":
        return
    os.environ["RAY_AUTH_MODE"] = "token"
    if "RAY_AUTH_TOKEN_PATH" not in os.environ:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def _knock(address: str) -> None:
    """Find out soon whether anything listens: Ray itself tries for minutes, and then ends the process.

    Raises:
        GlidepathError: nothing does.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        return  # auto
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
    except OSError as error:
        raise GlidepathError(
            f"engine ray: the cluster at {address} could not be reached: {error.strerror or error}"
        ) from error


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Ray sets signal handlers of its own; the study has some already."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    if threading.current_thread() is threading.main_thread():
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _work(order: str, log: str, environment: Mapping[str, str], has_gpu: bool) -> int:
    """On some machine of the cluster: work off an order; its exit status."""
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    opened = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(opened, 1)
    os.dup2(opened, 2)
    os.environ.update(environment)
    # before torch is imported. Without a share of a GPU Ray leaves all of them in sight
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(_gpus()) if has_gpu else ""
    from glidepath.plugins.studies.engines.worker import main

    status = main([order])
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def _gpus() -> list[str]:
    """The GPUs that Ray gave to this task."""
    ray = needed("ray", "trials on a Ray cluster", extra="ray")
    return [str(gpu) for gpu in ray.get_runtime_context().get_accelerator_ids().get("GPU", ())]
