"""How the conformance kit uses a dataset: `glidepath test-plugin` applies its checks of any use."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from glidepath.plugins.train.data.dataset import CaptionedDataset
from glidepath.testing import Trial, require

_SEED = 5


class DatasetTrial(Trial):
    """Asks for a batch of one image for each row, which is its step: a batch is no function of others."""

    on_host = True

    def use(self, built: CaptionedDataset, rows: Sequence[int], device: str = "cpu") -> list[Tensor]:
        """The images, and a number for each caption."""
        batches = [built.batch(_SEED, row, 1) for row in rows]
        captions = [[float(sum(caption.encode())) for caption in captions] for _, captions in batches]
        return [torch.cat([images for images, _ in batches]), torch.tensor(captions)]

    def require_shapes(self, built: CaptionedDataset) -> None:
        """So many images and captions as are asked for, within [-1, 1]."""
        images, captions = built.batch(_SEED, 0, 3)
        require(
            images.ndim >= 3 and len(images) == len(captions) == 3,
            f"a batch of 3 has {list(images.shape)} images and {len(captions)} captions",
        )
        require(all(isinstance(caption, str) for caption in captions), "a caption is no text")
        require(float(images.abs().max()) <= 1, "images have values outside of [-1, 1]")
        size, channels = self.part.provided("data.size"), self.part.provided("data.channels")
        require(size is None or images.shape[-1] == size, f"images are not of data.size, {size}")
        require(channels is None or images.shape[1] == channels, f"images have not data.channels, {channels}")

    def require_dtypes(self, built: CaptionedDataset) -> None:
        """float32, on the host."""
        images, _ = built.batch(_SEED, 0, 1)
        require(images.dtype == torch.float32, f"images are {images.dtype}, and must be float32")
        require(images.device.type == "cpu", f"images are on {images.device}, and must be on the host")
