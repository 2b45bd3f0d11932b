"""How the conformance kit uses a dataset, or a transform: `glidepath test-plugin` checks any use."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from glidepath.plugins.train.data.dataset import CaptionedDataset
from glidepath.plugins.train.data.pictured import as_tensor
from glidepath.plugins.train.data.transform import Transform, fitted
from glidepath.testing import Trial, random_rows, require

_SEED = 5
_SIZE = (10, 14)


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
        if hasattr(built, "part"):
            some, said = built.part(_SEED, 0, 3, slice(1, 3))
            alike = torch.equal(some, images[1:]) and list(said) == list(captions[1:])
            require(alike, "`part` gives other rows than those of `batch`")

    def require_dtypes(self, built: CaptionedDataset) -> None:
        """float32, on the host."""
        images, _ = built.batch(_SEED, 0, 1)
        require(images.dtype == torch.float32, f"images are {images.dtype}, and must be float32")
        require(images.device.type == "cpu", f"images are on {images.device}, and must be on the host")


class TransformTrial(Trial):
    """Changes a picture of noise for each row, which decides what is drawn."""

    on_host = True

    def use(self, built: Transform, rows: Sequence[int], device: str = "cpu") -> list[Tensor]:
        """The pictures, as a dataset makes them, and a number for each caption."""
        made = [built.apply(_noise(row), f"left {row}", _SIZE, np.random.default_rng(row)) for row in rows]
        captions = [[float(sum(caption.encode()))] for _, caption in made]
        return [
            torch.stack([as_tensor(fitted(picture, _SIZE)) for picture, _ in made]),
            torch.tensor(captions),
        ]

    def require_shapes(self, built: Transform) -> None:
        """A picture in RGB that is not empty, and a text; among the outcomes, where these have an end."""
        picture, caption = built.apply(_noise(0), "a caption", _SIZE, np.random.default_rng(0))
        require(picture.mode == "RGB", f"a picture is in {picture.mode}, and must be in RGB")
        require(min(picture.size) > 0, f"a picture is of {picture.size} pixels")
        require(isinstance(caption, str), "a caption is no text")
        outcomes = built.outcomes(_noise(0), "a caption", _SIZE)
        if outcomes is not None:
            require((picture, caption) in [*outcomes], "`apply` gives what is not among its `outcomes`")

    def require_dtypes(self, built: Transform) -> None:
        """The picture that is given stays as it is."""
        picture = _noise(1)
        built.apply(picture, "a caption", _SIZE, np.random.default_rng(1))
        require(picture == _noise(1), "the picture that is given is changed")


def _noise(row: int) -> Image.Image:
    pixels = random_rows([row], (12, 18, 3))[0].mul(50).add(128).clamp(0, 255).to(torch.uint8)
    return Image.fromarray(pixels.numpy())
