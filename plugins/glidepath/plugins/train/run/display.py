"""What a person sees of a training run."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from tqdm import tqdm

from glidepath.plugins.train.run.run import Position


class TrainingDisplay:
    """A progress bar on a terminal, and elsewhere a line on the standard error for each line of the log."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._total = 0

    def __enter__(self) -> TrainingDisplay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def progress(self, position: Position) -> None:
        """Move the bar."""
        self._total = position.total
        if self._bar is None:
            self._bar = tqdm(
                total=position.total, initial=position.step, unit="step", dynamic_ncols=True, disable=None
            )
        self._bar.set_description_str(position.stage, refresh=False)
        self._bar.update(position.step - self._bar.n)

    def report(self, line: Mapping[str, Any]) -> None:
        """Show a line of the log."""
        if "resumed_from" in line:
            for damaged in line.get("damaged", ()):
                print(f"glidepath: warning: {damaged}", file=sys.stderr)
            print(f"resuming from step {line['step']} ({line['resumed_from']})", file=sys.stderr, flush=True)
        elif self._bar is None or self._bar.disable:
            figures = {key: value for key, value in line.items() if key not in ("step", "stage")}
            said = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in figures.items())
            print(
                f"step {line['step']} of {self._total}, {line['stage']}: {said}", file=sys.stderr, flush=True
            )
        else:
            self._bar.set_postfix_str(f"loss {line['loss']:.4f}, {line['images_per_second']:g} images/s")
