"""A first stage for the text encoder: say what a caption says.

A denoiser that is trained from scratch together with its text encoder does without the caption for long, and
longest without the order of its words: which colour belongs to which object costs the loss little, and while
the text encoder does not tell, nothing asks it to. Where the dataset knows what its captions say, the text
encoder is taught that first, from words alone: a linear layer, thrown away afterwards, answers the dataset's
questions from the pooled vector.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glidepath.core import PartError
from glidepath.plugins.train.data.dataset import OPEN, Batch, FactualDataset
from glidepath.plugins.train.losses.loss import upload
from glidepath.plugins.train.run.run import Run
from glidepath.plugins.train.run.stage import TrainingStage

if TYPE_CHECKING:
    from glidepath.plugins.train.configs import DiffusionTrainerConfig


class FactsStage(TrainingStage):
    """The text encoder learns to answer questions about captions; the images are not looked at."""

    name = "facts"
    divides = compares = True

    def __init__(self, config: DiffusionTrainerConfig, run: Run) -> None:
        """Raises PartError where the run has no text encoder, or its dataset no facts."""
        if run.text_encoder is None:
            raise PartError("train.facts_steps trains a text encoder, and this spec has none; set it to 0")
        pooled_width = run.text_encoder.pooled_width
        if pooled_width is None:
            raise PartError(
                "train.facts_steps trains a pooled vector, and this text encoder makes none; set it to 0"
            )
        if not isinstance(run.dataset, FactualDataset):
            raise PartError(
                "train.facts_steps asks the dataset what its captions say, and this one has no `facts`; "
                "set it to 0"
            )
        self.config, self.dataset, self.device, self.group = config, run.dataset, run.device, run.group
        self.steps, self.batch, self.learning_rate = (
            config.facts_steps,
            config.facts_batch,
            config.facts_learning_rate,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            head = nn.Linear(pooled_width, sum(run.dataset.answers))
        self.modules = nn.ModuleDict({"text_encoder": run.text_encoder, "head": head.to(run.device)})

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """The mean cross-entropy of the answers, over all questions that the captions do not leave open."""
        logits, facts = (
            self.group.together(it, self.batch) for it in self._answered(self.modules, batch.captions)
        )
        return cross_entropy(logits, facts, self.dataset.answers)

    @torch.no_grad()
    def probe(self, averaged: nn.ModuleDict) -> dict[str, float]:
        """The share of captions of which every answer is right."""
        _, captions = self.dataset.batch(self.config.seed + 1, 0, 128)
        logits, facts = self._answered(averaged, captions)
        answers = torch.split(logits, list(self.dataset.answers), dim=1)
        said = torch.stack([some.argmax(1) for some in answers], dim=1)
        return {"understood": round(float(((said == facts) | (facts == OPEN)).all(1).float().mean()), 4)}

    def _answered(self, modules: nn.ModuleDict, captions: list[str]) -> tuple[Tensor, Tensor]:
        """Logits [B, sum of answers], and what is right: [B, questions]."""
        pooled = modules["text_encoder"](captions).pooled
        return modules["head"](pooled).float(), upload(self.dataset.facts(captions), self.device)


def cross_entropy(logits: Tensor, facts: Tensor, answers: tuple[int, ...]) -> Tensor:
    """The mean over the facts that are not open: a scalar.

    logits: [B, sum of answers], those of one question beside each other; facts: [B, questions] int64.
    """
    losses = [
        F.cross_entropy(some, fact, ignore_index=OPEN, reduction="sum")
        for some, fact in zip(torch.split(logits, list(answers), dim=1), facts.unbind(1), strict=True)
    ]
    return torch.stack(losses).sum() / (facts != OPEN).sum().clamp(min=1)
