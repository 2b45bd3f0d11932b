"""The losses of steps: read from the device together; one may be no number, or far too high."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from statistics import median
from typing import Any

import attrs
import torch
from torch import Tensor

from glidepath.plugins.train.data.dataset import CaptionedDataset, batch_at

_RECENT = 100
_FEWEST = 20
_MOST_CAPTIONS = 64


@attrs.frozen
class Spike:
    """A bad step. loss: no number, or more than `factor` times the median of those before it."""

    step: int
    loss: float
    factor: float

    @property
    def is_finite(self) -> bool:
        """Whether the loss is a number."""
        return math.isfinite(self.loss)


class Losses:
    """What the steps since the last line of the log lost.

    factor: a loss above so many times the median of the last 100 is a spike; 0: none is, but what is no
        number. The median is known after 20 steps.

    Nothing is read from the device between two looks.
    """

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._waiting: list[tuple[int, Tensor]] = []
        self._unlogged: list[float] = []
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._found: list[tuple[int, float]] = []

    def add(self, step: int, loss: Tensor) -> None:
        """Note the loss of a step, a scalar on the device."""
        self._waiting.append((step, loss))

    def look(self) -> Spike | None:
        """The next bad step that was not looked at before; None where there is none any more."""
        if self._waiting:
            losses = torch.stack([loss for _, loss in self._waiting]).tolist()
            self._found += zip((step for step, _ in self._waiting), losses, strict=True)
            self._waiting = []
        while self._found:
            step, loss = self._found.pop(0)
            self._unlogged.append(loss)
            if not math.isfinite(loss):
                return Spike(step, loss, self._factor)
            known = len(self._recent) >= _FEWEST and self._factor > 0
            if known and loss > self._factor * median(self._recent):
                return Spike(step, loss, self._factor)
            self._recent.append(loss)
        return None

    def mean(self) -> float | None:
        """Of the steps since the mean was last asked for; None where there were none."""
        losses, self._unlogged = self._unlogged, []
        return math.fsum(losses) / len(losses) if losses else None

    def state(self) -> dict[str, list[float]]:
        """For a checkpoint; everything was looked at."""
        return {"unlogged": list(self._unlogged), "recent": list(self._recent)}

    def restore(self, meta: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._waiting, self._found = [], []
        self._unlogged = list(meta.get("unlogged", ()))
        self._recent = deque(map(float, meta.get("recent", ())), maxlen=_RECENT)


def batches_of(dataset: CaptionedDataset, seed: int, size: int, steps: Iterable[int]) -> list[dict[str, Any]]:
    """What was trained on in some steps: names of files, where the dataset knows them, and captions."""
    names: Callable[..., Iterable[str]] = getattr(dataset, "names", lambda *_: [])
    batches: list[dict[str, Any]] = []
    with suppress(Exception):  # what cannot be read again is not known
        for step in steps:
            captions = list(batch_at(dataset, (), seed, step, size).captions[:_MOST_CAPTIONS])
            named = list(names(seed, step, size))[:_MOST_CAPTIONS]
            batches.append({"step": step + 1, "names": named, "captions": captions})
    return batches
