"""How a run ends, told to its listeners: done, stopped, diverged or by an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from glidepath.core import Event, Listener
from glidepath.plugins.train.run.log import Log
from glidepath.plugins.train.run.run import Run, TrainingDiverged


@contextmanager
def ending(run: Run) -> Iterator[tuple[Run, Callable[[Path | None], None]]]:
    """The run with its log among the listeners, and what tells how it ended; an error is told by itself."""
    last = _Last()
    run = attrs.evolve(run, listeners=(last, Log(run.folder), *run.listeners))

    def end(name: str, message: str = "", weights: Path | None = None) -> None:
        files = {} if weights is None else {"weights": weights}
        run.tell(attrs.evolve(last.event, name=name, message=message, files=files))

    try:
        yield run, lambda weights: end("done" if weights else "stopped", weights=weights)
    except TrainingDiverged as error:
        end("diverged", str(error))
        raise
    except BaseException as error:
        notes = getattr(error, "__notes__", ())
        end("error", "\n".join([f"{type(error).__name__}: {error}", *notes]))
        raise


class _Last(Listener):
    """Knows where a run stands."""

    wants_steps = True

    def __init__(self) -> None:
        self._last = Event(name="")

    @property
    def event(self) -> Event:
        """One of the place, and of nothing else."""
        return Event(name="", step=self._last.step, total=self._last.total, stage=self._last.stage)

    def tell(self, event: Event) -> None:
        if event.total:
            self._last = event
