"""A first stage for the text encoder: tell captions apart by the images they belong to.

A denoiser that is trained from scratch together with its text encoder learns for a long time to do without
the caption. A noised CLIP's text encoder (GLIDE, Nichol et al. 2021, section 2.4) has already learned what
the words mean for noisy images. Here a small image network and the text encoder are trained with the
symmetric contrastive loss of CLIP (Radford et al. 2021, figure 3); the image network is then thrown away.
Where the dataset writes captions that are nearly right, each image is told from those as well: without them
a text encoder learns which words there are, and not what they do to one another (Yuksekgonul et al. 2023,
arXiv:2210.01936).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glidepath.core import PartError
from glidepath.plugins.train.data.dataset import Batch, near_misses
from glidepath.plugins.train.data.draws import drawn
from glidepath.plugins.train.losses.loss import add_noise, encoded, upload
from glidepath.plugins.train.losses.symmetric import says_the_same, symmetric_cross_entropy
from glidepath.plugins.train.losses.timesteps import log_snr, time_at
from glidepath.plugins.train.run.run import Run
from glidepath.plugins.train.run.stage import TrainingStage

if TYPE_CHECKING:
    from glidepath.plugins.train.configs import DiffusionTrainerConfig


class ContrastStage(TrainingStage):
    """The text encoder learns what captions mean, against noisy images."""

    name = "contrast"
    divides = compares = True

    def __init__(self, config: DiffusionTrainerConfig, run: Run) -> None:
        """Raises PartError where the run has no text encoder, or its samples are no images."""
        if run.text_encoder is None:
            raise PartError(
                "train.contrastive_steps trains a text encoder, and this spec has none; set it to 0"
            )
        pooled_width = run.text_encoder.pooled_width
        if pooled_width is None:
            raise PartError(
                "train.contrastive_steps needs a pooled vector, which this text encoder does not make"
            )
        if len(run.denoiser.image_shape) != 3:
            raise PartError(
                "train.contrastive_steps is for images, and the denoiser's samples have "
                f"{len(run.denoiser.image_shape) - 1} spatial dimensions; set it to 0"
            )
        self.run, self.steps, self.batch = run, config.contrastive_steps, config.contrastive_batch
        self.text_encoder = run.text_encoder
        channels, _, image_size = run.denoiser.image_shape
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.head = ContrastiveHead(channels, image_size, pooled_width).to(run.device)
        self.modules = nn.ModuleDict({"text_encoder": run.text_encoder, "head": self.head})

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Symmetric cross-entropy of images, more often lightly noised than not, against their captions."""
        run = self.run
        captions = run.group.texts(batch.captions)
        x_0 = encoded(run.codec, batch.images, run.device, generator, run.caches.latents)
        t = time_at(run.schedule, drawn(torch.rand, (len(batch),), generator).square())
        noise = upload(drawn(torch.randn, x_0.shape, generator), run.device)
        x_t, _ = add_noise(run.schedule, x_0, noise, t)
        log_snrs = upload(log_snr(run.schedule, t).to(torch.float32), run.device)
        wrong = near_misses(run.dataset, captions, generator) or []
        features = [self.head.of_images(x_t, log_snrs)]
        for texts in (batch.captions, wrong[run.group.rows(len(captions))]):
            if texts:
                features.append(self.head.of_texts(self.text_encoder(texts).pooled))
        images, *said = (run.group.together(it, len(captions)) for it in features)
        logits = self.head.logits(images, torch.cat(said))
        return symmetric_cross_entropy(logits, upload(says_the_same(captions, wrong), run.device))


class ContrastiveHead(nn.Module):
    """What the first stage throws away: an image network, a projection of the text, a temperature."""

    def __init__(self, channels: int, image_size: int, pooled_width: int, width: int = 128) -> None:
        super().__init__()
        self.image_encoder = NoisedImageEncoder(channels, width, image_size)
        self.project = nn.Linear(pooled_width, width)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, x_t: Tensor, log_snr: Tensor, pooled: Tensor) -> Tensor:
        """How well B images (rows) fit B or more captions (columns): logits, [B, B or more]."""
        return self.logits(self.of_images(x_t, log_snr), self.of_texts(pooled))

    def of_images(self, x_t: Tensor, log_snr: Tensor) -> Tensor:
        """Noisy images [B, C, H, W] and their log-SNRs [B] as unit vectors [B, width]."""
        images: Tensor = self.image_encoder(x_t, log_snr)
        return images

    def of_texts(self, pooled: Tensor) -> Tensor:
        """Pooled vectors of captions as unit vectors [B, width]."""
        return F.normalize(self.project(pooled).float(), dim=1)

    def logits(self, images: Tensor, texts: Tensor) -> Tensor:
        """Of unit vectors, the images' as rows."""
        logits: Tensor = self.log_scale.exp().clamp(max=100) * images @ texts.T
        return logits


class NoisedImageEncoder(nn.Module):
    """A small convolutional network from a noisy image and its log-SNR to a unit vector.

    channels: of the image. width: of the vector. Spatial sizes are halved until at most 4 remain.
    """

    def __init__(self, channels: int, width: int, image_size: int) -> None:
        super().__init__()
        halvings = max(2, math.ceil(math.log2(image_size / 4)))
        widths = [min(32 * 2**index, 256) for index in range(halvings + 1)]
        self.stem = nn.Conv2d(channels + 1, widths[0], 3, padding=1, stride=2 if image_size > 16 else 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(8, before), nn.SiLU(), nn.Conv2d(before, after, 3, padding=1, stride=2)
            )
            for before, after in pairwise(widths)
        )
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.head = nn.Linear(4 * widths[-1], width)

    def forward(self, x: Tensor, log_snr: Tensor) -> Tensor:
        """x: [B, C, H, W]; log_snr: [B]; returns [B, width] of length 1."""
        level = (log_snr / 10).to(x.dtype).reshape(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])
        h = self.stem(torch.cat([x, level], dim=1))
        for block in self.blocks:
            h = block(h)
        return F.normalize(self.head(self.pool(F.silu(h)).flatten(1)).float(), dim=1)
