"""Trainers that go through stages, and the trainer `diffusion`: a denoiser and its text encoder together."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import torch
from torch import Tensor

from glidepath.core import Event, GlidepathError, Listener, require_finite
from glidepath.plugins.train.data.dataset import CaptionedDataset
from glidepath.plugins.train.data.prior import WithPrior
from glidepath.plugins.train.losses.density import TimestepDensity
from glidepath.plugins.train.losses.weighting import Weighting
from glidepath.plugins.train.run import checkpoint as checkpoints
from glidepath.plugins.train.run.checkpoint import CheckpointError, Newest, TrainingCheckpoint
from glidepath.plugins.train.run.compiling import compiling
from glidepath.plugins.train.run.contents import Reader, check_captions, check_contents
from glidepath.plugins.train.run.ending import ending
from glidepath.plugins.train.run.loop import Loop
from glidepath.plugins.train.run.remarks import BestFigure, remarks
from glidepath.plugins.train.run.resume import check_spec
from glidepath.plugins.train.run.run import WEIGHTS, Run, Trainer, conditioner_file
from glidepath.plugins.train.run.spec_file import published
from glidepath.plugins.train.run.stage import TrainingStage
from glidepath.plugins.train.stages.contrast import ContrastStage
from glidepath.plugins.train.stages.denoising import DenoisingStage, learning_conditioners, named
from glidepath.plugins.train.stages.facts import FactsStage
from glidepath.plugins.train.stages.lora import LORA, lora_tensors
from glidepath.registry import write_tensors

if TYPE_CHECKING:
    from glidepath.plugins.train.configs import DiffusionTrainerConfig, TrainingConfig


class StagedTrainer(Trainer, ABC):
    """Trains in stages, one after the other.

    Every random draw derives from (seed, step), dropout's included, so a run has no random state. A run that
    was killed at any moment resumes from its newest checkpoint to the weights of an uninterrupted one, bit
    for bit on one device in float32.
    """

    config: TrainingConfig

    @abstractmethod
    def stages(self, run: Run) -> list[TrainingStage]:
        """What is done, in order.

        Raises:
            PartError: the config asks for what the parts cannot do.
        """

    def exported(self, averaged: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The weights that are kept, of the averages of the last stage, named as they are loaded."""
        return averaged

    def readers(self, run: Run) -> Sequence[Reader]:
        """What reads the captions: each says which end of one it does not."""
        return [] if run.text_encoder is None else [run.text_encoder]

    def train(self, run: Run, *, stop_after: int | None = None) -> Path | None:
        """See Trainer.train. A finished run is not trained further; its weights are written again.

        Raises:
            TrainingDiverged: the loss or the weights stopped being numbers.
            CheckpointError: the folder's checkpoints are of another spec, of other images or captions, or
                cannot be read or written.
            CannotWrite: the log or the weights cannot be written.
            PartError: the config asks for what the parts cannot do, images or captions cannot be read,
                weights do not fit `export_dtype`, or a network could not be compiled.
        """
        devices = [run.device] if run.device.type == "cuda" else []
        # the caller's global streams stay as they were
        with torch.random.fork_rng(devices=devices), ending(run) as (run, end), run.group.in_words():
            with compiling(run) if run.compiled else nullcontext():
                weights = self._train(run, stop_after)
            end(weights)
        return weights

    def _train(self, run: Run, stop_after: int | None) -> Path | None:
        stages = self.stages(run)
        newest = _newest(run, stages)
        contents = None
        if run.group.first:
            samples = self.config.samples
            prompts = samples.prompts if samples else ()
            for sentence in remarks(self.config, run, stages):
                run.warn(sentence)
            check_captions(run, self.readers(run), self.config.seed, prompts)
            contents = check_contents(run, newest)
        contents = run.group.told(contents)
        if contents is None:
            return None
        run = attrs.evolve(run, contents=contents)
        others = BestFigure(self.config, stages[-1].name, run.warn), _Exports(self, run, stages[-1])
        run = attrs.evolve(run, listeners=(*run.listeners, *others))
        first, total = 0, sum(stage.steps for stage in stages)
        resumed = _resume(run, newest, total)
        for stage in stages:
            if resumed is None or resumed.meta["stage"] == stage.name:
                loop = Loop(self.config, run, stage, first, total, self.exported)
                if resumed is not None:
                    loop.restore(resumed)
                    resumed = None
                if not loop.advance(stop_after):
                    return None
            first += stage.steps
        return self.export(run, stages[-1]) if run.group.first else run.folder / WEIGHTS

    def export(self, run: Run, stage: TrainingStage) -> Path:
        """Write the averaged weights of the last checkpoint, named as a spec's `weights` expects them."""
        newest = checkpoints.newest(run.folder)
        assert newest is not None  # the last stage ends with a checkpoint
        found = newest.checkpoint
        averaged = {**stage.modules.state_dict(), **found.group("model"), **found.group("ema")}
        dtype = getattr(torch, self.config.export_dtype)
        files = {
            file: {name: it.to(dtype) if it.is_floating_point() else it for name, it in tensors.items()}
            for file, tensors in self.files(run, stage, averaged).items()
        }
        for tensors in files.values():
            require_finite(
                tensors, f"the trained weights, cast to train.export_dtype {self.config.export_dtype}"
            )
        header = {
            "format": "glidepath-weights-1",
            "step": str(found.step),
            "spec": json.dumps(published(run.spec, run.located)),
            "dataset": run.contents,
            "distributions": json.dumps(dict(run.distributions)),
            "torch": torch.__version__,
        }
        for file, tensors in files.items():
            write_tensors(run.folder / file, tensors, header)
        return run.folder / next(iter(files))

    def files(
        self, run: Run, stage: TrainingStage, averaged: Mapping[str, Tensor]
    ) -> dict[str, dict[str, Tensor]]:
        """What is written at the end, by file; the first is what training is for."""
        weights = dict(self.exported(averaged))
        if getattr(self, "trains_spec", True) and "weights" not in run.spec.get("codec", {}):
            # the file is the whole spec's: it has what no other file has
            weights |= {f"codec.{name}": value.cpu() for name, value in run.codec.state_dict().items()}
        return _by_file(weights)


class _Exports(Listener):
    """Writes the weights so far at each checkpoint of the last stage, so that the run can be sampled from."""

    def __init__(self, trainer: StagedTrainer, run: Run, stage: TrainingStage) -> None:
        self._trainer, self._run, self._stage = trainer, run, stage

    def tell(self, event: Event) -> None:
        if event.name == "checkpoint" and event.stage == self._stage.name:
            with suppress(GlidepathError):  # at the end it is an error
                self._trainer.export(self._run, self._stage)


class DiffusionTrainer(StagedTrainer):
    """Trains the text encoder by contrast or by facts, if asked to, then it and the denoiser by denoising."""

    config: DiffusionTrainerConfig

    def __init__(
        self,
        config: DiffusionTrainerConfig,
        *,
        weighting: Weighting | None = None,
        timesteps: TimestepDensity | None = None,
        prior: CaptionedDataset | None = None,
    ) -> None:
        self.config, self.weighting, self.timesteps, self.prior = config, weighting, timesteps, prior

    def train(self, run: Run, *, stop_after: int | None = None) -> Path | None:
        """See StagedTrainer.train. Where there is a prior, each batch is of both datasets."""
        if self.prior is not None:
            both = WithPrior(run.dataset, self.prior, self.config.prior_weight)
            run = attrs.evolve(run, dataset=both)
        return super().train(run, stop_after=stop_after)

    def stages(self, run: Run) -> list[TrainingStage]:
        """Denoising, after the stages that train the text encoder alone, where the config has some."""
        stages: list[TrainingStage] = []
        if self.config.contrastive_steps:
            stages.append(ContrastStage(self.config, run))
        if self.config.facts_steps:
            stages.append(FactsStage(self.config, run))
        return [*stages, DenoisingStage(self.config, run, self.weighting, self.timesteps)]

    def exported(self, averaged: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """All but what the loss learned for itself."""
        return {
            name: it for name, it in averaged.items() if not name.startswith(("weighting.", "timesteps."))
        }

    def files(
        self, run: Run, stage: TrainingStage, averaged: Mapping[str, Tensor]
    ) -> dict[str, dict[str, Tensor]]:
        """Of LoRA its changes alone."""
        if self.config.lora is None:
            return super().files(run, stage, averaged)
        return {LORA: lora_tensors(stage.modules, averaged, self.config.lora)}

    def sampling_spec(self, run: Run) -> Mapping[str, Any]:
        """With the files of the conditioners that learned, or with an adapter for LoRA."""
        if self.config.lora is not None:
            adapter = {"use": "glidepath-diffusion/lora", "weights": LORA}
            return {**run.spec, "adapters": [*run.spec.get("adapters", ()), adapter]}
        tree = {**run.spec, "weights": WEIGHTS}
        learned = learning_conditioners(run.conditioners, self.config.only or ())
        if learned:
            tree["conditioners"] = [
                {**planned, "weights": conditioner_file(name)} if name in learned else planned
                for planned, (name, _) in zip(tree["conditioners"], named(run.conditioners), strict=True)
            ]
        return tree


def _by_file(weights: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The tensors of each file: conditioners have files of their own, as a spec names them."""
    files: dict[str, dict[str, Tensor]] = {WEIGHTS: {}}
    for name, value in weights.items():
        slot, _, key = name.partition(".")
        own = conditioner_file(slot)
        files.setdefault(own or WEIGHTS, {})[key if own else name] = value
    return files


def _newest(run: Run, stages: list[TrainingStage]) -> Newest | None:
    """The checkpoint to go on from, if there is one: it is of this spec and of one of the stages."""
    newest = checkpoints.newest(run.folder)
    if newest is None:
        return None
    found = newest.checkpoint
    # one that does not know its images by their contents knows them by where they lie
    check_spec(found.meta["spec"], run.spec, newest.path, run.located if found.meta.get("dataset") else ())
    if found.meta["stage"] not in {stage.name for stage in stages}:
        raise CheckpointError(
            f"{newest.path} stands in a stage {found.meta['stage']!r}, which this trainer does not have"
        )
    return newest


def _resume(run: Run, newest: Newest | None, total: int) -> TrainingCheckpoint | None:
    """Take over what no stage of the checkpoint trains; the log ends there, and says so."""
    if newest is None:
        run.tell(Event(name="started", total=total))
        return None
    found = newest.checkpoint
    for slot, module in run.networks.items():
        waiting = found.group(f"waiting.{slot}")
        if waiting:
            try:
                module.load_state_dict(waiting)
            except RuntimeError as error:
                raise CheckpointError(f"{newest.path} does not fit the {slot}: {error}") from error
    if not run.group.first:
        return found
    newest.set_damaged_aside()
    details: dict[str, Any] = {"resumed_from": newest.path.name}
    if newest.damaged:
        details["damaged"] = list(newest.damaged.values())
    run.tell(Event(name="started", step=found.step, total=total, details=details))
    return found
