"""The shapes dataset, as training asks for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from glidepath.plugins.shapes.captions import parse
from glidepath.plugins.shapes.configs import ShapesConfig
from glidepath.plugins.shapes.draws import sample_batch
from glidepath.plugins.shapes.facts import ANSWERS, facts_of
from glidepath.plugins.shapes.near_misses import near_miss


class ShapesDataset:
    """Endless: each batch is drawn anew, and none holds what scenes.py and captions.py keep from training."""

    answers = ANSWERS

    def __init__(self, config: ShapesConfig) -> None:
        self.config = config

    def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
        """The batch of a training step: images [size, 3, S, S] float32 in [-1, 1], and their captions."""
        return sample_batch(
            seed,
            step,
            size,
            image_size=self.config.image_size,
            two_objects=self.config.two_objects,
            sizes=self.config.sizes,
        )

    def facts(self, captions: Sequence[str]) -> Tensor:
        """What captions say: [captions, questions] int64; the questions are those of `facts_of`."""
        return torch.tensor([facts_of(parse(caption)) for caption in captions])

    def near_misses(self, captions: Sequence[str], seed: int) -> list[str]:
        """For each caption one that is nearly right and wrong, for the contrastive stage of training."""
        rng = np.random.default_rng(seed)
        return [near_miss(caption, rng) for caption in captions]
