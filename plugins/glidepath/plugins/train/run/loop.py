"""The training loop: the steps of one stage, its log and its checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from glidepath.core import Event, GlidepathError
from glidepath.plugins.train.averages.power import PowerAverages
from glidepath.plugins.train.averages.snapshots import keep
from glidepath.plugins.train.data import draws
from glidepath.plugins.train.data.batches import Batches
from glidepath.plugins.train.data.dataset import Batch
from glidepath.plugins.train.run import checkpoint as checkpoints
from glidepath.plugins.train.run.keeping import Room, patiently
from glidepath.plugins.train.run.learner import Learner, fingerprint
from glidepath.plugins.train.run.memory import keep_freed, peak_bytes
from glidepath.plugins.train.run.precision import autocast, chosen
from glidepath.plugins.train.run.rates import ema_decay, rate_share
from glidepath.plugins.train.run.run import Run, TrainingDiverged
from glidepath.plugins.train.run.sheets import Sheets
from glidepath.plugins.train.run.spikes import Losses, Spike, batches_of
from glidepath.plugins.train.run.stage import TrainingStage
from glidepath.plugins.train.scale.shards import Shards, gathered
from glidepath.plugins.train.scale.share import loss_of, share_of

if TYPE_CHECKING:
    from glidepath.plugins.train.configs import Samples, TrainingConfig

_MOST_LEFT_OUT = 20


class Loop:
    """One stage under way. Steps are counted over all stages; this one begins after `first` of `total`.

    What a step does is decided by the weights, the optimizer's state and (seed, step), so going on from a
    checkpoint gives the weights that an uninterrupted run has, bit for bit on one device.
    """

    def __init__(
        self,
        config: TrainingConfig,
        run: Run,
        stage: TrainingStage,
        first: int,
        total: int,
        exported: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] = dict,
    ) -> None:
        """exported: which weights of the stage are kept, and under which names."""
        keep_freed(run.device)
        self.config, self.run, self.stage, self.first, self.total = config, run, stage, first, total
        self.step = self.saved = first
        sharded = config.shard and run.group.count > 1 and stage.divides and not stage.compares
        self._precision = chosen(config.precision, run.device)
        self._shards = Shards(stage, run.device, config) if sharded else None
        self.learner = Learner(
            stage.modules,
            run.device,
            config,
            rates=stage.rates,
            only=stage.only,
            divide=self._shards.divide if self._shards else None,
            compiled=stage.network if run.compiled else "",
        )
        # what another stage may have trained is kept, and what is as it was loaded is known again
        self._keeps_frozen = stage.steps < total
        self._frozen = "" if self._keeps_frozen else fingerprint(gathered(self.learner.frozen))
        self._autocast = autocast(self._precision, run.device)
        self._share = share_of(stage, run.group)
        self._parts = self._share.parts(config.accumulate if stage.divides and not stage.compares else 1)
        self._loss = self._shards.loss if self._shards else loss_of(stage, run.group)
        lengths = config.ema_lengths if first + stage.steps == total else ()
        self._averages, self._exported = PowerAverages(lengths, self.learner.learning), exported
        self._losses = Losses(config.spike)
        self._left_out: set[int] = set()
        self._watched = self._times_back = 0
        self._figures: dict[str, float] = {}
        self._room = Room(run.folder)
        self._sheets = self._sheets_of(run, config.samples)
        self._ahead = Batches(
            run.dataset,
            run.conditioners,
            config.seed,
            stage.batch,
            first + stage.steps,
            rows=self._share.rows,
            workers=config.workers,
            timeout=config.worker_timeout,
        )
        self._clock, self._timed = time.perf_counter(), 0

    def restore(self, found: checkpoints.TrainingCheckpoint) -> None:
        """Go on from a checkpoint of this stage."""
        if found.meta.get("frozen", "") != self._frozen:
            raise checkpoints.CheckpointError(
                f"the checkpoint of step {found.step} is of a run that left other weights as they are "
                "(train.only) than those here: bring them back to resume, or choose another folder"
            )
        then = found.meta.get("precision", self._precision)
        if then != self._precision:
            self.run.warn(
                f"train.precision: auto was {then} up to step {found.step}, and is {self._precision} on this "
                f"device; in another run, train.precision: {then} stays what it is on any"
            )
        self.learner.restore(found)
        self._averages.restore(found.group("average"))
        self.step = self.saved = found.step
        self._losses.restore(found.meta)
        self._left_out |= set(found.meta.get("left_out", ()))
        self._figures = dict(found.meta.get("figures", {}))

    def advance(self, stop_after: int | None) -> bool:
        """Train to the end of the stage, or until told to stop; there is a checkpoint then.

        Returns whether the stage is at its end. An error leaves a checkpoint too, unless it came while the
        weights were changed; it has a note that says so.
        """
        try:
            return self._advance(stop_after)
        except Exception as error:
            # what is divided among processes is whole with all of them alone
            if self.step > self.saved and self.learner.whole and self._shards is None:
                with suppress(GlidepathError):
                    self.learner.forget_forward()
                    self._save(patience=0.0)
                    error.add_note(f"a checkpoint of step {self.step} is in {self.run.folder}")
            raise
        finally:
            self._ahead.close()
            self.learner.release()

    def _advance(self, stop_after: int | None) -> bool:
        config, end = self.config, self.first + self.stage.steps
        self._tell("stage")
        if config.on_spike == "rewind" and self.step == self.first:
            self._save()  # to go back to
        while True:
            if self.step >= end or self._is_to_stop(stop_after):
                if self.step == self.saved or self._save():
                    break
                continue  # it went back
            if self.step not in self._left_out:
                loss = self._one_step()
                if self.step < self._watched and not (loss.isfinite() and self._is_finite()):
                    self._leave_out(self.step)
                    continue
                self._losses.add(self.step, loss)
            self.step += 1
            self._timed += 1
            self._average()
            self._tell("step")
            if self._sheets is not None and self._sheets.due(self.step, self.stage.batch):
                self._draw(self._sheets)
            probe = self.step % config.probe_every == 0 or self.step == end
            if (probe or self.step % config.log_every == 0) and not self._log(probe=probe):
                continue
            if self.step % config.checkpoint_every == 0:
                self._save()
        if self.step == end:
            self._tell("stage-done")
        return self.step == end

    def _average(self) -> None:
        done = self.step - self.first
        self._averages.update(done)
        if done % self.config.ema_every == 0 or done == self.stage.steps:
            keep(self.run.folder, done, self._averages, self._exported, writes=self.run.group.first)

    def _is_to_stop(self, stop_after: int | None) -> bool:
        return self.run.group.any((stop_after is not None and self.step >= stop_after) or self.run.stop())

    def _tell(self, name: str, **more: Any) -> None:
        self.run.tell(Event(name=name, step=self.step, total=self.total, stage=self.stage.name, **more))

    def _one_step(self) -> Tensor:
        done = self.step - self.first
        batch = self._ahead.at(self.step)
        self.run.check_shape(batch.images.shape[1:])
        decay = ema_decay(self.config.ema, done)
        loss = self.learner.update(self._in_parts(batch), self._learning_rate(done), decay)
        self.stage.stepped()
        return self.run.group.mean(loss)

    def _in_parts(self, batch: Batch) -> Iterator[Tensor]:
        """Those of the parts of this process's rows, whose sum is the loss; each is computed when asked."""
        seed, first = self.config.seed, self._share.rows.start
        for share in self._parts:
            torch.manual_seed(draws.mix(seed, self.step, draws.DROPOUT))
            rows = slice(share.rows.start - first, share.rows.stop - first)
            some = batch if len(share) == len(batch) else batch.taken(rows)
            with share.dropout():
                with self._autocast():
                    loss = self._loss(some, share.generator(seed, self.step))
                yield loss if self.stage.compares else share.weighed(loss)

    def _learning_rate(self, done: int) -> float:
        config = self.config
        highest = self.stage.learning_rate or config.learning_rate
        return highest * rate_share(config, done, self.stage.steps)

    def _sheets_of(self, run: Run, samples: Samples | None) -> Sheets | None:
        """Of the stage that trains the model, by the first process; divided averages need them all."""
        if samples is None or run.pipeline_of is None or not (run.group.first or self._shards):
            return None
        averaged = self.learner.averaged
        return Sheets(samples, run.pipeline_of, averaged) if run.slot in averaged else None

    def _draw(self, sheets: Sheets) -> None:
        """A sheet of samples. One that fails is told, and costs no step."""
        paused = time.perf_counter()
        with self._shards.averages() if self._shards else nullcontext():
            if self.run.group.first:
                try:
                    path = sheets.draw(self.run.folder, self.step)
                except GlidepathError as error:
                    self._tell("warning", message=f"samples could not be drawn: {error}")
                else:
                    self._tell("samples", files={"samples": path})
        self._clock += time.perf_counter() - paused

    def _log(self, *, probe: bool) -> bool:
        """A line with the mean loss since the last one. Between checkpoints only this waits for a GPU.

        Returns False where training went back instead.
        """
        if self._went_back():
            return False
        rate = self._timed * self.stage.batch / (time.perf_counter() - self._clock)
        line = {
            "learning_rate": self._learning_rate(self.step - 1 - self.first),
            "images_per_second": round(rate, 1),
            "memory_gb": round(peak_bytes(self.run.device) / 1e9, 3),
        }
        if probe:
            figures = (self._shards or self.stage).probe(self.learner.averaged)
            if not all(map(math.isfinite, figures.values())):
                self._go_back(self.step - 1, "state")
                return False
            line |= figures
        loss = self._losses.mean()
        if loss is not None:
            self._figures |= {"loss": round(loss, 6), **line}
            self._tell("logged", figures={"loss": round(loss, 6), **line})
        self._warn_of_room()
        self._clock, self._timed = time.perf_counter(), 0
        return True

    def _save(self, patience: float | None = None) -> bool:
        """A checkpoint, unless something in it is not a number. Returns False where training went back."""
        paused = time.perf_counter()
        if self._went_back():
            return False
        if not self._is_finite():
            self._go_back(self.step - 1, "state")
            return False
        tensors = self.learner.tensors(frozen=self._keeps_frozen)
        tensors |= self._averages.tensors()
        # what another stage trains is kept too: a resumed run does not depend on how it was initialised
        for slot, module in self.run.networks.items():
            if slot not in self.stage.modules:
                tensors |= {f"waiting.{slot}.{name}": value for name, value in module.state_dict().items()}
        tensors = gathered(tensors, kept=self.run.group.first)
        meta = {
            "spec": dict(self.run.spec),
            "seed": self.config.seed,
            "stage": self.stage.name,
            "dataset": self.run.contents,
            "frozen": self._frozen,
            "precision": self._precision,
            **self._losses.state(),
            "left_out": sorted(self._left_out),
            "figures": self._figures,
            "distributions": dict(self.run.distributions),
            "torch": torch.__version__,
        }
        if self.run.group.first:
            self._write(checkpoints.TrainingCheckpoint(self.step, tensors, meta), patience)
        self.saved = self.step
        self._clock += time.perf_counter() - paused
        return True

    def _is_finite(self) -> bool:
        """Whether all that the run has learned is numbers, in every process that holds a part of it."""
        finite = self.learner.is_finite()
        return not self.run.group.any(not finite) if self._shards else finite

    def _write(self, checkpoint: checkpoints.TrainingCheckpoint, patience: float | None) -> None:
        config = self.config

        def save() -> Path:
            self._room.require()
            return checkpoints.save(
                self.run.folder, checkpoint, config.keep, hours=config.keep_hours, best=config.keep_best
            )

        path = patiently(
            save,
            config.patience if patience is None else patience,
            lambda why: self._tell("unwritable", message=why),
            self.run.stop,
        )
        self._room.written(path)
        self._tell("checkpoint", files={"checkpoint": path})
        self._warn_of_room()

    def _warn_of_room(self) -> None:
        if lacks := self._room.lacks():
            self._tell("disk-low", message=lacks)

    def _went_back(self) -> bool:
        """Look at the losses; True where one of them made training go back.

        Raises:
            TrainingDiverged: one is no number, and training does not go back for it.
        """
        while (spike := self._losses.look()) is not None:
            if self.config.on_spike == "rewind" or not spike.is_finite:
                self._go_back(spike.step, "loss", spike)
                return True
            what = f"{_told(spike)}; training goes on"
            self._tell("spike", message=what, details={"batches": self._batches([spike.step])})
        return False

    def _go_back(self, bad: int, what: str, spike: Spike | None = None) -> None:
        """To the checkpoint before a bad step, to go on without its batch.

        A loss that is no number may come of weights that an earlier step has spoilt: the steps since the
        checkpoint are done again, each looked at by itself, and the one that spoils is left out.

        Raises:
            TrainingDiverged: that is not wanted, or has not helped so far.
        """
        if spike is not None and spike.is_finite:
            self._leave_out(bad, spike)
            return
        batches = self._batches([max(bad - 1, self.first), bad])
        if not self._restore_newest():
            raise self._diverged(what, bad + 1, batches)
        self._watched = bad + 1
        self._tell(
            "spike",
            message=f"the {what} of step {bad + 1} is no number; training goes back to step {self.step}, and "
            "looks for the batch that spoils it",
            details={"rewound_to": self.step, "batches": batches},
        )

    def _leave_out(self, bad: int, spike: Spike | None = None) -> None:
        """Go back, and do nothing in a bad step; checkpoints have it, so a resumed run does the same."""
        batches = self._batches([bad])
        if len(self._left_out) >= _MOST_LEFT_OUT or not self._restore_newest():
            raise self._diverged("state", bad + 1, batches)
        self._left_out.add(bad)
        told = f"step {bad + 1} spoils the weights" if spike is None else _told(spike)
        self._tell(
            "spike",
            message=f"{told}; training goes on from step {self.step} without its batch",
            details={"rewound_to": self.step, "left_out": [bad + 1], "batches": batches},
        )

    def _restore_newest(self) -> bool:
        """Back to the newest checkpoint of this stage; False where it is not wanted, or there is none."""
        self._times_back += 1
        if self.config.on_spike != "rewind" or self._times_back > 3 * _MOST_LEFT_OUT:
            return False
        self.run.group.any(False)  # the first has written it
        found = checkpoints.newest(self.run.folder)
        if found is None or found.checkpoint.meta["stage"] != self.stage.name:
            return False
        self.restore(found.checkpoint)
        self._timed, self._clock = 0, time.perf_counter()
        return True

    def _batches(self, steps: list[int]) -> list[dict[str, Any]]:
        return batches_of(self.run.dataset, self.config.seed, self.stage.batch, steps)

    def _diverged(self, what: str, step: int, batches: list[dict[str, Any]]) -> TrainingDiverged:
        found = checkpoints.existing(self.run.folder)
        kept = f"the last good checkpoint is {found[-1]}" if found else "no checkpoint was written before"
        if self._left_out:
            kept += f", and {len(self._left_out)} batches were left out before"
        error = TrainingDiverged(
            f"training diverged: the {what} of step {step}, or of the steps before it, is not finite; "
            f"{kept}. Resuming would come to the same end, but for train.on_spike=rewind, which leaves the "
            "batch out; or train into another folder with a lower "
            f"train.learning_rate (now {self.config.learning_rate}), with another train.gradient_clip (now "
            f"{self.config.gradient_clip}; 0 is none), or with train.precision=float32"
        )
        error.batches = batches
        return error


def _told(spike: Spike) -> str:
    return f"the loss of step {spike.step + 1} is {spike.loss:g}, over {spike.factor:g} times the median"
