"""The batches of a stage, made ahead by processes of their own where that is asked for."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import active_children
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, cast

import attrs
from torch.utils.data import DataLoader, Dataset, Sampler

from glidepath.core import Conditioner, GlidepathError, PartError
from glidepath.plugins.train.data.dataset import Batch, CaptionedDataset, batch_at

_LOOK = 2.0  # seconds between looks at whether the processes live
_STARTS = 120.0  # seconds more for the first batch of each process, which imports torch before it
_AHEAD = 2  # batches that each process makes before they are asked for


class WorkerLost(GlidepathError):
    """A process that makes batches is stuck or dead."""


class Batches:
    """The batches of some steps.

    A batch is a function of the seed, the step and its size, so it is the same whoever makes it, and however
    many of them there are. Processes are spawned, not forked: a fork of a process with threads may wait for
    ever.
    """

    def __init__(
        self,
        dataset: CaptionedDataset,
        conditioners: Iterable[Conditioner],
        seed: int,
        size: int,
        end: int,
        *,
        rows: slice | None = None,
        workers: int = 0,
        timeout: float = 0,
    ) -> None:
        """end: no step is asked for from this one on. rows: which of each batch; None: all.

        timeout: seconds that a batch may take to come, once its process is there.
        """
        wanted = [_Wanted(made.inputs) for made in conditioners if made.inputs]
        self._steps = _Steps(dataset, wanted, seed, size, rows)
        self._end, self._workers, self._timeout = end, workers, timeout
        self._coming: Iterator[Any] | None = None
        self._first = self._next = 0
        self._processes: list[BaseProcess] = []

    def at(self, step: int) -> Batch:
        """The batch of a step; steps that follow one another are made ahead.

        Raises:
            WorkerLost: a process has died, or has not made it in time.
            GlidepathError: what making it raises.
        """
        if not self._workers:
            return self._steps.made(step)
        if self._coming is None or step < self._next:
            self._start(step)
        while self._next <= step:
            made = self._taken()
        if isinstance(made, Exception):
            self.close()
            raise made
        return made

    def close(self) -> None:
        """End the processes, also those that are stuck."""
        self._coming = None  # the loader asks them to end when nothing refers to it
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join(_LOOK)  # one that waits for a disk that is gone cannot even be killed
        self._processes = []

    def _start(self, step: int) -> None:
        self.close()
        before = {*active_children()}
        loader = DataLoader(
            self._steps,
            batch_size=None,
            sampler=cast(Sampler[int], range(step, self._end)),
            num_workers=min(self._workers, self._end - step),
            prefetch_factor=_AHEAD,
            timeout=min(self._timeout, _LOOK),
            multiprocessing_context="spawn",
            worker_init_fn=_begin,
            collate_fn=_as_it_is,
        )
        try:
            with _signals_kept():
                self._coming = iter(loader)
        except (AttributeError, TypeError, ValueError) as error:
            self._processes = [process for process in active_children() if process not in before]
            self.close()
            raise PartError(
                f"the dataset cannot be handed to other processes ({error}); train.workers: 0 makes batches "
                "in this one"
            ) from error
        self._processes = [process for process in active_children() if process not in before]
        self._first = self._next = step

    def _taken(self) -> Batch | Exception:
        assert self._coming is not None
        begun, patience = time.monotonic(), self._timeout
        if self._next < self._first + len(self._processes):
            patience += _STARTS
        while True:
            try:
                made: Batch | Exception = next(self._coming)
            except (RuntimeError, OSError, EOFError) as error:
                waits = "timed out" in str(error)
                if not waits:  # one may be about to die
                    ended = wait([process.sentinel for process in self._processes], _LOOK)
                    for process in self._processes:
                        if process.sentinel in ended:
                            process.join()
                dead = [process for process in self._processes if not process.is_alive()]
                if waits and not dead and time.monotonic() - begun < patience:
                    continue
                self.close()
                if not dead and not waits:
                    raise
                raise WorkerLost(f"step {self._next + 1}: {_lost(dead, patience)}") from error
            self._next += 1
            return made


@attrs.frozen
class _Wanted:
    """What a conditioner takes, without its network."""

    inputs: Any


class _Steps(Dataset[Any]):
    """Batches by step. An error is handed on as it is: the loader would make another of it."""

    def __init__(
        self, dataset: CaptionedDataset, wanted: list[_Wanted], seed: int, size: int, rows: slice | None
    ) -> None:
        self._made_of = dataset, cast(list[Conditioner], wanted), seed
        self._size, self._rows = size, rows

    def made(self, step: int) -> Batch:
        return batch_at(*self._made_of, step, self._size, self._rows)

    def __getitem__(self, step: int) -> Batch | Exception:
        try:
            return self.made(step)
        except Exception as error:
            if isinstance(error, GlidepathError):
                return error
            return GlidepathError(f"{type(error).__name__}: {error}")  # another's may not get through


def _lost(dead: Sequence[BaseProcess], patience: float) -> str:
    if dead:
        return (
            f"a process that makes batches has died (exit code {dead[0].exitcode}): the system may have run "
            "out of memory, or of shared memory (/dev/shm)"
        )
    return (
        f"no batch has come for {patience:g} s (train.worker_timeout): a process that makes them is stuck, "
        "or the disk that it reads from is gone"
    )


@contextmanager
def _signals_kept() -> Iterator[None]:
    """The loader has an error raised wherever the program is when a process dies: that may be anywhere."""
    before = signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, before)


def _begin(_worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that trains


def _as_it_is(made: Any) -> Any:
    return made
