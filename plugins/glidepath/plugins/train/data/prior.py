"""Two datasets in one: what a model is to learn, and what it is not to forget over it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor

from glidepath.plugins.train.data.dataset import (
    CaptionedDataset,
    Entry,
    captions_of,
    contents_of,
    notes_of,
)


class WithPrior:
    """Half of each batch, the larger one, of a dataset, and the rest of another, whose losses have a weight.

    The loss is the mean over the first half and `weight` times that over the second: prior preservation (Ruiz
    et al. 2023, "DreamBooth", equation 2).
    """

    def __init__(self, dataset: CaptionedDataset, prior: CaptionedDataset, weight: float) -> None:
        self.dataset, self.prior, self.weight = dataset, prior, weight
        self.notes = (*notes_of(dataset), *notes_of(prior))

    def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
        """The batch of a step: images of both, and their captions."""
        own = self.dataset.batch(seed, step, size - size // 2)
        if not size // 2:
            return own
        others = self.prior.batch(seed, step, size // 2)
        return torch.cat([own[0], others[0]]), [*own[1], *others[1]]

    def loss_weights(self, size: int) -> Tensor:
        """[size] float32, what the loss of each row is multiplied by before their mean."""
        rest = size // 2
        own = torch.full((size - rest,), size / (size - rest))
        return torch.cat([own, torch.full((rest,), self.weight * size / max(rest, 1))])

    def captions(self) -> Iterable[tuple[str, str]]:
        """Those of both."""
        yield from captions_of(self.dataset, 0)
        yield from captions_of(self.prior, 0)

    def contents(self, known: Mapping[str, Entry]) -> Iterator[Entry]:
        """Those of both, where they lie in files; the names of the other's begin with `prior:`."""
        yield from contents_of(self.dataset, known) or ()
        start = "prior:"
        before = {
            name.removeprefix(start): entry._replace(name=name.removeprefix(start))
            for name, entry in known.items()
            if name.startswith(start)
        }
        for entry in contents_of(self.prior, before) or ():
            yield entry._replace(name=start + entry.name)
