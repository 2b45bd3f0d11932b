"""The interface of a network that puts prompts and images into one space.

Shapes: B samples, D width of the embeddings.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Clip(nn.Module, ABC):
    """Embeds prompts and images so that those that belong together point the same way (Radford et al. 2021).

    Subclasses set, in their constructor:
        noised: whether the images that it reads are x_t, each with its timestep. Otherwise they are clean.
        image_size: the height and width of those images.
    """

    noised: bool
    image_size: int

    @property
    @abstractmethod
    def logit_scale(self) -> float | Tensor:
        """What the cosine of a prompt and an image is multiplied by to give a log-likelihood; a scalar."""

    @abstractmethod
    def embed_texts(self, prompts: Sequence[str]) -> Tensor:
        """Embed B prompts: [B, D] of length 1, on the network's device; each row of its own prompt alone."""

    def truncated(self, prompt: str) -> str:
        """The end of a prompt that is not read because it is too long; empty where all of it is."""
        return ""

    @abstractmethod
    def embed_images(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """Embed B images: [B, D] of length 1; differentiable.

        x: [B, 3, image_size, image_size], x_0 in [-1, 1], or x_t for a noised network.
        t: [B] int64, the timesteps of the x_t; for a noised network alone.

        Raises:
            PartError: x is of another shape, or t is there without need or missing.
        """


def normalised(features: Tensor) -> Tensor:
    """[..., D] -> the same, each vector of length 1."""
    # as GLIDE: the norm plus 1e-12, where F.normalize takes the larger of the two
    length: Tensor = torch.linalg.vector_norm(features, dim=-1, keepdim=True)
    return features / (length + 1e-12)


def resized(images: Tensor, size: int) -> Tensor:
    """[B, 3, H, W] -> [B, 3, size, size], bicubic and antialiased, as CLIP's training images were."""
    if images.shape[2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode="bicubic", antialias=True)
