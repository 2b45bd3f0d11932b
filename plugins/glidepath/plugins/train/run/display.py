"""What a person sees of a training run."""

from __future__ import annotations

import sys
from types import TracebackType

from tqdm import tqdm

from glidepath.core import Event, Listener


class TrainingDisplay(Listener):
    """A progress bar on a terminal, and elsewhere a line on the standard error for each line of the log."""

    wants_steps = True

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def __enter__(self) -> TrainingDisplay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def tell(self, event: Event) -> None:
        """Move the bar, show figures, warn."""
        if event.name in ("stage", "step"):
            self._move(event)
        elif event.name == "logged":
            self._show(event)
        elif event.name == "started" and event.details:
            for damaged in event.details.get("damaged", ()):
                _say(f"glidepath: warning: {damaged}")
            _say(f"resuming from step {event.step} ({event.details['resumed_from']})")
        elif event.name in ("warning", "spike", "disk-low", "unwritable"):
            _say(f"glidepath: warning: {event.message}")

    def _move(self, event: Event) -> None:
        if self._bar is None:
            self._bar = tqdm(
                total=event.total, initial=event.step, unit="step", dynamic_ncols=True, disable=None
            )
        self._bar.set_description_str(event.stage, refresh=False)
        self._bar.update(event.step - self._bar.n)

    def _show(self, event: Event) -> None:
        figures = event.figures
        if self._bar is None or self._bar.disable:
            said = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in figures.items())
            _say(f"step {event.step} of {event.total}, {event.stage}: {said}")
        else:
            self._bar.set_postfix_str(
                f"loss {figures['loss']:.4f}, {figures['images_per_second']:g} images/s"
            )


def _say(sentence: str) -> None:
    with tqdm.external_write_mode(file=sys.stderr):
        print(sentence, file=sys.stderr, flush=True)
