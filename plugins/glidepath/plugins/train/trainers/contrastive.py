"""The trainer `contrastive`: a CLIP, which guidance then asks how well an image fits its prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

import torch
from torch import Tensor, nn

from glidepath.core import PartError
from glidepath.plugins.train.data.dataset import Batch, near_misses
from glidepath.plugins.train.data.draws import drawn
from glidepath.plugins.train.losses.loss import add_noise, upload
from glidepath.plugins.train.losses.symmetric import says_the_same, symmetric_cross_entropy
from glidepath.plugins.train.run.contents import Reader
from glidepath.plugins.train.run.run import Run
from glidepath.plugins.train.run.stage import TrainingStage
from glidepath.plugins.train.trainers.diffusion import StagedTrainer

if TYPE_CHECKING:
    from glidepath.plugins.train.trainers.configs import ContrastiveTrainerConfig


class Comparer(Protocol):
    """What a part of kind `clip` does, as far as training needs it."""

    noised: bool
    image_size: int

    @property
    def logit_scale(self) -> float | Tensor: ...

    def embed_texts(self, prompts: Sequence[str]) -> Tensor: ...

    def embed_images(self, x: Tensor, t: Tensor | None = None) -> Tensor: ...


class ContrastiveTrainer(StagedTrainer):
    """Trains a CLIP on the spec's dataset; the spec's denoiser and text encoder stay as they are.

    The weights that it writes are the part's own: another spec names them as `weights` of its CLIP.
    """

    config: ContrastiveTrainerConfig
    trains_spec = False

    def __init__(self, config: ContrastiveTrainerConfig, *, clip: nn.Module | None = None) -> None:
        if clip is None:
            raise PartError("trainer contrastive: clip: it needs one, to train")
        self.config = config
        self.clip = clip

    def stages(self, run: Run) -> list[TrainingStage]:
        """One."""
        return [ContrastiveStage(self.config, run, self.clip)]

    def readers(self, run: Run) -> Sequence[Reader]:
        """The CLIP, if it can say what it does not read."""
        return [cast(Reader, self.clip)] if hasattr(self.clip, "truncated") else []

    def exported(self, averaged: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The CLIP's weights under its own names."""
        return {name.removeprefix("clip."): value for name, value in averaged.items()}


class ContrastiveStage(TrainingStage):
    """The symmetric loss of CLIP (Radford et al. 2021, figure 3), on noised images for a noised one."""

    name, network = "contrastive", "clip"
    divides = compares = True

    def __init__(self, config: ContrastiveTrainerConfig, run: Run, clip: nn.Module) -> None:
        """Raises PartError where the CLIP is made for images of another size than the run's."""
        self.config, self.run, self.steps, self.batch = config, run, config.steps, config.batch
        self.clip = cast(Comparer, clip.to(run.device, torch.float32))
        size = self.clip.image_size
        if run.image_shape[1:] != (size, size):
            shape = "x".join(map(str, run.image_shape[1:]))
            raise PartError(f"train.clip is made for images of {size}x{size}, and the spec's are {shape}")
        self.modules = nn.ModuleDict({"clip": clip})

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Cross-entropy of images against captions and of captions against images, in equal parts."""
        group = self.run.group
        captions = group.texts(batch.captions)
        noised = self._noised(batch.images, generator)
        wrong = near_misses(self.run.dataset, captions, generator) or []
        features = [self.clip.embed_images(*noised)]
        for texts in (batch.captions, wrong[group.rows(len(captions))]):
            if texts:
                features.append(self.clip.embed_texts(texts))
        images, *said = (group.together(it, len(captions)) for it in features)
        logits = self.clip.logit_scale * images @ torch.cat(said).T
        return symmetric_cross_entropy(
            logits.float(), upload(says_the_same(captions, wrong), self.run.device)
        )

    @torch.no_grad()
    def probe(self, averaged: nn.ModuleDict) -> dict[str, float]:
        """The share of images whose caption is the nearest of a batch: without noise, and at t = 0.9 N."""
        images, captions = self.run.dataset.batch(self.config.seed + 1, 0, min(self.batch, 256))
        last = self.run.schedule.num_steps - 1
        figures = {}
        for name, t in (("right", 0), ("right_at_0.9", int(0.9 * last)))[: 2 if self.clip.noised else 1]:
            generator = torch.Generator().manual_seed(self.config.seed)
            compared = cast(Comparer, averaged["clip"])
            logits = (
                compared.embed_images(*self._noised(images, generator, t)) @ compared.embed_texts(captions).T
            )
            best = logits.argmax(1).cpu()
            right = says_the_same(captions)[torch.arange(len(best)), best]
            figures[name] = round(float(right.float().mean()), 4)
        return figures

    def _noised(
        self, images: Tensor, generator: torch.Generator, at: int | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Images as the CLIP reads them: for a noised one x_t and t, at a timestep that is drawn, or `at`."""
        x = upload(images, self.run.device)
        if not self.clip.noised:
            return x, None
        schedule, shape = self.run.schedule, (len(images),)
        if at is None:
            t = drawn(partial(torch.randint, schedule.num_steps), shape, generator)
        else:
            t = torch.full(shape, at)
        noise = upload(drawn(torch.randn, images.shape, generator), self.run.device)
        return add_noise(schedule, x, noise, t)[0], upload(t, self.run.device)
