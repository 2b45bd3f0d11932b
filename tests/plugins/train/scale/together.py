"""Run by test_together.py: trains tiny runs by several processes, which it forks.

It fills a folder with the folders of runs that differ by nothing but the processes that trained them.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # making an optimizer imports it; here it is done before the forks
from tests.plugins.train.tiny import KnownColours, make_run, train
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from glidepath.plugins.train.run.learner import Learner
from glidepath.plugins.train.scale.group import Group, ProcessLost, joined

STAGES: dict[str, Any] = {"contrastive_steps": 2, "facts_steps": 2, "steps": 8, "checkpoint_every": 5}
LAST = 12
CPU = torch.device("cpu")


def train_alone(folder: Path, **changes: Any) -> None:
    run = make_run(folder, denoiser={"dropout": 0.2}, dataset=KnownColours())
    train(run, **(STAGES | changes))


def forked(count: int, work: Callable[[Group], object]) -> list[int]:
    """Run `work` in `count` processes that know each other; what each exited with, a signal as negative."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    processes = []
    for rank in range(count):
        process = os.fork()
        if process:
            processes.append(process)
            continue
        status = 1
        try:
            os.environ |= {
                "RANK": str(rank),
                "WORLD_SIZE": str(count),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(store.port),
                "TORCHELASTIC_USE_AGENT_STORE": "True",
            }
            with joined(CPU) as group:
                work(group)
            status = 0
        except ProcessLost:
            status = 3
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]


def train_together(folder: Path, count: int, *, doomed: int = -1, at: int = 0, **changes: Any) -> list[int]:
    """doomed: the process that is killed in the `at`-th update of the weights."""

    def work(group: Group) -> None:
        if group.rank == doomed:
            original, calls = Learner.update, 0

            def counted(*arguments: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(*arguments)

            Learner.update = counted  # type: ignore[method-assign]
        run = make_run(folder, denoiser={"dropout": 0.2}, dataset=KnownColours(), group=group)
        # what the others are initialised with, and asked, is the first one's
        stop_after = changes.pop("stop_after", None)
        train(run, stop_after if group.first else None, **(STAGES | changes))

    return forked(count, work)


def main(folder: Path) -> None:
    torch.set_num_threads(1)  # no pool of threads, which a fork would not take along
    train_alone(folder / "one")
    for name, count in (("two", 2), ("three", 3)):
        assert train_together(folder / name, count) == [0] * count
    assert train_together(folder / "again", 2) == [0, 0]
    for name, counts in (("fewer", (2, 1)), ("more", (1, 3))):
        assert train_together(folder / name, counts[0], stop_after=7) == [0] * counts[0]
        assert train_together(folder / name, counts[1]) == [0] * counts[1]
    assert train_together(folder / "shards", 2, shard=True) == [0, 0]
    assert train_together(folder / "three-shards", 2, shard=True, stop_after=7) == [0, 0]
    assert train_together(folder / "three-shards", 3, shard=True, stop_after=9) == [0, 0, 0]
    train_alone(folder / "three-shards")
    for doomed in range(2):
        lost = train_together(folder / f"killed-{doomed}", 2, doomed=doomed, at=8)
        (folder / f"killed-{doomed}" / "statuses").write_text(repr(lost))
        assert train_together(folder / f"killed-{doomed}", 2) == [0, 0]
