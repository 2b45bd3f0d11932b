"""The trainer `classifier`: a classifier of noisy images, which guidance then asks for its gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glidepath.core import PartError
from glidepath.plugins.train.data.dataset import Batch, batch_at
from glidepath.plugins.train.data.draws import drawn, generator
from glidepath.plugins.train.losses.density import TimestepDensity
from glidepath.plugins.train.losses.loss import add_noise, check_labels, encoded, upload
from glidepath.plugins.train.losses.timesteps import time_at
from glidepath.plugins.train.run.contents import Reader
from glidepath.plugins.train.run.run import Run
from glidepath.plugins.train.run.stage import TrainingStage
from glidepath.plugins.train.stages.timed import HELD_OUT_LEVELS, TimedStage
from glidepath.plugins.train.trainers.diffusion import StagedTrainer

if TYPE_CHECKING:
    from glidepath.plugins.train.trainers.configs import ClassifierTrainerConfig


class Classifies(Protocol):
    """What a part of kind `classifier` does, as far as training needs it."""

    num_classes: int

    def __call__(self, x: Tensor, t: Tensor) -> Tensor: ...


class ClassifierTrainer(StagedTrainer):
    """Trains a classifier on the spec's dataset; the spec's denoiser and text encoder stay as they are.

    The weights that it writes are the part's own: another spec names them as `weights` of its classifier.
    """

    config: ClassifierTrainerConfig
    trains_spec = False

    def __init__(
        self,
        config: ClassifierTrainerConfig,
        *,
        classifier: nn.Module,
        timesteps: TimestepDensity | None = None,
    ) -> None:
        self.config, self.classifier, self.timesteps = config, classifier, timesteps

    def stages(self, run: Run) -> list[TrainingStage]:
        """One."""
        return [ClassifyingStage(self.config, run, self.classifier, self.timesteps)]

    def readers(self, run: Run) -> Sequence[Reader]:
        """None: captions are not read."""
        return []

    def exported(self, averaged: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The classifier's weights under its own names."""
        start = "classifier."
        return {name.removeprefix(start): it for name, it in averaged.items() if name.startswith(start)}


class ClassifyingStage(TimedStage):
    """-log p(label given x_t), x_t of q(x_t given x_0) (Dhariwal & Nichol 2021, section 4, appendix H)."""

    name, network = "classify", "classifier"

    def __init__(
        self,
        config: ClassifierTrainerConfig,
        run: Run,
        classifier: nn.Module,
        timesteps: TimestepDensity | None = None,
    ) -> None:
        """Raises PartError where the dataset has no labels."""
        super().__init__(run, config.batch, config.seed, timesteps)
        if not hasattr(run.dataset, "labels"):
            raise PartError(
                "trainer classifier: it learns class labels of images, and the dataset has none (`labels`)"
            )
        self.config, self.steps = config, config.steps
        self.modules = nn.ModuleDict({"classifier": classifier.to(run.device, torch.float32)})
        if self.timesteps.state_dict():
            self.modules["timesteps"] = self.timesteps

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """The mean cross-entropy of labels, at times that are drawn."""
        run = self.run
        x_0 = encoded(run.codec, batch.images, run.device, generator, run.caches.latents)
        t = self.times(x_0, generator)
        noise = upload(drawn(torch.randn, x_0.shape, generator), run.device)
        x_t, step = add_noise(run.schedule, x_0, noise, t)
        classifier = cast(Classifies, self.modules["classifier"])
        losses = F.cross_entropy(classifier(x_t, step.t).float(), self._labels(batch), reduction="none")
        return self.mean_loss(losses, t, batch)

    @torch.no_grad()
    def probe(self, averaged: nn.ModuleDict) -> dict[str, float]:
        """The share of images whose class is found, by noise level; and the loss where they are held out.

        The images, the noise and the times are the same at each probe.
        """
        run, held_out = self.run, getattr(self.run.dataset, "validation", None)
        classifier = cast(Classifies, averaged["classifier"])
        size = min(self.config.batch, self.config.validation)
        right: dict[float, list[Tensor]] = {level: [] for level in HELD_OUT_LEVELS}
        losses: list[Tensor] = []
        for index in range(-(-self.config.validation // size) if size else 0):
            batch = batch_at(held_out or run.dataset, (), self.config.seed + 1, index, size)
            labels = self._labels(batch)
            x_0 = encoded(run.codec, batch.images, run.device, cache=run.caches.latents)
            noise = upload(torch.randn(x_0.shape, generator=generator(0, index)), run.device)
            for level, found in right.items():
                t = time_at(run.schedule, torch.full((size,), level, dtype=torch.float64))
                x_t, step = add_noise(run.schedule, x_0, noise, t)
                logits = classifier(x_t, step.t).float()
                found.append((logits.argmax(1) == labels).float())
                losses.append(F.cross_entropy(logits, labels, reduction="none"))
        figures = {f"right_at_{level}": torch.cat(found).mean() for level, found in right.items() if found}
        if held_out is not None and losses:
            figures["held_out"] = torch.cat(losses).mean()
        return {name: round(float(value), 6) for name, value in figures.items()}

    def _labels(self, batch: Batch) -> Tensor:
        labels = batch.labels
        assert labels is not None  # the dataset has them
        known: int = self.modules["classifier"].num_classes  # type: ignore[assignment]
        check_labels(labels, known, "classifier")
        return upload(labels, self.run.device)
