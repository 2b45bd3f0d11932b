"""An engine without processes: each task runs where it is submitted, so that a debugger can look into it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence

from glidepath.plugins.studies.engines.worker import work_off
from glidepath.plugins.studies.interface import Ended, Task


class InProcessEngine:
    """Runs one task at a time, in this process; it cannot cancel one, and a crash takes the study along."""

    def __init__(self) -> None:
        self._ended: list[Ended] = []

    def room(self, task: Task) -> bool:
        """Whether the one before was told of."""
        return not self._ended

    def submit(self, task: Task) -> None:
        """Run a task to its end."""
        import torch

        threads = torch.get_num_threads()
        try:
            with contextlib.redirect_stdout(sys.stderr):  # what a trial prints is no result of the command
                self._ended.append(Ended(task.id, work_off(task.order)))
        finally:
            torch.set_num_threads(threads)

    def wait(self, seconds: float) -> Sequence[Ended]:
        """The task that has just run."""
        ended, self._ended = self._ended, []
        return ended

    def cancel(self, task_id: str) -> None:
        """Nothing: what was submitted has ended."""

    def close(self) -> None:
        """Nothing."""
