"""The dataset `mixture`: several datasets as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from glidepath.core import PartError
from glidepath.plugins.train.data import draws
from glidepath.plugins.train.data.dataset import CaptionedDataset, Entry, contents_of, notes_of

if TYPE_CHECKING:
    from glidepath.plugins.train.data.configs import MixtureConfig

_ROUND = 1000  # positions in which each dataset comes as often as its share says, rounded


class Mixture:
    """Datasets whose samples come in their proportions.

    Each is asked for its samples one by one, in its own order: it is gone through as it would be alone.
    """

    def __init__(self, config: MixtureConfig, datasets: Sequence[CaptionedDataset]) -> None:
        """Raises PartError where there are not as many proportions as datasets."""
        shares = np.asarray(config.proportions or [1.0] * len(datasets))
        if len(shares) != len(datasets) or not datasets:
            raise PartError(f"mixture: there are {len(datasets)} datasets, and {len(shares)} proportions")
        self.datasets = datasets
        ends = np.rint(np.cumsum(shares / shares.sum()) * _ROUND).astype(int)
        self._counts = np.diff(ends, prepend=0)
        if not self._counts.all():
            raise PartError(f"mixture: a proportion is less than 1 / {_ROUND} of all")
        self.notes = [note for dataset in datasets for note in notes_of(dataset)]
        for name in ("captions", "contents"):
            if any(hasattr(dataset, name) for dataset in datasets):
                setattr(self, name, getattr(self, f"_{name}"))
        if all(hasattr(dataset, "labels") for dataset in datasets):
            self.labels = self._labels

    def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
        """The batch of a step.

        Raises:
            PartError: the images of two datasets are not of one shape.
        """
        made = [dataset.batch(seed, place, 1) for dataset, place in self._chosen(seed, step, size)]
        shapes = {tuple(images.shape[1:]) for images, _ in made}
        if len(shapes) > 1:
            raise PartError(f"mixture: images are of one shape, and these are of {sorted(shapes)}")
        return torch.cat([images for images, _ in made]), [caption for _, [caption] in made]

    def _labels(self, seed: int, step: int, size: int) -> Tensor:
        """The classes of the images of a batch."""
        asked: list[tuple[Any, int]] = [*self._chosen(seed, step, size)]
        return torch.cat([dataset.labels(seed, place, 1) for dataset, place in asked])

    def names(self, seed: int, step: int, size: int) -> list[str]:
        """What the images of a batch are called, of datasets that know."""
        asked: list[tuple[Any, int]] = [*self._chosen(seed, step, size)]
        return [
            name
            for dataset, place in asked
            for name in (dataset.names(seed, place, 1) if hasattr(dataset, "names") else [""])
        ]

    def _captions(self) -> Iterator[tuple[str, str]]:
        for dataset in self.datasets:
            yield from getattr(dataset, "captions", lambda: ())()

    def _contents(self, known: Mapping[str, Entry]) -> Iterator[Entry]:
        for number, dataset in enumerate(self.datasets):
            prefix = f"{number}/"
            own = {
                name.removeprefix(prefix): entry._replace(name=name.removeprefix(prefix))
                for name, entry in known.items()
                if name.startswith(prefix)
            }
            for entry in contents_of(dataset, own) or ():
                yield entry._replace(name=prefix + entry.name)

    def _chosen(self, seed: int, step: int, size: int) -> Iterator[tuple[CaptionedDataset, int]]:
        """Each sample of a batch: its dataset, and its position there."""
        for position in range(step * size, (step + 1) * size):
            turn, place = divmod(position, _ROUND)
            order = np.random.default_rng((seed, turn, draws.MIXTURE)).permutation(
                np.repeat(np.arange(len(self._counts)), self._counts)
            )
            number = int(order[place])
            before = Counter(order[:place].tolist())[number]
            yield self.datasets[number], turn * int(self._counts[number]) + before
