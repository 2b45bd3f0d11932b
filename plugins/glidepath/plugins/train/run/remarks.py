"""What a run was told that has no use or costs more than it seems, said as soon as it is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import attrs

from glidepath.core import Event, Listener
from glidepath.plugins.train.run.precision import is_emulated
from glidepath.plugins.train.run.rates import rate_share
from glidepath.plugins.train.run.run import Run
from glidepath.plugins.train.run.stage import TrainingStage

if TYPE_CHECKING:
    from glidepath.plugins.train.configs import TrainingConfig

_LOW = 0.9
"""A learning rate that stays below this share of what it was to be is told."""


def remarks(config: TrainingConfig, run: Run, stages: Sequence[TrainingStage]) -> Iterator[str]:
    """A sentence for each."""
    if config.cache is not None and run.text_encoder is not None and run.caches.texts is None:
        yield (
            "train.cache: embeddings of captions are not read from it, as the text encoder learns; "
            "train.text_encoder_rate: 0 keeps it as it is"
        )
    if is_emulated(config.precision, run.device):
        yield (
            f"train.precision: this processor computes {config.precision} by way of float32, which is slower "
            "than float32 alone; auto is never slower"
        )
    if run.compiled and (without := [stage.name for stage in stages if not stage.network]):
        yield f"runtime.compile: stage {', '.join(without)} trains words, and is not compiled"
    for stage in stages:
        pace = max(1, stage.steps // 1000)
        highest = max(rate_share(config, done, stage.steps) for done in range(0, stage.steps, pace))
        if highest < _LOW:
            yield (
                f"stage {stage.name}: its {stage.steps} steps take the learning rate to {highest:.0%} of its "
                f"highest, as train.warmup_steps is {config.warmup_steps}"
            )
    whole = [stage.name for stage in stages if stage.compares or not stage.divides]
    if config.accumulate > 1 and whole:
        yield (
            f"train.accumulate has no use in stage {', '.join(whole)}, which compares all images of a batch "
            "at once"
        )
    last, samples = stages[-1].steps, config.samples
    if samples and not samples.every_images and samples.every > sum(stage.steps for stage in stages):
        yield f"train.samples: no sheet is drawn, as `every` is {samples.every} steps, and the run is shorter"
    if config.ema_lengths and config.ema_every >= last:
        yield (
            f"train.ema_every is {config.ema_every}, and stage {stages[-1].name} has {last} steps: averages "
            "are kept at the end alone, and those of other lengths that are made of them are rough"
        )


class BestFigure(Listener):
    """Warns, once, where the last stage logs no figure of the name that `keep_best` has."""

    def __init__(self, config: TrainingConfig, stage: str, warn: Callable[[str], object]) -> None:
        self._config, self._stage, self._warn = config, stage, warn
        self._began, self._known = 0, set[str]()

    def tell(self, event: Event) -> None:
        """At the first checkpoint after a probe all figures are known."""
        name = self._config.keep_best
        if not name or event.stage != self._stage:
            return
        if event.name == "stage":
            self._began = event.step
        if event.name == "logged":
            self._known |= event.figures.keys()
        if event.name == "checkpoint" and event.step - self._began >= self._config.probe_every:
            self._config, known = attrs.evolve(self._config, keep_best=""), ", ".join(sorted(self._known))
            if name not in self._known:
                self._warn(f"train.keep_best: no figure of the log is named {name!r}; there are {known}")
