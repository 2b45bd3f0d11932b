"""How a run ends, told to its listeners: done, stopped, diverged or by an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from glidepath.core import Event, Listener
from glidepath.plugins.train.run.log import Log
from glidepath.plugins.train.run.run import Run, TrainingDiverged


@contextmanager
def ending(run: Run) -> Iterator[tuple[Run, Callable[[Path | None], None]]]:
    """The run with its log among the listeners, and what tells how it ended; an error is told by itself."""
    last = _Last()
    run = attrs.evolve(run, listeners=(last, Log(run.folder), *run.listeners))

    def end(name: str, **more: Any) -> None:
        run.tell(attrs.evolve(last.event, name=name, **more))

    try:
        yield run, lambda path: end("done", files={"weights": path}) if path else end("stopped")
    except TrainingDiverged as error:
        end("diverged", message=str(error), details={"batches": list(error.batches)})
        raise
    except KeyboardInterrupt:
        end("stopped", message="interrupted at once")
        raise
    except BaseException as error:
        notes = getattr(error, "__notes__", ())
        end("error", message="\n".join([f"{type(error).__name__}: {error}", *notes]))
        raise


class _Last(Listener):
    """Knows where a run stands."""

    wants_steps = True

    def __init__(self) -> None:
        self._last = Event(name="")
        self._figures: Mapping[str, float] = {}

    @property
    def event(self) -> Event:
        """One of the place, with the figures that were logged last."""
        last = self._last
        return Event(name="", step=last.step, total=last.total, stage=last.stage, figures=self._figures)

    def tell(self, event: Event) -> None:
        if event.total:
            self._last = event
        if event.name == "logged":
            self._figures = event.figures
