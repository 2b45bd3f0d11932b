"""Run by test_kill.py: trains in a child process that is killed again and again, until one is let finish.

It fills a folder with the folders of a run that nothing killed ("whole"), of one for each plan of kills, and
of some that were killed at random times, 20 in all ("random-0" and so on).
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import torch._dynamo  # making an optimizer imports it; here it is done before the forks
from tests.plugins.train.tiny import make_run, train

from glidepath.plugins.train.run import log
from glidepath.plugins.train.run.learner import Learner
from glidepath.plugins.train.trainers import diffusion as trainer
from glidepath.registry.files.writing import remove_partial

SETTINGS: dict[str, Any] = {"contrastive_steps": 6, "steps": 10, "checkpoint_every": 3, "keep": 2}

Kill = Callable[[], None]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(owner: Any, name: str, number: int, before: Kill = die) -> Kill:
    """Arms the child: the `number`-th call of `owner.name` runs `before` in its place."""

    def arm() -> None:
        original, calls = getattr(owner, name), 0

        def counted(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == number:
                before()
            return original(*arguments, **named)

        setattr(owner, name, counted)

    return arm


def half_written(number: int) -> Kill:
    """Arms the child: it dies when half of the `number`-th tensor file is written."""

    def arm() -> None:
        original, calls = safetensors.torch.save_file, 0

        def cut_short(tensors: Any, path: Path, header: Any) -> None:
            nonlocal calls
            calls += 1
            original(tensors, path, header)
            if calls == number:
                with open(path, "rb+") as file:
                    file.truncate(path.stat().st_size // 2)
                die()

        safetensors.torch.save_file = cut_short

    return arm


def line_half_written(number: int) -> Kill:
    """Arms the child: it dies in the middle of the `number`-th line of its log."""

    def arm() -> None:
        original, calls = log.append, 0

        def cut_short(path: Path, line: Any) -> None:
            nonlocal calls
            calls += path.name == log.LOG
            if calls == number:
                with path.open("a") as file:
                    file.write('{"step": 9, "st')
                die()
            original(path, line)

        log.append = cut_short

    return arm


PLANS: dict[str, list[Kill]] = {
    "steps": [at_call(Learner, "update", number) for number in (1, 2, 5, 4, 1, 3)],
    "writing": [
        half_written(1),
        at_call(os, "fsync", 1),  # all is written, nothing flushed or renamed
        at_call(Path, "replace", 1),
        at_call(Path, "unlink", 1),  # the third checkpoint is there, the first not yet deleted
        half_written(2),
        at_call(os, "fsync", 4),  # the second checkpoint is renamed, its folder not flushed
        line_half_written(2),
        at_call(trainer, "write_tensors", 1),  # the last checkpoint is there, the weights are not
        half_written(1),
        at_call(trainer, "write_tensors", 3),  # all but the last weights are there
    ],
}


def child(folder: Path, arm: Kill | None) -> int:
    """Fork a child that trains; its process id."""
    process = os.fork()
    if process:
        return process
    try:
        remove_partial(folder)  # as the command does
        if arm is not None:
            arm()
        train(make_run(folder), **SETTINGS)
        os._exit(0)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(1)


def killed(process: int) -> bool:
    """Wait for a child: True if it was killed, False if it finished."""
    status = os.waitpid(process, 0)[1]
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status) == signal.SIGKILL
    assert os.WEXITSTATUS(status) == 0, "the child failed"
    return False


def run_whole(folder: Path) -> float:
    """Train without a kill; how many seconds it took."""
    start = time.perf_counter()
    assert not killed(child(folder, None))
    return time.perf_counter() - start


def run_planned(folder: Path, kills: list[Kill]) -> None:
    for arm in kills:
        assert killed(child(folder, arm)), "the child came to its end before it was to be killed"
    run_whole(folder)


def run_at_random(folder: Path, seconds: float) -> None:
    """Kill 20 children, at random times of the `seconds` that an uninterrupted one takes.

    One that comes to its end before is followed by another run.
    """
    times, kills, number = random.Random(8), 0, 0
    while kills < 20:
        process = child(folder / f"random-{number}", None)
        time.sleep(times.uniform(0, seconds / 2))
        os.kill(process, signal.SIGKILL)
        if killed(process):
            kills += 1
        else:
            number += 1
    run_whole(folder / f"random-{number}")


def main(folder: Path) -> None:
    torch.set_num_threads(1)  # no pool of threads, which a fork would not take along
    seconds = run_whole(folder / "whole")
    for name, kills in PLANS.items():
        run_planned(folder / name, kills)
    run_at_random(folder, seconds)
