"""The training loop: the steps of one stage, its log and its checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from glidepath.core import Event, GlidepathError, PartError
from glidepath.plugins.train.data import draws
from glidepath.plugins.train.data.dataset import batch_at
from glidepath.plugins.train.run import checkpoint as checkpoints
from glidepath.plugins.train.run.learner import Learner, fingerprint
from glidepath.plugins.train.run.rates import ema_decay, rise_and_fall
from glidepath.plugins.train.run.run import Run, TrainingDiverged
from glidepath.plugins.train.run.stage import TrainingStage
from glidepath.plugins.train.scale.share import loss_of, share_of

if TYPE_CHECKING:
    from glidepath.plugins.train.configs import TrainingConfig


class Loop:
    """One stage under way. Steps are counted over all stages; this one begins after `first` of `total`.

    What a step does is decided by the weights, the optimizer's state and (seed, step), so going on from a
    checkpoint gives the weights that an uninterrupted run has, bit for bit on one device.
    """

    def __init__(
        self, config: TrainingConfig, run: Run, stage: TrainingStage, first: int, total: int
    ) -> None:
        self.config, self.run, self.stage, self.first, self.total = config, run, stage, first, total
        self.step = self.saved = first
        self.learner = Learner(
            stage.modules,
            run.device,
            weight_decay=config.weight_decay,
            gradient_clip=config.gradient_clip,
            rates=stage.rates,
            only=stage.only,
        )
        # what another stage may have trained is kept, and what is as it was loaded is known again
        self._keeps_frozen = stage.steps < total
        self._frozen = "" if self._keeps_frozen else fingerprint(self.learner.frozen)
        self._autocast = _autocast(config.precision, run.device)
        self._share, self._loss = share_of(stage, run.group), loss_of(stage, run.group)
        self._unlogged: list[Tensor] = []
        self._clock, self._timed = time.perf_counter(), 0

    def restore(self, found: checkpoints.TrainingCheckpoint) -> None:
        """Go on from a checkpoint of this stage."""
        if found.meta.get("frozen", "") != self._frozen:
            raise checkpoints.CheckpointError(
                f"the checkpoint of step {found.step} is of a run that left other weights as they are "
                "(train.only) than those here: bring them back to resume, or choose another folder"
            )
        self.learner.restore(found)
        self.step = self.saved = found.step
        self._unlogged = [
            torch.tensor(loss, device=self.run.device) for loss in found.meta.get("unlogged", ())
        ]

    def advance(self, stop_after: int | None) -> bool:
        """Train to the end of the stage, or until told to stop; there is a checkpoint then.

        Returns whether the stage is at its end. An error leaves a checkpoint too, unless it came while the
        weights were changed; it has a note that says so.
        """
        try:
            return self._advance(stop_after)
        except Exception as error:
            if self.step > self.saved and self.learner.whole:
                with suppress(GlidepathError):
                    self.learner.forget_forward()
                    self._save()
                    error.add_note(f"a checkpoint of step {self.step} is in {self.run.folder}")
            raise

    def _advance(self, stop_after: int | None) -> bool:
        config, end = self.config, self.first + self.stage.steps
        self._tell("stage")
        while self.step < end and not self._is_to_stop(stop_after):
            self._unlogged.append(self._one_step())
            self.step += 1
            self._timed += 1
            self._tell("step")
            probe = self.step % config.probe_every == 0 or self.step == end
            if probe or self.step % config.log_every == 0:
                self._log(probe=probe)
            if self.step % config.checkpoint_every == 0:
                self._save()
        if self.step > self.saved:
            self._save()
        if self.step == end:
            self._tell("stage-done")
        return self.step == end

    def _is_to_stop(self, stop_after: int | None) -> bool:
        return self.run.group.any((stop_after is not None and self.step >= stop_after) or self.run.stop())

    def _tell(self, name: str, **more: Any) -> None:
        self.run.tell(Event(name=name, step=self.step, total=self.total, stage=self.stage.name, **more))

    def _one_step(self) -> Tensor:
        seed, done = self.config.seed, self.step - self.first
        torch.manual_seed(draws.mix(seed, self.step, draws.DROPOUT))
        batch = batch_at(self.run.dataset, self.run.conditioners, seed, self.step, self.stage.batch)
        self.run.check_shape(batch.images.shape[1:])
        share = self._share
        if not share.whole:
            batch = batch.taken(share.rows)
        with share.dropout():
            with self._autocast():
                loss = self._loss(batch, share.generator(seed, self.step))
            loss = share.weighed(loss)
            self.learner.update(loss, self._learning_rate(done), ema_decay(self.config.ema, done))
        self.stage.stepped()
        return self.run.group.mean(loss.detach())

    def _learning_rate(self, done: int) -> float:
        config = self.config
        highest = self.stage.learning_rate or config.learning_rate
        return highest * rise_and_fall(done, self.stage.steps, config.warmup_steps, config.decay_share)

    def _log(self, *, probe: bool) -> None:
        """A line with the mean loss since the last one. Between checkpoints only this waits for a GPU."""
        loss = float(torch.stack(self._unlogged).mean())
        if not math.isfinite(loss):
            raise self._diverged("loss")
        rate = self._timed * self.stage.batch / (time.perf_counter() - self._clock)
        line = {
            "loss": round(loss, 6),
            "learning_rate": self._learning_rate(self.step - 1 - self.first),
            "images_per_second": round(rate, 1),
        }
        if probe:
            figures = self.stage.probe(self.learner.averaged)
            if not all(map(math.isfinite, figures.values())):
                raise self._diverged("state")
            line |= figures
        self._tell("logged", figures=line)
        self._unlogged = []
        self._clock, self._timed = time.perf_counter(), 0

    def _save(self) -> None:
        """A checkpoint, unless something in it is not a number."""
        paused = time.perf_counter()
        losses = torch.stack(self._unlogged).tolist() if self._unlogged else []
        if not all(map(math.isfinite, losses)):
            raise self._diverged("loss")
        if not self.learner.is_finite():
            raise self._diverged("state")
        tensors = self.learner.tensors(frozen=self._keeps_frozen)
        # what another stage trains is kept too: a resumed run does not depend on how it was initialised
        for slot, module in (("denoiser", self.run.denoiser), ("text_encoder", self.run.text_encoder)):
            if module is not None and slot not in self.stage.modules:
                tensors |= {f"waiting.{slot}.{name}": value for name, value in module.state_dict().items()}
        meta = {
            "spec": dict(self.run.spec),
            "seed": self.config.seed,
            "stage": self.stage.name,
            "dataset": self.run.contents,
            "frozen": self._frozen,
            "unlogged": losses,
            "distributions": dict(self.run.distributions),
            "torch": torch.__version__,
        }
        if self.run.group.first:
            path = checkpoints.save(
                self.run.folder, checkpoints.TrainingCheckpoint(self.step, tensors, meta), self.config.keep
            )
            self._tell("checkpoint", files={"checkpoint": path})
        self.saved = self.step
        self._clock += time.perf_counter() - paused

    def _diverged(self, what: str) -> TrainingDiverged:
        found = checkpoints.existing(self.run.folder)
        kept = f"the last good checkpoint is {found[-1]}" if found else "no checkpoint was written before"
        return TrainingDiverged(
            f"training diverged: the {what} of step {self.step}, or of the steps before it, is not finite; "
            f"{kept}. Resuming would come to the same end; train into another folder with a lower "
            f"train.learning_rate (now {self.config.learning_rate}), with another train.gradient_clip (now "
            f"{self.config.gradient_clip}; 0 is none), or with train.precision=float32"
        )


def _autocast(precision: str, device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    if precision == "auto":
        precision = "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    if precision not in ("float32", "bfloat16"):
        raise PartError(f"train.precision is auto, float32 or bfloat16, not {precision!r}")
    if precision == "float32":
        return nullcontext
    return lambda: torch.autocast(device.type, dtype=torch.bfloat16)
