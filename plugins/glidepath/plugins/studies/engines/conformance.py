"""How the conformance kit uses an engine: `glidepath test-plugin` applies its checks of any use."""

from __future__ import annotations

import tempfile
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from glidepath.plugins.studies.interface import Ended, Engine, Task
from glidepath.testing import Attempt, Part, Trial, require

_ORDERS = ('{"steps": []}', "no order")
"""What a row is: nothing to do, which ends with 0, and what no process understands, which ends with 2."""

_STATUS = (0, 2)
_PATIENCE = 300.0


class EngineTrial(Trial):
    """Gives an engine a task for each row, as a study does from one thread, and reads how they ended.

    Engines are closed when the trial is no longer used; a process that they keep warm serves it to the end.
    """

    on_host = True

    def __init__(self, part: Part) -> None:
        super().__init__(part)
        self._turn = threading.Lock()
        self._used: list[Engine] = []
        weakref.finalize(self, _close, self._used)

    def use(self, built: Engine, rows: Sequence[int], device: str = "cpu") -> list[Tensor]:
        """The exit status of each row's task."""
        with self._turn, tempfile.TemporaryDirectory() as folder:
            self._used.append(built)
            ended = _run(built, [_task(Path(folder), row) for row in rows])
        return [torch.tensor([ended[f"row-{row}"] for row in rows])]

    def require_shapes(self, built: Engine) -> None:
        """Each task ends once, with the status of its process; nothing that ended is told again."""
        found = self.use(built, (0, 1, 2))[0].tolist()
        wanted = [_STATUS[row % 2] for row in range(3)]
        require(found == wanted, f"tasks that end with {wanted} were told to have ended with {found}")
        again = list(built.wait(0.0))
        require(not again, f"with nothing running, wait returns {again!r}, and must return nothing")

    def require_dtypes(self, built: Engine) -> None:
        """`room` answers yes or no; a task that is not known can be cancelled, and an engine closed twice."""
        with tempfile.TemporaryDirectory() as folder:
            answer = built.room(_task(Path(folder), 0))
        require(answer is True, f"room answers {answer!r} while nothing runs, and must answer True")
        built.cancel("no-such-task")
        built.close()
        built.close()

    def bad_inputs(self, built: Engine) -> Iterator[Attempt]:
        """An order that is not there."""
        absent = Task("absent", Path(tempfile.gettempdir(), "glidepath-absent", "order.json"))
        self._used.append(built)
        yield "an order that is not there", lambda: _run(built, [absent]), False


def _task(folder: Path, row: int) -> Task:
    home = folder / f"row-{row}"
    home.mkdir()
    (home / "order.json").write_text(_ORDERS[row % 2], encoding="utf-8")
    return Task(home.name, home / "order.json")


def _run(built: Engine, tasks: Sequence[Task]) -> dict[str, int]:
    """Run tasks as there is room for them; their statuses."""
    waiting, ended = list(tasks), dict[str, int]()
    deadline = time.monotonic() + _PATIENCE
    while len(ended) < len(tasks):
        while waiting and built.room(waiting[0]):
            built.submit(waiting.pop(0))
        for it in built.wait(0.2):
            require(isinstance(it, Ended), f"wait returns {it!r}, and must return Ended")
            require(it.id not in ended, f"the end of one task is told twice: {it.id}")
            ended[it.id] = it.status
        require(time.monotonic() < deadline, f"{len(tasks)} small tasks have not ended in {_PATIENCE:g} s")
    return ended


def _close(engines: Sequence[Engine]) -> None:
    for engine in engines:
        engine.close()
