"""The stage in which a generator learns from an objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from glidepath.core import Condition, Conditioning, Generator, PartError, TextEncoder
from glidepath.plugins.train.data.dataset import Batch, batch_at
from glidepath.plugins.train.data.draws import drawn
from glidepath.plugins.train.losses.loss import (
    dropped_conditions,
    encoded,
    label_condition,
    request_of,
)
from glidepath.plugins.train.run.objective import Objective
from glidepath.plugins.train.run.run import Run
from glidepath.plugins.train.run.stage import TrainingStage

if TYPE_CHECKING:
    from glidepath.plugins.train.configs import ObjectivesTrainerConfig

_OBJECTIVE = "objective"
_PROBED = 64


class ObjectiveStage(TrainingStage):
    """A generator and its text encoder learn from one objective."""

    def __init__(self, config: ObjectivesTrainerConfig, run: Run, objective: Objective) -> None:
        """Raises PartError where the spec has no generator to train."""
        if run.generator is None:
            raise PartError("train.objectives train a generator, and this spec has a denoiser")
        self.config, self.run, self.objective = config, run, objective
        self.name, self.network = objective.name, run.slot
        self.steps = getattr(objective, "steps", None) or config.steps
        self.batch = config.batch
        if hasattr(objective, "attach"):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(config.seed)
                objective.attach(run.generator)
        self.modules = nn.ModuleDict(dict(run.networks))
        self.rates = {"text_encoder": config.text_encoder_rate}
        only: Sequence[str] | None = getattr(objective, "only", None)
        if isinstance(objective, nn.Module) and any(True for _ in objective.parameters()):
            self.modules[_OBJECTIVE] = objective.to(run.device, torch.float32)
        if only is not None:
            more = [name for name in self.modules if name == _OBJECTIVE or getattr(objective, "text", False)]
            self.only = [f"{run.slot}.{name}" for name in only] + [it for it in more if it != run.slot]

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """The objective's, of a batch some of whose captions are dropped."""
        run = self.run
        x_0 = encoded(run.codec, batch.images, run.device, generator, run.caches.latents)
        dropped = drawn(torch.rand, (len(batch),), generator) < self.config.caption_dropout
        conditioning = self._conditioning(self.modules, batch, dropped)
        return self.objective.loss(self._model(self.modules), x_0, conditioning, generator)

    @torch.no_grad()
    def probe(self, averaged: nn.ModuleDict) -> dict[str, float]:
        """What the objective says of held-out images, where the dataset keeps some, or of trained ones."""
        run = self.run
        if not hasattr(self.objective, "probe"):
            return {}
        dataset = getattr(run.dataset, "validation", None) or run.dataset
        batch = batch_at(dataset, run.conditioners, self.config.seed + 1, 0, _PROBED)
        x_0 = encoded(run.codec, batch.images, run.device)
        figures: Mapping[str, float] = self.objective.probe(
            self._model(averaged), x_0, self._conditioning(averaged, batch)
        )
        return {name: round(float(value), 6) for name, value in figures.items()}

    def _model(self, modules: nn.ModuleDict) -> Generator:
        return cast(Generator, modules[self.run.slot])

    def _conditioning(
        self, modules: nn.ModuleDict, batch: Batch, dropped: Tensor | None = None
    ) -> Conditioning:
        run, made = self.run, dict[str, Condition]()
        if run.text_encoder is not None:
            encoder: Any = run.caches.texts or cast(TextEncoder, modules["text_encoder"])
            made["text"] = Condition(encoder(batch.captions), encoder.unconditional())
        if "labels" in run.model.reads:
            made["labels"] = label_condition(run.model, batch.labels)
        with torch.no_grad():
            for conditioner in run.conditioners:
                made |= conditioner.conditions(request_of(batch), run.codec)
        return Conditioning(len(batch), dropped_conditions(made, run.device, dropped), tuple(batch.captions))
