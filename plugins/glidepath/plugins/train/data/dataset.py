"""The interface of what is trained on: images and their captions, by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, runtime_checkable

import torch
from torch import Tensor

#: In place of an answer: the caption leaves the question open.
OPEN: Final = -1


@runtime_checkable
class CaptionedDataset(Protocol):
    """Captioned images.

    `batch` is a pure function of its arguments, so that a training run resumes without any state of the
    dataset.

    A dataset may also have `near_misses(captions, seed) -> list[str]`: for each caption one that is nearly
    right and wrong, a pure function of its arguments. Contrastive training then tells these apart too.
    """

    def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
        """The batch of a step: images and captions, `size` of each.

        Images are [size, C, *spatial] float32 in [-1, 1], on the host.
        """


@runtime_checkable
class FactualDataset(CaptionedDataset, Protocol):
    """A dataset that knows what its captions say, as answers to the same few questions.

    answers: how many answers each question has.
    """

    answers: tuple[int, ...]

    def facts(self, captions: Sequence[str]) -> Tensor:
        """What captions say: [captions, questions] int64, on the host, in [0, answers) or `OPEN`."""


def near_misses(
    dataset: CaptionedDataset, captions: Sequence[str], generator: torch.Generator
) -> list[str] | None:
    """Captions that are nearly right and wrong, drawn by `generator`; None of a dataset that has none."""
    written = getattr(dataset, "near_misses", None)
    if written is None:
        return None
    seed = int(torch.randint(2**31, (1,), generator=generator))
    return list(written(captions, seed))
