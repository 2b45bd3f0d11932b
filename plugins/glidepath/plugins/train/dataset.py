"""The interface of what is trained on: images and their captions, by step."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class CaptionedDataset(Protocol):
    """Captioned images.

    `batch` is a pure function of its arguments, so that a training run resumes without any state of the
    dataset.
    """

    def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
        """The batch of a step: images and captions, `size` of each.

        Images are [size, C, *spatial] float32 in [-1, 1], on the host.
        """
