"""What the condition is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from glidepath_palette.config import PaletteDatasetConfig
from glidepath_palette.palette import MOST, palettes


class WithPalettes:
    """The images of another dataset, each with a picture of its main colours, MOST pixels wide.

    Args:
        dataset: the images and their captions.
    """

    def __init__(self, config: PaletteDatasetConfig, *, dataset: Any) -> None:
        self.config = config
        self.dataset = dataset

    def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
        """As the dataset inside it."""
        images, captions = self.dataset.batch(seed, step, size)
        return images, captions

    def inputs(self, seed: int, step: int, size: int) -> Mapping[str, Tensor]:
        """The "palette" of each image of a batch: [size, 3, 1, colours] uint8."""
        images, _ = self.dataset.batch(seed, step, size)
        pictures = ((images + 1) * 127.5).round().to(torch.uint8)
        colours = palettes(pictures, self.config.colours).colours[:, : min(MOST, self.config.colours)]
        return {"palette": ((colours + 1) * 127.5).round().to(torch.uint8).transpose(1, 2)[:, :, None]}
