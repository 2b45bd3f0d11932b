"""The interface of the kind `generator`."""

from __future__ import annotations

import torch
from torch import Tensor

from glidepath.core import Conditioning, Generator, Noise, PartError, PerSampleNoise


class ImageGenerator(Generator):
    """A generator of a family: what it can say and do beside images depends on the family.

    Shapes: x_0 [B, C, *spatial]; B images; Z numbers of a latent.
    """

    def log_likelihood(self, x_0: Tensor, conditioning: Conditioning, noise: Noise | None = None) -> Tensor:
        """log p(x_0 | conditions), in nats, the density of each image: [B].

        noise: for a family that estimates it by drawing; None: `draws(B)`.

        Raises:
            PartError: the family has none.
        """
        raise PartError(f"a generator of this family ({type(self).__name__}) knows no likelihood of images")

    def latent(self, x_0: Tensor, conditioning: Conditioning) -> Tensor:
        """What stands for images: [B, Z], of which `from_latent` makes them again.

        Raises:
            PartError: the family has no way back from an image.
        """
        raise PartError(f"a generator of this family ({type(self).__name__}) finds no latent of an image")

    def from_latent(self, latent: Tensor, conditioning: Conditioning) -> Tensor:
        """x_0 of latents [B, Z].

        Raises:
            PartError: the family has no latents.
        """
        raise PartError(f"a generator of this family ({type(self).__name__}) has no latents")

    def interpolate(self, one: Tensor, other: Tensor, count: int, conditioning: Conditioning) -> Tensor:
        """x_0 of `count` latents between two, [Z] each, both ends included: [count, C, *spatial].

        Along a great circle, as latents are normal (White 2016, "Sampling Generative Networks", section 3).
        conditioning: of `count` images.
        """
        share = torch.linspace(0, 1, count, dtype=one.dtype, device=one.device)[:, None]
        angle = torch.nn.functional.cosine_similarity(one, other, dim=0).clamp(-1, 1).acos()
        if float(angle.sin()) < 1e-4:  # along a line, where they point the same way
            return self.from_latent(torch.lerp(one, other, share), conditioning)
        weights = ((1 - share) * angle).sin() / angle.sin(), (share * angle).sin() / angle.sin()
        return self.from_latent(weights[0] * one + weights[1] * other, conditioning)


def draws(batch: int) -> Noise:
    """Noise of rows 0 to `batch` of seed 0."""
    return PerSampleNoise([(0, row) for row in range(batch)])
