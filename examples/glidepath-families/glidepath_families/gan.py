"""A generator and its discriminator, as R3GAN has them: plain residual networks (Huang et al. 2024,
"The GAN is dead; long live the GAN!", arXiv:2501.05441)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glidepath.core import Conditioning, Noise, State
from glidepath_families.blocks import ModulatedBlock
from glidepath_families.config import GanConfig
from glidepath_families.generator import ImageGenerator
from glidepath_families.text import TextVector


class Gan(ImageGenerator):
    """Makes an image of a latent and a text in one pass."""

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.image_shape = (config.channels, *config.image_size)
        self.reads = frozenset() if config.text_width is None else frozenset({"text"})
        self.sizes = config.sizes
        self.text = TextVector(config.text_width, width)
        self.mix = nn.Sequential(nn.Linear(config.latent + width, width), nn.LeakyReLU(0.2))
        self.enter = nn.Linear(width, width * math.prod(self.sizes[0]))
        self.blocks = nn.ModuleList(
            ModulatedBlock(width, width, small=False) for _ in self.sizes for _ in range(config.layers)
        )
        self.leave = nn.Conv2d(width, config.values, 3, padding=1)

    def states(self, conditioning: Conditioning, x: Tensor, noise: Noise) -> Iterator[State]:
        """One state."""
        z = noise.step(0, x.new_empty(len(x), self.config.latent))
        made = self.from_latent(truncated(z, self.config.truncation), conditioning)
        yield State(1, 1, made, made)

    def from_latent(self, latent: Tensor, conditioning: Conditioning) -> Tensor:
        """x_0 of latents [B, Z]."""
        c = self.mix(torch.cat([latent, self.text(conditioning)], 1))
        h = self.enter(c).reshape(len(c), -1, *self.sizes[0])
        for index, block in enumerate(self.blocks):
            size = self.sizes[index // self.config.layers]
            if h.shape[2:] != size:
                h = F.interpolate(h, size=size, mode="bilinear", align_corners=False)
            h = block(h, c)
        return F.pixel_shuffle(self.leave(F.leaky_relu(h, 0.2)), self.config.patch)


class Discriminator(nn.Module):
    """How real an image is for its text: a number, [B].

    The text enters by a projection (Miyato & Koyama 2018, "cGANs with Projection Discriminator", equation 4).
    """

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        width = config.width
        self.layers, self.sizes, self.patch = config.layers, config.sizes, config.patch
        self.enter = nn.Conv2d(config.values, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            ModulatedBlock(width, width, small=False) for _ in self.sizes for _ in range(config.layers)
        )
        self.gather = nn.Linear(width * math.prod(self.sizes[0]), width)
        self.leave = nn.Linear(width, 1)
        self.text = TextVector(config.text_width, width)

    def forward(self, x_0: Tensor, conditioning: Conditioning) -> Tensor:
        """[B]."""
        h = self.enter(F.pixel_unshuffle(x_0, self.patch))
        zeros = h.new_zeros(len(h), h.shape[1])
        for index, block in enumerate(self.blocks):
            if index and not index % self.layers:
                h = F.avg_pool2d(h, 2)
            h = block(h, zeros)
        said = self.gather(F.leaky_relu(h, 0.2).flatten(1))
        fits = (said * self.text(conditioning)).sum(1) / math.sqrt(said.shape[1])
        real: Tensor = self.leave(F.leaky_relu(said, 0.2))[:, 0] + fits
        return real


def truncated(z: Tensor, bound: float) -> Tensor:
    """Standard normal numbers as ones that are known to lie within `bound` deviations; 0: as they are.

    The truncation trick of Brock et al. 2019, "BigGAN", section 3.1, by the distribution function instead of
    by drawing again: it is as exact, and an image depends on its own noise alone.
    """
    if not bound:
        return z
    low = torch.special.ndtr(torch.tensor(-bound, dtype=torch.float64, device=z.device))
    share = low + (1 - 2 * low) * torch.special.ndtr(z.to(torch.float64))
    made: Tensor = torch.special.ndtri(share)
    return made.to(z.dtype)
