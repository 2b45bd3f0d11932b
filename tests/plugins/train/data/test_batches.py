"""Batches that processes make ahead."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.plugins.train.tiny import Colours, make_run, steps_of, train
from torch import Tensor

from glidepath.core import GlidepathError, PartError
from glidepath.plugins.train.data.batches import Batches, WorkerLost


@pytest.fixture(autouse=True)
def found_by_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is spawned imports these classes, and pytest imports tests without a path to them."""
    monkeypatch.syspath_prepend(Path(__file__).parents[4])


class Odd(Colours):
    """Colours, with an accident at one step."""

    def __init__(self, accident: str, at: int, pids: Path | None = None) -> None:
        self.accident, self.at, self.pids = accident, at, pids

    def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
        if self.pids is not None:
            (self.pids / str(os.getpid())).touch()
        if step == self.at and self.accident == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if step == self.at and self.accident == "stops":
            assert self.pids is not None
            while not (self.pids / "received").exists():  # the batch before is sent by a thread
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGSTOP)
        if step == self.at and self.accident == "sleeps":
            time.sleep(600)
        if step == self.at and self.accident == "fails":
            raise PartError("the picture a.png is gone")
        if step == self.at and self.accident == "breaks":
            raise Unsendable(lambda: None)
        return super().batch(seed, step, size)


class Unsendable(Exception):
    """Its argument cannot be pickled."""


def batches(dataset: Any, workers: int = 2, timeout: float = 120, end: int = 8) -> Batches:
    return Batches(dataset, (), 3, 4, end, workers=workers, timeout=timeout)


pytestmark = pytest.mark.thorough  # each process imports torch, which takes seconds


@pytest.fixture(autouse=True)
def _no_children_stay() -> Iterator[None]:
    from multiprocessing import active_children

    yield
    assert active_children() == []


def test_batches_are_the_same_whoever_makes_them() -> None:
    alone, helped = batches(Colours(), workers=0), batches(Colours(), workers=2)
    order = [0, 1, 5, 6, 2, 3]  # going on, leaving some out, and going back
    try:
        for step in order:
            ours, theirs = alone.at(step), helped.at(step)
            assert torch.equal(ours.images, theirs.images)
            assert ours.captions == theirs.captions
    finally:
        helped.close()


def test_an_error_is_the_one_that_making_the_batch_raised() -> None:
    failing = batches(Odd("fails", 1), workers=1)
    failing.at(0)
    with pytest.raises(PartError, match=r"^the picture a\.png is gone$"):
        failing.at(1)
    breaking = batches(Odd("breaks", 0), workers=1)
    with pytest.raises(GlidepathError, match="Unsendable"):
        breaking.at(0)


def test_a_dead_process_is_told_in_words() -> None:
    begun, dying = time.perf_counter(), batches(Odd("dies", 2), workers=1, timeout=600)
    with pytest.raises(WorkerLost, match=r"a process that makes batches has died \(exit code -9\)"):
        [dying.at(step) for step in range(8)]
    assert time.perf_counter() - begun < 400  # and not the ten minutes that a batch may take


@pytest.mark.parametrize("accident", ["sleeps", "stops"])
def test_a_stuck_process_is_told_in_words_and_ended(accident: str, tmp_path: Path) -> None:
    stuck = batches(Odd(accident, 1, tmp_path), workers=1, timeout=3)
    stuck.at(0)  # by a process that takes seconds to start
    (tmp_path / "received").touch()
    with pytest.raises(WorkerLost, match=r"no batch has come for 3 s \(train\.worker_timeout\)"):
        stuck.at(1)
    [pid] = [int(path.name) for path in tmp_path.iterdir() if path.name != "received"]
    for _ in range(50):
        if not Path(f"/proc/{pid}").exists():
            break
        time.sleep(0.1)
    else:
        assert Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"


def test_a_dataset_that_cannot_be_sent_is_refused() -> None:
    dataset = Colours()
    dataset.drawn = lambda: None  # type: ignore[attr-defined]
    with pytest.raises(PartError, match=r"cannot be handed to other processes .*train\.workers: 0"):
        batches(dataset).at(0)


def test_a_run_is_the_same_with_processes_and_without(tmp_path: Path) -> None:
    for name, workers in (("alone", 0), ("helped", 2)):
        train(make_run(tmp_path / name, dataset=Colours()), stop_after=7, workers=workers)
        train(make_run(tmp_path / name, dataset=Colours()), workers=2 - workers)
    one, other = ((tmp_path / it / "weights.safetensors").read_bytes() for it in ("alone", "helped"))
    assert one == other
    assert steps_of(tmp_path / "alone") == steps_of(tmp_path / "helped")
