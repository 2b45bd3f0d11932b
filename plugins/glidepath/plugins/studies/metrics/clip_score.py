"""How well a CLIP finds images to fit their prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from glidepath.plugins.studies.interface import Direction
from glidepath.plugins.studies.metrics.configs import ClipScoreConfig

_BATCH = 64


class ClipScore:
    """100 times the cosine of image and prompt, at least 0.

    Hessel et al. 2021, "CLIPScore", with 100 for their factor of 2.5. Values of two networks do not compare.
    """

    name = "CLIP score"
    direction: Direction = "higher"
    unit = ""

    def __init__(self, config: ClipScoreConfig, *, clip: Any) -> None:
        """clip: of the kind `clip`."""
        self.clip = clip.eval().requires_grad_(False)

    @torch.no_grad()
    def per_prompt(self, images: Tensor, prompts: Sequence[str]) -> list[float]:
        """A score for each image [N, 3, H, W] uint8."""
        texts = list(dict.fromkeys(prompts))
        embedded = dict(zip(texts, self.clip.embed_texts(texts), strict=True))
        scores: list[float] = []
        for first in range(0, len(prompts), _BATCH):
            said = torch.stack([embedded[text] for text in prompts[first : first + _BATCH]])
            seen = self._seen(images[first : first + _BATCH].to(said.device))
            scores += (100 * (seen * said).sum(1).clamp(min=0)).tolist()
        return scores

    def _seen(self, images: Tensor) -> Tensor:
        x = images.float() / 127.5 - 1
        size = self.clip.image_size
        if x.shape[2:] != (size, size):
            x = functional.interpolate(x, (size, size), mode="bicubic", antialias=True)
        # one that was trained on noisy images reads these as those of the least noise
        t = torch.zeros(len(x), dtype=torch.int64, device=x.device) if self.clip.noised else None
        found: Tensor = self.clip.embed_images(x, t)
        return found
