"""The loss of CLIP: images told apart by captions, and captions by images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def symmetric_cross_entropy(logits: Tensor, same: Tensor) -> Tensor:
    """Of images against captions and the other way, in equal parts (Radford et al. 2021, figure 3).

    Captions that say the same word for word share the probability.

    logits, same: [B, B or more], a row for each image; the columns after the first B are of captions that are
    no image's. same: which columns are of the image's own caption (`says_the_same`).
    """
    of_images = F.cross_entropy(logits, same / same.sum(1, keepdim=True))
    logits, same = logits.T[: len(logits)], same.T[: len(same)]
    return (of_images + F.cross_entropy(logits, same / same.sum(1, keepdim=True))) / 2


def says_the_same(captions: Sequence[str], others: Sequence[str] = ()) -> Tensor:
    """[B, B + len(others)] bool, on the host: whether the caption of a row is that of a column."""
    numbers = {caption: number for number, caption in enumerate([*captions, *others])}
    rows, columns = (torch.tensor([numbers[it] for it in said]) for said in (captions, [*captions, *others]))
    return rows[:, None] == columns[None]
