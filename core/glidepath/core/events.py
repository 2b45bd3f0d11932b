"""What happens to a run of training, or to a study, and who is told of it. Imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

import attrs

EVENTS: Final = {
    "started": "it begins, or goes on from a checkpoint",
    "stage": "a stage of training begins, or goes on",
    "step": "a step of training is done",
    "logged": "figures of training were logged",
    "samples": "images at fixed prompts and noise were made",
    "checkpoint": "a checkpoint was written and verified",
    "stage-done": "a stage of training is at its end",
    "trial-done": "a trial of a study has its result",
    "trial-failed": "a trial of a study failed",
    "done": "all is done, and its result written",
    "stopped": "it was told to stop, and did so in good order",
    "warning": "a person should know of something",
    "spike": "the loss of a step is no number, or far above the ones before; training goes on without it",
    "diverged": "the loss or the weights are no longer numbers; training has ended",
    "disk-low": "soon there is no room for another checkpoint",
    "unwritable": "a checkpoint cannot be written; it is tried again",
    "error": "an error has ended it",
}
"""The events by name, and what each says."""


@attrs.frozen(kw_only=True)
class Event:
    """Something that happened.

    name: one of `EVENTS`.
    step, total: of training, steps done and steps in all; of a study, trials.
    stage: of training, the stage that is under way; of a study, the arm.
    figures: numbers by name, such as the loss.
    message: for a person; "" where the name says all.
    files: what was written, by what it is: "checkpoint", "weights", "samples", "report".
    details: what else is known, as JSON has it.
    """

    name: str
    step: int = 0
    total: int = 0
    stage: str = ""
    figures: Mapping[str, float] = MappingProxyType({})
    message: str = ""
    files: Mapping[str, Path] = MappingProxyType({})
    details: Mapping[str, Any] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class Subject:
    """What events are told of.

    kind: "run" of training, or "study".
    name: for a person, such as "runs/photos".
    folder: where its files are.
    spec: the resolved spec, or the study's file, as JSON has it.
    """

    kind: Literal["run", "study"]
    name: str
    folder: Path
    spec: Mapping[str, Any] = MappingProxyType({})


class Listener(ABC):
    """Is told what happens: a progress display, a log, a tracker, an alert.

    wants_steps: whether it is told of every step; others are told of all that is not "step".
    """

    wants_steps: bool = False

    def open(self, subject: Subject) -> None:  # noqa: B027 - most have nothing to do
        """Called before the first event, while what is opened may still be refused.

        Raises:
            GlidepathError: it cannot do its work, such as for want of a password.
        """

    @abstractmethod
    def tell(self, event: Event) -> None:
        """Take an event. Parts of a spec are called from a thread of their own, and may take their time."""

    def close(self, timeout: float) -> None:  # noqa: B027 - most have nothing to do
        """Finish what is under way within so many seconds; called once, after the last event."""
