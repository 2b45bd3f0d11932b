"""The interface of networks that make the x of images: what they were made for, and what they read."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence

from torch import nn

from glidepath.core.size import sides


class ConditionalModel(nn.Module, ABC):
    """Makes an x under conditions: a denoiser does it step by step, a generator in a way of its own.

    Subclasses set, in their constructor:
        image_shape: (C, *spatial) of the x that it was made for; `takes` says which other sizes it takes. Of
            images in pixels, the pipeline knows the size.
        reads: the names of the conditions that it reads; it is given no others. One that reads "low_res" is
            an upsampler, and cannot do without.
        num_classes: how many class labels it knows; None where it takes no label.
        null_label: the label that stands for no class, where it was trained with one; for classifier-free
            guidance.
    """

    image_shape: tuple[int, ...]
    reads: frozenset[str] = frozenset()
    num_classes: int | None = None
    null_label: int | None = None

    @property
    def needs_low_res(self) -> bool:
        """Whether it is an upsampler."""
        return "low_res" in self.reads

    def takes(self, size: Sequence[int]) -> str:
        """What is wrong with an x of a spatial size other than it was made for; "" if nothing is.

        Here: every other size is. A model that runs on others overrides it.
        """
        made = self.image_shape[1:]
        return "" if tuple(size) == made else f"the {self.role} takes an x of {sides(made)} alone"

    role = "model"
    """What messages call it."""
